#!/usr/bin/env node
/** The process `mcpdeploy`. */
import { setFlagsFromString } from "node:v8"

// Sending a build's context makes much garbage for a short time: by default V8 takes more memory instead of collecting it.
// The code itself is 8 MB smaller when it is compiled for size, and a command waits for others most of its time.
// This works only before the first code is loaded, so the program comes after it.
setFlagsFromString("--semi-space-growth-factor=1")
setFlagsFromString("--optimize-for-size")

await import("./Program.ts")

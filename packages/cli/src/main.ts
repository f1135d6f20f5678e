#!/usr/bin/env node
/** The process `mcpdeploy`. */
import { setFlagsFromString } from "node:v8"

// By default V8 takes more memory rather than collect garbage early: a deploy would need 210 MB, of which 60 are garbage and
// code that is compiled for speed. A command waits for others most of its time.
// This works only before the first code is loaded, so the program comes after it.
setFlagsFromString("--semi-space-growth-factor=1")
setFlagsFromString("--optimize-for-size")

await import("./Program.ts")

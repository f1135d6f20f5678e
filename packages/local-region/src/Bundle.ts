/**
 * One region is one set of namespaces: ending its init ends every process, mount and network device of it. All that
 * outlives them are empty cgroups, which the script outside removes, or the next call does.
 */
import { spawn } from "node:child_process"
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import { run } from "./Command.ts"
import type { DataFolder } from "./DataFolder.ts"
import { RegionEnded } from "./LocalRegionError.ts"
import * as Network from "./Network.ts"

const cgroups = "/sys/fs/cgroup"

/** Outside. Its lock is inherited by every process of the region, so it is free only when all of them are gone. */
const outer = `set -u
exec 9>"$DATA/alive"
flock --nonblock 9 || exit 75
setpriv --pdeathsig KILL unshare --pid --mount --fork --kill-child --mount-proc tini -g -- sh -c "$INNER" &
wait $!
code=$?
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  find ${cgroups} -mindepth 1 -depth -type d -path "*/$CGROUP*" -exec rmdir {} + 2>/dev/null && break
  sleep 0.3
done
exit $code
`

/** Inside, as the init's only child. */
const inner = `set -eu
mount --make-rprivate /
: > "$DATA/network"
unshare --net="$DATA/network" true
rm -f "$DATA/slirp.sock"
# It reads the machine's resolv.conf, which may lie in /run: a mount namespace of its own keeps that in sight.
unshare --mount slirp4netns --configure --mtu=65520 --disable-host-loopback --api-socket "$DATA/slirp.sock" \\
  --netns-type=path "$DATA/network" ${Network.slirp.device} >> "$DATA/logs/slirp4netns.log" 2>&1 &
echo $! > "$DATA/slirp.pid"
while [ ! -S "$DATA/slirp.sock" ]; do sleep 0.05; done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for folder in /var/lib /var/log; do
  case "$DATA:$TOOLS:$PROGRAM:" in *"$folder/"*) ;; *) mount -t tmpfs -o mode=755 tmpfs "$folder" ;; esac
done
for file in resolv.conf hosts; do
  target=$(readlink -m "/etc/$file")
  [ -e "$target" ] || { mkdir -p "$(dirname "$target")" && : > "$target"; }
  mount --bind "$DATA/configuration/$file" "$target"
done
for hierarchy in ${cgroups} ${cgroups}/*; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  for group in "$CGROUP" "$CGROUP/build" "$CGROUP/pods"; do
    mkdir -p "$hierarchy/$group"
    for part in cpus mems; do
      [ -e "$hierarchy/$group/cpuset.$part" ] && [ -e "$hierarchy/cpuset.cpu_exclusive" ] &&
        cat "$hierarchy/cpuset.$part" > "$hierarchy/$group/cpuset.$part" || true
    done
  done
done
exec nsenter --net="$DATA/network" -- "$NODE" "$PROGRAM" supervise --data "$DATA"
`

/** This package's own entry: `src/main.ts` in the workspace, `dist/main.js` when packed. */
const program = (): string => {
  const source = fileURLToPath(new URL("./main.ts", import.meta.url))
  return existsSync(source) ? source : fileURLToPath(new URL("./main.js", import.meta.url))
}

/** Whether any process of the region is left. */
export const isAlive = Effect.fn("Bundle.isAlive")(function* (folder: DataFolder) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(join(folder.root, "alive")))) return false
  return yield* run("flock", ["--nonblock", join(folder.root, "alive"), "true"]).pipe(
    Effect.as(false),
    Effect.catchTag("CommandFailed", () => Effect.succeed(true))
  )
})

const childrenOf = (pid: number): ReadonlyArray<number> => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter(Boolean)
      .map(Number)
  } catch {
    return []
  }
}

/** Process id of the bundle's init as this machine sees it; 0 when there is none. */
export const initPid = (folder: DataFolder): number => {
  const outerPid = existsSync(folder.pid) ? Number(readFileSync(folder.pid, "utf8")) : 0
  const [unshare] = childrenOf(outerPid)
  return unshare === undefined ? 0 : (childrenOf(unshare)[0] ?? 0)
}

/** Starts the bundle, which goes on when this process ends. */
export const start = Effect.fn("Bundle.start")(function* (folder: DataFolder, tools: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(folder.logs, { recursive: true })
  yield* fs.makeDirectory(folder.configuration, { recursive: true })
  yield* fs.writeFileString(folder.events, "")
  yield* fs.writeFileString(join(folder.configuration, "resolv.conf"), `nameserver ${Network.slirp.dns}\n`)
  yield* fs.writeFileString(
    join(folder.configuration, "hosts"),
    `127.0.0.1 localhost\n${Network.pods.node} ${Network.registryName.split(":")[0]}\n`
  )
  const pid = yield* Effect.sync(() => {
    const log = openSync(join(folder.logs, "supervisor.log"), "a")
    const child = spawn("sh", ["-c", outer], {
      cwd: folder.root,
      detached: true,
      stdio: ["ignore", log, log],
      env: {
        ...process.env,
        DATA: folder.root,
        TOOLS: tools,
        CGROUP: folder.cgroup,
        INNER: inner,
        NODE: process.execPath,
        PROGRAM: program()
      }
    })
    child.unref()
    closeSync(log)
    return child.pid
  })
  if (pid === undefined) return yield* new RegionEnded({ detail: "sh cannot be started" })
  yield* fs.writeFileString(folder.pid, String(pid))
})

const removeTree = (path: string): void => {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(join(path, entry.name))
    }
    rmdirSync(path)
  } catch {
    // Not empty yet, or already gone: the next call looks again.
  }
}

/** The cgroups of this region that are left, in every hierarchy. */
export const remainingCgroups = (folder: DataFolder): ReadonlyArray<string> => {
  const hierarchies = [cgroups, ...readdirSync(cgroups).map((name) => join(cgroups, name))]
  return hierarchies.map((each) => join(each, folder.cgroup)).filter((path) => existsSync(path))
}

/** Removes what outlives the processes. Only to be called when they are gone. */
export const removeCgroups = Effect.fn("Bundle.removeCgroups")(function* (folder: DataFolder) {
  yield* Effect.sync(() => remainingCgroups(folder).forEach(removeTree)).pipe(
    Effect.andThen(
      Effect.suspend(() =>
        remainingCgroups(folder).length === 0
          ? Effect.void
          : Effect.fail(
              new RegionEnded({ detail: `${remainingCgroups(folder).join(", ")} cannot be removed` })
            )
      )
    ),
    Effect.retry(($) => $(Schedule.spaced("200 millis")).pipe(Schedule.upTo({ times: 25 })))
  )
})

/** Asks the region to end, then makes it. Returns when no process of it is left. */
export const stop = Effect.fn("Bundle.stop")(function* (folder: DataFolder) {
  const pid = initPid(folder)
  const signal = (name: NodeJS.Signals) =>
    Effect.sync(() => {
      try {
        if (pid > 0) process.kill(pid, name)
      } catch {
        // Already gone.
      }
    })
  const gone = isAlive(folder).pipe(
    Effect.repeat({ schedule: Schedule.spaced("100 millis"), until: (alive) => !alive }),
    Effect.asVoid
  )
  yield* signal("SIGTERM")
  yield* gone.pipe(
    Effect.timeoutOrElse({
      duration: "8 seconds",
      orElse: () => Effect.andThen(signal("SIGKILL"), gone)
    }),
    Effect.timeoutOrElse({
      duration: "20 seconds",
      orElse: () => Effect.fail(new RegionEnded({ detail: `process ${pid} cannot be ended` }))
    })
  )
  yield* removeCgroups(folder)
})

/** A Debian that nobody has touched, in the user's cache folder: each machine has it as the lower layer of its own root. */
import { createHash } from "node:crypto"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { run } from "@mcpdeploy/local-region/Command"
import { cache } from "./Ansible.ts"

const suite = "bookworm"

/** What an image of a hoster has at the least: systemd, SSH, Python for Ansible. */
const packages = [
  ...["systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "python3", "python3-apt", "iproute2"],
  ...["nftables", "ca-certificates", "kmod", "procps", "iputils-ping", "netbase"]
]

const build = `set -e
exec 8> "$1.lock"
flock 8
[ -d "$1" ] && exit 0
rm -rf "$1.new"
debootstrap --variant=minbase --include="$2" "$3" "$1.new" >&2
rm -f "$1.new"/etc/ssh/ssh_host_* "$1.new"/var/cache/apt/archives/*.deb "$1.new/etc/hostname"
cat > "$1.new/etc/apt/sources.list" <<END
deb http://deb.debian.org/debian $3 main
deb http://deb.debian.org/debian $3-updates main
deb http://deb.debian.org/debian-security $3-security main
END
systemctl --root="$1.new" enable systemd-networkd.service >&2
# An apt of its own making would hold the lock when Ansible comes.
systemctl --root="$1.new" mask apt-daily.timer apt-daily-upgrade.timer >&2
mv "$1.new" "$1"`

/** Its folder. The first call takes a minute. */
export const folder = Effect.gen(function* () {
  const digest = createHash("sha256").update(build).update(packages.join()).digest("hex").slice(0, 12)
  const target = join(cache, `machine-${suite}-${digest}`)
  yield* run("mkdir", ["-p", cache])
  yield* run("sh", ["-c", build, "sh", target, packages.join(), suite]).pipe(Effect.timeout("8 minutes"))
  return target
})

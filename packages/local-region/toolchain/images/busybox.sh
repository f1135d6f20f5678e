#!/bin/sh
# A root file system of one static program. In: base.tar (a Debian). Out: layer.tar.
set -eu
. "$RECIPES/in-debian.sh"
enter
install_packages busybox-static
mkdir -p tree/bin tree/sbin tree/usr/bin tree/usr/sbin tree/etc tree/home tree/var/log tree/var/spool tree/run
mkdir -m 700 tree/root
mkdir -m 1777 tree/tmp tree/var/tmp
cp "$(readlink -f root/bin/busybox)" tree/bin/busybox
chroot tree /bin/busybox --install -s
cp "$RECIPES/files/passwd" "$RECIPES/files/group" tree/etc/
sed 's/:.*/:*:::::::/' tree/etc/passwd > tree/etc/shadow
chmod 640 tree/etc/shadow
tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -C tree -cf layer.tar .

#!/bin/sh
# Debian's CPython, at the names and with the habits of the official image. In: base.tar, VERSION (3.13). Out: layer.tar.
set -eu
. "$RECIPES/in-debian.sh"
enter
install_packages "python$VERSION" "python$VERSION-venv" netbase tzdata
lib=root/usr/local/lib/python$VERSION
# The official image is for one application: pip may install beside the system's packages.
rm -f "root/usr/lib/python$VERSION/EXTERNALLY-MANAGED"
mkdir -p "$lib/dist-packages" root/usr/local/bin
ln -s dist-packages "$lib/site-packages"
for name in python python3 "python$VERSION"; do ln -s "/usr/bin/python$VERSION" "root/usr/local/bin/$name"; done
# pip from the wheel that Debian's ensurepip holds.
wheel=$(cd root && ls usr/share/python-wheels/pip-*.whl)
chroot root "python$VERSION" "/$wheel/pip" install -q --no-cache-dir --no-index --root-user-action=ignore "/$wheel"
write_difference

#!/bin/sh
# On the busybox layer: the C and C++ libraries, and the certificates that this machine trusts. In: base.tar (a Debian). Out: layer.tar.
set -eu
. "$RECIPES/in-debian.sh"
enter
install_packages libstdc++6 libatomic1
triplet=$(basename root/lib/*-linux-gnu)
lib=tree/lib/$triplet
mkdir -p "$lib" tree/lib64 tree/usr/lib tree/etc/ssl/certs tree/usr/share tree/usr/local/bin tree/usr/local/lib tree/opt tree/sbin tree/usr/sbin
for name in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2 libnss_dns.so.2 libnss_files.so.2 \
  libgcc_s.so.1 libstdc++.so.6 libatomic.so.1; do
  cp -L "root/usr/lib/$triplet/$name" "$lib/"
done
loader=$(basename root/lib64/ld-linux-*)
cp -L "root/lib64/$loader" "$lib/"
ln -s "/lib/$triplet/$loader" "tree/lib64/$loader"
echo "/usr/local/lib" > tree/etc/ld.so.conf
echo "/lib/$triplet" >> tree/etc/ld.so.conf
cp -L root/sbin/ldconfig tree/sbin/ldconfig
chroot tree /sbin/ldconfig
rm -rf tree/var
cp root/etc/ssl/certs/ca-certificates.crt tree/etc/ssl/certs/
ln -s certs/ca-certificates.crt tree/etc/ssl/cert.pem
printf 'hosts: files dns\n' > tree/etc/nsswitch.conf
printf 'PRETTY_NAME="busybox and glibc, in place of an Alpine image"\nID=mcpdeploy-local\n' > tree/etc/os-release
install -m 755 "$RECIPES/files/apk" "$RECIPES/files/addgroup" "$RECIPES/files/adduser" tree/usr/sbin/
tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -C tree -cf layer.tar .

#!/bin/sh
# Debian's nginx and the libraries that it needs, laid out as in the official image. In: base.tar (a Debian). Out: layer.tar.
set -eu
. "$RECIPES/in-debian.sh"
enter
install_packages nginx gettext-base
mkdir -p tree/usr/sbin tree/usr/bin tree/etc/nginx/conf.d tree/usr/share/nginx tree/var/log/nginx tree/var/cache/nginx tree/docker-entrypoint.d \
  tree/var/lib/nginx/body tree/var/lib/nginx/proxy tree/var/lib/nginx/fastcgi tree/var/lib/nginx/uwsgi tree/var/lib/nginx/scgi tree/run
cp root/usr/sbin/nginx tree/usr/sbin/
cp root/usr/bin/envsubst tree/usr/bin/
for name in $(chroot root ldd /usr/sbin/nginx /usr/bin/envsubst | sed -n 's,.*=> \(/[^ ]*\) .*,\1,p' | sort -u); do
  case $name in
    */libc.so.6 | */libm.so.6 | */libdl.so.2 | */libpthread.so.0) ;; # in the layer below
    *) install -D "$(readlink -f "root$name")" "tree/lib/${name#*/lib/}" ;;
  esac
done
for name in mime.types fastcgi_params scgi_params uwsgi_params; do cp "root/etc/nginx/$name" tree/etc/nginx/; done
cp -r root/usr/share/nginx/html tree/usr/share/nginx/html
[ -e tree/usr/share/nginx/html/50x.html ] || echo '<!doctype html><title>Error</title><h1>An error occurred.</h1>' > tree/usr/share/nginx/html/50x.html
cp "$RECIPES/files/nginx.conf" tree/etc/nginx/nginx.conf
cp "$RECIPES/files/nginx-default.conf" tree/etc/nginx/conf.d/default.conf
cp "$RECIPES/files/nginx-entrypoint.sh" tree/docker-entrypoint.sh
cp "$RECIPES/files/20-envsubst-on-templates.sh" tree/docker-entrypoint.d/
chmod 755 tree/docker-entrypoint.sh tree/docker-entrypoint.d/*
ln -s /dev/stdout tree/var/log/nginx/access.log
ln -s /dev/stderr tree/var/log/nginx/error.log
tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -C tree -cf layer.tar .

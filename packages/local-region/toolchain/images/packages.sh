#!/bin/sh
# Debian packages on the base. In: base.tar, INSTALL. Out: layer.tar.
set -eu
. "$RECIPES/in-debian.sh"
enter
# shellcheck disable=SC2086 # a list
install_packages $INSTALL
write_difference

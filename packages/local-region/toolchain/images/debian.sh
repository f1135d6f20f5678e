#!/bin/sh
# A minimal Debian, configured as the official image is.
# In: SUITE, INCLUDE (packages beside the essential ones, or empty), TRUST (a folder of .crt files, or empty). Out: layer.tar.
set -eu
export TMPDIR="$PWD" SOURCE_DATE_EPOCH=0
mmdebstrap --mode=root --variant=minbase ${INCLUDE:+"--include=$INCLUDE"} \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='force-unsafe-io' \
  --customize-hook="sh $RECIPES/configure-debian.sh \"\$1\"" \
  "$SUITE" layer.tar

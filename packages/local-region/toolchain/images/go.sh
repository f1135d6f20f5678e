#!/bin/sh
# This machine's Go. In: GOROOT_FOLDER. Out: layer.tar.
set -eu
mkdir -p tree/usr/local/go
mkdir -m 1777 -p tree/go/src tree/go/bin
chmod 1777 tree/go tree/go/src tree/go/bin
# Without Go's tests of itself: a third of its files.
tar -C "$GOROOT_FOLDER" --exclude=./test --exclude=testdata --exclude='*_test.go' --exclude=./.git -cf - . | tar -C tree/usr/local/go -xf -
tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -C tree -cf layer.tar .

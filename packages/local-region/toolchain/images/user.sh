#!/bin/sh
# One more user and group. In: base.tar (the layer that has /etc/passwd), NAME, ID, HOME_FOLDER, LOGIN_SHELL. Out: layer.tar.
set -eu
mkdir -p base tree/etc "tree$HOME_FOLDER"
tar --numeric-owner -C base -xpf base.tar ./etc/passwd ./etc/group ./etc/shadow
(cat base/etc/passwd && echo "$NAME:x:$ID:$ID::$HOME_FOLDER:$LOGIN_SHELL") > tree/etc/passwd
(cat base/etc/group && echo "$NAME:x:$ID:") > tree/etc/group
(cat base/etc/shadow && echo "$NAME:!:::::::") > tree/etc/shadow
chmod 640 tree/etc/shadow
chown "$ID:$ID" "tree$HOME_FOLDER"
tar --sort=name --mtime=@0 --numeric-owner -C tree -cf layer.tar .

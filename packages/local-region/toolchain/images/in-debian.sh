# Sourced. Installs packages in a copy of the base (base.tar) under root/, and writes what that changed.
# The caller runs in mount and process namespaces of its own: what is mounted here is gone when the script is.

enter() {
  mkdir root
  tar --numeric-owner -C root -xpf base.tar
  mount --rbind /dev root/dev
  mount -t proc proc root/proc
  cp -L /etc/resolv.conf root/etc/resolv.conf
  (cd root && find . -xdev | LC_ALL=C sort) > before
  touch stamp
  sleep 0.1 # so that what follows has a later change time
}

install_packages() {
  chroot root apt-get -q update
  DEBIAN_FRONTEND=noninteractive chroot root apt-get -q install -y --no-install-recommends "$@"
  rm -rf root/var/lib/apt/lists/* root/var/cache/debconf/*-old root/var/lib/dpkg/*-old root/etc/resolv.conf
  find root/var/log -type f -delete
}

# What is new, or changed since `enter`, and a whiteout for what is gone.
write_difference() {
  (cd root && find . -xdev | LC_ALL=C sort) > after
  LC_ALL=C comm -23 before after | grep -v '^\./etc/resolv\.conf$' | while read -r path; do
    if [ -d "root/${path%/*}" ]; then : > "root/${path%/*}/.wh.${path##*/}"; fi
  done
  (cd root && find . -xdev -cnewer ../stamp | LC_ALL=C sort) > changed
  tar --numeric-owner -C root --no-recursion --verbatim-files-from -T changed -cf layer.tar
}

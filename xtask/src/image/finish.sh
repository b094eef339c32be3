# Run by mmdebstrap with the unpacked system as $1 when all packages are in: makes it a template, then a file system.
set -eu
root=$1

[ -z "$SUTLER_ENABLE" ] || chroot "$root" systemctl --quiet enable $SUTLER_ENABLE
[ -z "$SUTLER_MASK" ] || chroot "$root" systemctl --quiet mask $SUTLER_MASK
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
chroot "$root" dpkg-query --show --showformat '${Package} ${Version}\n' >"$SUTLER_PACKAGES"

# Each server makes its own of these on its first boot.
: >"$root/etc/machine-id"
rm -f "$root"/etc/hostname "$root"/var/lib/dbus/machine-id "$root"/etc/ssh/ssh_host_*
# What was for building only. Not /tmp: mmdebstrap keeps its settings for apt there, and without them its last step would clean up
# the machine's own lists of packages.
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*.log "$root"/var/log/apt/*

# /proc and others are mounted in the tree; a bind mount of the tree alone does not show them.
view=$(mktemp --directory)
export root view
unshare --mount sh -eu -c '
  mount --bind "$root" "$view"
  mke2fs -q -t ext4 -L "$SUTLER_LABEL" -E "offset=$SUTLER_OFFSET" -d "$view" "$SUTLER_RAW" "${SUTLER_KIB}k"
'
rmdir "$view"

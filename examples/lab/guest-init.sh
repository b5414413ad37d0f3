#!/bin/sh
# Process 1 of the guest: an overlay over the machine's file system, so that whatever is written stays in the guest's memory;
# the kernel's own modules where modprobe looks; then one command, its exit status left in the shared folder, and power off.
# Arguments come by the kernel's command line as environment: GUEST_SHARE (host folder), GUEST_CWD, GUEST_COMMAND (file in the share).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TERM="${TERM:-dumb}"
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
insmod "/usr/lib/uml/modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko" 2>/run/insmod ||
  grep -q overlay /proc/filesystems || { cat /run/insmod; halt -f; }
mkdir -p /run/upper /run/work /run/root
mount -t overlay overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work /run/root || halt -f
cd /run/root || halt -f
mkdir -p lib/modules proc sys dev run tmp
ln -sfn "/usr/lib/uml/modules/$(uname -r)" "lib/modules/$(uname -r)"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 dev dev
for device in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'ptmx 5 2' 'tty0 4 0'; do
  set -- $device
  mknod -m 666 "dev/$1" c "$2" "$3"
done
mkdir -p dev/pts dev/shm
mount -t devpts -o ptmxmode=666 devpts dev/pts
mount -t tmpfs shm dev/shm
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
# /run is made anew; everything else of the machine, /tmp included, stays visible through the overlay
mount -t tmpfs -o mode=755 run run
mkdir -p run/lock run/guest run/netns
mount -t hostfs -o "$GUEST_SHARE" share run/guest
# this kernel has no nftables for IP, so plain `iptables` is the legacy one
for tool in iptables ip6tables; do
  for part in '' -save -restore; do ln -sfn "/usr/sbin/$tool-legacy$part" "etc/alternatives/$tool$part"; done
done
# the overlay becomes the root of the mount namespace itself, which a chroot would not: nsenter goes to that root
mkdir -p old
pivot_root . old
exec chroot . /bin/sh -c '
umount -l /old
mount --make-rshared /
# what a node of a cluster has from its start: IPv6 is a module of this kernel, and bridges hand their packets to iptables
modprobe -a ipv6 br_netfilter
ip link set lo up
hostname lab
cd "$GUEST_CWD" || halt -f
sh /run/guest/command
echo $? >/run/guest/status
sync
exec 0<&- 1>&- 2>&-
halt -f'

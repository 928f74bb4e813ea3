#!/bin/busybox sh
# shellcheck shell=sh
# Stage 1 of the stand-in for NixOS, of its installer and of what that installs: loads the modules,
# finds the root file system, and hands over to the init= of the command line.
/bin/busybox mkdir -p /proc /sys /dev /iso /ro /rw /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
export PATH=/bin

while read -r module; do
	insmod "/modules/$module"
done </modules.order

init=
# shellcheck disable=SC2013  # words are meant
for word in $(cat /proc/cmdline); do
	case $word in
	init=*) init=${word#init=} ;;
	standin.panic) echo c >/proc/sysrq-trigger ;;
	standin.reboot) reboot -f ;;
	standin.no-prompt) exec sleep 100000 ;;
	esac
done

# The installer's root is a tmpfs over what the ISO has; an installed system's is the disk.
for disk in /dev/vd?; do
	mount -t iso9660 -o ro "$disk" /iso 2>/dev/null && break
done
if [ -e /iso/nix-store.squashfs ]; then
	mount -t squashfs -o ro,loop /iso/nix-store.squashfs /ro
	mount -t tmpfs -o mode=755 tmpfs /rw
	mkdir -p /rw/upper /rw/work
	mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work overlay /root
	mount --bind /ro /root/nix/.ro-store
else
	mount -t ext4 "$(findfs LABEL=dxvm-root)" /root
	# As NixOS has it: only its daemon writes there.
	mount --bind /root/nix/store /root/nix/store
	mount -o remount,ro,bind /root/nix/store
fi
umount /proc
umount /sys
mount --move /dev /root/dev
exec switch_root /root "$init"

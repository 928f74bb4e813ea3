# shellcheck shell=sh
# What boot.loader.external runs when another system is to be booted from now on; $1 is that
# system. Puts what the host needs into /boot/current, whole or not at all: the directory is made
# beside it and renamed. The system that runs now is kept as /boot/previous; the host boots that one
# if it finds no current.
set -eu
top=$1
boot=/boot

if ! mountpoint -q $boot; then
	echo "dxvm: $boot is not mounted: the host would not see what is written there" >&2
	exit 1
fi

rm -rf $boot/new
mkdir $boot/new
cp -L "$top/kernel" $boot/new/kernel
cp -L "$top/initrd" $boot/new/initrd
printf '%s init=%s\n' "$(cat "$top/kernel-params")" "$top/init" >$boot/new/cmdline
sync

if [ -e $boot/current ]; then
	# Only what has been seen to boot is worth keeping.
	now=$(tr ' ' '\n' </proc/cmdline | grep '^init=') || now=
	if [ -n "$now" ] && tr ' ' '\n' <$boot/current/cmdline | grep -qxF "$now"; then
		rm -rf $boot/previous
		mv $boot/current $boot/previous
	else
		rm -rf $boot/current
	fi
fi
mv $boot/new $boot/current
sync

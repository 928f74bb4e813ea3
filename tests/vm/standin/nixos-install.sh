#!/bin/bash
# Stands in for nixos-install: makes a bootable system of what the installer's own root is made of,
# with the user and the agent's service as the configuration has them, and calls the hook of
# boot.loader.external as NixOS does. Usage: nixos-install --root DIR ...
set -eu
root=/mnt
while [ $# -gt 0 ]; do
	if [ "$1" = --root ]; then
		root=$2
		shift
	fi
	shift
done
configuration=$root/etc/nixos/configuration.nix

# `  NAME = VALUE;` of the let block, without its quotes.
value()
{
	sed -n "s/^  $1 = \"\\{0,1\\}\\([^\";]*\\)\"\\{0,1\\};\$/\\1/p" "$configuration" | head -n 1
}

# The settings of a set of the service, one a line, as systemd wants them.
settings()
{
	sed -n "/systemd.services.dxvm-agent = {/,/^  };/p" "$configuration" |
		sed -n "/ $1 = {/,/};/s/^ *\\([A-Za-z]*\\) = \"\\{0,1\\}\\([^\";]*\\)\"\\{0,1\\};/\\1=\\2/p"
}

# A list of the service, its words in one line.
list()
{
	sed -n "/systemd.services.dxvm-agent = {/,/^  };/p" "$configuration" |
		sed -n "s/^    $1 = \\[ \\(.*\\) \\];/\\1/p" | tr -d '"'
}

echo 'building the configuration...'
user=$(value user)
uid=$(value uid)
gid=$(value gid)
if grep -qw standin.fail-system /proc/cmdline; then
	echo 'error: attribute missing' >&2
	exit 1
fi
echo "installing the system for $user ($uid, $gid)..."
tar -C /nix/.ro-store --one-file-system -cf - . | tar -C "$root" --exclude=./boot -xf -

sed -i '/^nixos:/d' "$root"/etc/passwd "$root"/etc/shadow "$root"/etc/group
echo "$user:x:$gid:" >>"$root/etc/group"
echo "$user:x:$uid:$gid::/home/$user:/bin/bash" >>"$root/etc/passwd"
echo "$user:*:::::::" >>"$root/etc/shadow"
mkdir -p "$root/home/$user"
chown "$uid:$gid" "$root/home/$user"
printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$user" >"$root/etc/sudoers.d/wheel"
chmod 440 "$root/etc/sudoers.d/wheel"
echo dxvm >"$root/etc/hostname"
: >"$root/etc/machine-id"
rm -rf "$root"/etc/systemd/system/serial-getty@ttyS0.service*
ln -s /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
{
	echo '[Unit]'
	echo 'Description=dxvm agent'
	echo "After=$(list after)"
	echo "Before=$(list before)"
	echo "Conflicts=$(list conflicts)"
	settings unitConfig
	echo '[Service]'
	settings serviceConfig
} >"$root/etc/systemd/system/dxvm-agent.service"
mkdir -p "$root/etc/systemd/system/$(list wantedBy).wants"
ln -s ../dxvm-agent.service "$root/etc/systemd/system/$(list wantedBy).wants/"

echo 'installing the boot loader...'
chroot "$root" nixos-rebuild boot 1
echo 'installation finished!'

#!/bin/sh
# Makes rootfs.img, an ext4 file system with Debian on it. Runs as root of a namespace of its own
# (image/jail.h), so that an ordinary user can run it and nothing outlives it. What it prints on
# standard output are lines for image/progress.h.
#
# In the working directory:
#   sources.list, guest-sources.list, guest-apt.conf, nix.conf, profile.sh, completion.bash,
#   modules/RELEASE
# Arguments: RELEASE-OF-DEBIAN PACKAGE,PACKAGE,... SIZE-OF-IMAGE IMAGE [APT-OPTION...]
set -eu

release=$1 packages=$2 size=$3 image=$4
shift 4
root=${PWD:?}/root
# What root runs is not on the path of the ordinary user whose namespace this is.
PATH=$PATH:/usr/sbin:/sbin

# Documentation and translations are a third of the files and nobody reads them in a VM. A crash
# in between means starting over, so only the finished image is synced.
mmdebstrap --mode=root --verbose --variant=apt --format=directory \
	--include="$packages" "$@" \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt=force-unsafe-io \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' \
	"$release" "$root" - <sources.list

echo 'stage setting up the guest'
# The options above were for this image; what a user installs later comes whole.
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
cp guest-sources.list "$root/etc/apt/sources.list"
cp guest-apt.conf "$root/etc/apt/apt.conf.d/80dxvm"
mkdir -p "$root/etc/nix" "$root/etc/profile.d"
cp nix.conf "$root/etc/nix/nix.conf"
cp profile.sh "$root/etc/profile.d/nix.sh"
# A login shell would load it twice.
rm -f "$root/etc/profile.d/bash_completion.sh"
mkdir -m 755 "$root/usr/share/dxvm"
cp completion.bash "$root/usr/share/dxvm/"
sed -i 's,\. /usr/share/bash-completion/bash_completion$,. /usr/share/dxvm/completion.bash,' \
	"$root/etc/skel/.bashrc"
# What a shell starts before its prompt takes longer than all that it does itself. Bash knows who it
# is and what is in a directory, and what dircolors says is always the same.
# shellcheck disable=SC2016
sed -i 's,\$(run-parts [^)]*),/etc/profile.d/[a-zA-Z0-9_]*.sh,' "$root/etc/profile"
# shellcheck disable=SC2016
sed -i 's,\$(id -u),${EUID:-$(id -u)},' "$root/etc/profile"
# shellcheck disable=SC2016
sed -i 's,eval "$(dircolors -b)"$,. /usr/share/dxvm/colors.sh,' "$root/etc/skel/.bashrc"
{
	# shellcheck disable=SC2016
	echo 'case $TERM in dumb) ;; *)'
	chroot "$root" env TERM=xterm-256color dircolors -b
	echo 'esac'
} >"$root/usr/share/dxvm/colors.sh"
# Where these are missing, Nix takes a store in the home directory instead. The agent gives them to
# the user.
mkdir -p "$root/nix/store" "$root/nix/var/nix"
echo 'LANG=C.UTF-8' >"$root/etc/default/locale"
# Projects are shared from the host; who owns them there says nothing here.
printf '[safe]\n\tdirectory = *\n' >"$root/etc/gitconfig"

mkdir -p "$root/usr/lib/modules"
cp -R modules/* "$root/usr/lib/modules/"
for kernel in modules/*; do
	chroot "$root" depmod "${kernel##*/}"
done

# The image is nobody's: each guest gets its own name, ids and resolver from the agent.
: >"$root/etc/machine-id"
rm -f "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id"
echo localhost >"$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
chmod 644 "$root/etc/apt/sources.list" "$root/etc/apt/apt.conf.d/80dxvm" \
	"$root/etc/nix/nix.conf" "$root/etc/profile.d/nix.sh" "$root/etc/gitconfig" \
	"$root/etc/default/locale" "$root"/usr/share/dxvm/*
# The kernel fills these.
rm -rf "${root:?}"/dev/* "$root"/run/* "$root"/tmp/* "$root"/var/log/*.log "$root"/var/log/apt/* \
	"$root"/var/cache/apt/*.bin "$root"/var/cache/debconf/*-old

echo 'stage making the disk image'
# Room in the group descriptors to grow to 1 TiB online. The file is new and so reads as zeros:
# where mke2fs can be told that (1.47), the guest need not write them again.
options=resize=268435456,lazy_itable_init=1,lazy_journal_init=1,nodiscard
truncate -s 8M probe.img
if mke2fs -q -F -E assume_storage_prezeroed=1 probe.img 2>/dev/null; then
	options=$options,assume_storage_prezeroed=1
fi
mke2fs -q -F -t ext4 -L dxvm-root -m 1 -J size=64 -E "$options" -d "$root" "$image" "$size"
rm -rf "$root"

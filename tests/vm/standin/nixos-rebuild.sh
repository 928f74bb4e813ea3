#!/bin/bash
# Stands in for nixos-rebuild: another system is to be booted from now on. There are two of them,
# whose kernels and command lines differ. Usage: nixos-rebuild boot|switch [GENERATION]
set -eu
case ${1-} in
boot | switch) ;;
*)
	echo "usage: nixos-rebuild boot|switch [GENERATION]" >&2
	exit 2
	;;
esac
top=$(echo /nix/store/*-nixos-system-dxvm-"${2:-2}")
# As pkgs.writeShellScript in the configuration has it.
exec /bin/bash -c 'export PATH=/usr/bin; . /etc/nixos/dxvm-boot.sh "$@"' hook "$top"

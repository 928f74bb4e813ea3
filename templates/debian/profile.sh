# shellcheck shell=sh
# Programs of the user's Nix profile come first.
case ":$PATH:" in
*":$HOME/.nix-profile/bin:"*) ;;
*) PATH="$HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:$PATH" ;;
esac
export PATH

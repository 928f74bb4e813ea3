# shellcheck shell=bash disable=SC1091
# What the skeleton's .bashrc reads in place of bash-completion, which takes as long to load as all
# else that a shell does before its prompt: it comes with the first <Tab> that asks for it.
_dxvm_load_completion()
{
	local loader

	complete -r -D
	. /usr/share/bash-completion/bash_completion
	unset -f _dxvm_load_completion
	# What it has put in our place: it finds the words for the command, and bash tries again.
	loader=$(complete -p -D) && loader=${loader##*-F } && "${loader%% *}" "$@"
}
complete -D -F _dxvm_load_completion

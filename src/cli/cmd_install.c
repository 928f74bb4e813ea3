#include "base/mem.h"
#include "cli/command.h"
#include "cli/install.h"

static const struct option install_options[] = {
    {.name = "guest", .argument = "KIND", .summary = "what to install: debian or nixos"},
    {.name = "iso", .argument = "FILE", .summary = "nixos: this installer instead of a download"},
    {.name = "offline", .summary = "nixos: only what was downloaded before"},
    {.name = "release", .argument = "RELEASE", .summary = "nixos: this release, as in 26.05"},
    {.name = "force", .letter = 'f', .summary = "replace a VM that is there; its disk is lost"},
    {0},
};

static int choose_kind(const struct invocation *invocation, const struct kind **ret_kind,
		       struct err *err)
{
	const char *name = options_value(&invocation->options, "guest");

	/* The word of the first dxvm means what it meant there. */
	if (!name)
		name =
		    options_flag(&invocation->options, "install") ? "nixos" : INSTALL_DEFAULT_GUEST;
	*ret_kind = kind_find(name);
	if (*ret_kind)
		return 0;
	return err_set(err, ERR_USAGE,
		       "--guest %s: unknown kind of guest; there are: debian, nixos", name);
}

static int check_options(const struct install_options *options, struct err *err)
{
	bool of_nixos = options->offline || options->release || options->iso;

	return options->kind->boots_itself || !of_nixos
		   ? 0
		   : err_set(err, ERR_USAGE,
			     "--release, --iso and --offline are for --guest nixos");
}

static int run(const struct invocation *invocation, struct err *err)
{
	enum progress_mode mode = command_progress(invocation);
	auto_project struct project project = {0};
	struct install_options options = {
	    .force = options_flag(&invocation->options, "force"),
	    .offline = options_flag(&invocation->options, "offline"),
	    .release = options_value(&invocation->options, "release"),
	    .iso = options_value(&invocation->options, "iso"),
	};
	struct progress progress;

	if (choose_kind(invocation, &options.kind, err) < 0 || check_options(&options, err) < 0 ||
	    command_project(invocation, &project, err) < 0 ||
	    install_vm(&project, &options, mode, err) < 0)
		return -1;
	progress_init(&progress, mode);
	if (!project.shared) {
		auto_free char *text =
		    xasprintf("no devbox.json: a plain VM, kept in %s; nothing is "
			      "shared with it",
			      project.data_dir);
		progress_note(&progress, text);
	}
	if (options_flag(&invocation->options, "install"))
		return cmd_shell.run(invocation, err);
	progress_note(&progress, "the VM is made; `dxvm` opens a shell in it");
	progress_done(&progress);
	return 0;
}

const struct command cmd_install = {
    .name = "install",
    .arguments = "",
    .summary = "make a VM for the project (-install makes it and opens a shell)",
    .options = install_options,
    .run = run,
};

#include "cli/session_description.h"

#include "base/mem.h"
#include "cli/session_env.h"
#include "cli/terminal.h"
#include "wire/message.h"

#include <stdint.h>

static int describe_new(const struct session_options *options, const struct message_window *window,
			struct buf *buf, struct err *err)
{
	auto_free char **environment = session_env();
	auto_free char *cwd = xstrdup(options->cwd);
	const struct message_session description = {
	    .tty = options->tty,
	    .login = !options->arguments[0],
	    .rows = window->rows,
	    .columns = window->columns,
	    .width = window->width,
	    .height = window->height,
	    .user = (char[]){""},
	    .cwd = cwd,
	    .arguments = (char **)(uintptr_t)options->arguments,
	    .environment = environment,
	    .detach = options->tty ? options->detach : PROTO_DETACH_NEVER,
	};

	if (message_session_encode(&description, buf) < 0)
		return err_set(err, ERR_USAGE,
			       "the arguments and environment are more than %u bytes",
			       PROTO_OPEN_MAX);
	return 0;
}

int session_description(const struct session_options *options, struct buf *buf,
			enum proto_kind *ret_kind, struct err *err)
{
	struct message_attach attach = {.id = options->attach, .take = options->take};

	*ret_kind = options->attach ? PROTO_KIND_ATTACH : PROTO_KIND_SESSION;
	terminal_size(&attach.window);
	return options->attach ? message_attach_encode(&attach, buf)
			       : describe_new(options, &attach.window, buf, err);
}

#include "cli/session_end.h"

#include "base/mem.h"
#include "base/safe_text.h"
#include "wire/proto.h"

#include <stdio.h>
#include <string.h>

static void say(const char *text)
{
	auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);

	(void)fprintf(stderr, "dxvm: %s\n", safe);
}

static int rejected_status(const struct session_end *end, const struct session_options *options,
			   struct err *err)
{
	if (end->reject_code == PROTO_AGAIN)
		return err_set(err, ERR_AGAIN, "%s", end->reject_text);
	if (options->attach && options->ret_missing) {
		*options->ret_missing = true;
		return 0;
	}
	if (options->attach)
		return err_set(err, ERR_NOT_FOUND, "%s; `dxvm sessions` lists them",
			       end->reject_text);
	if (end->reject_code != PROTO_NOT_FOUND && end->reject_code != PROTO_NOT_EXECUTABLE)
		return err_set(err, ERR_GUEST, "%s", end->reject_text);
	if (options->ret_missing && end->reject_code == PROTO_NOT_FOUND) {
		*options->ret_missing = true;
		return 127;
	}
	const char *program = options->arguments[0];
	auto_free char *text =
	    xasprintf("cannot run %s: %s", program ? program : "the login shell", end->reject_text);
	say(text);
	return end->reject_code == PROTO_NOT_FOUND ? 127 : 126;
}

int session_end_status(const struct session_end *end, const struct session_options *options,
		       const char *stage, struct err *err)
{
	if (end->rejected)
		return rejected_status(end, options, err);
	/* A program may have ended because of what goes on with the VM. */
	if (end->exited && stage && (options->tty || end->status != 0))
		say(stage);
	if (end->exited)
		return end->status;
	if (options->quiet)
		return 0;
	if (end->taken)
		(void)fprintf(stderr, "dxvm: session %u goes on in another terminal\n", end->id);
	else if (end->id && (options->attach || options->detach))
		(void)fprintf(stderr, "dxvm: detached; `dxvm attach %u` comes back\n", end->id);
	return 0;
}

#pragma once
/*
 * Errors as values. Every function that can fail takes `struct err *err` last, returns 0 or -1 (or
 * NULL), and leaves *err untouched on success. An err cannot fail to be made and needs no release.
 * Text reads outside-in, "create root disk: clone base image: No space left on device": the place
 * that knows what failed sets it, callers that know why they asked wrap it. One line, no newline.
 */
#include "base/cleanup.h"

#include <stddef.h>

enum err_code {
	ERR_NONE,
	ERR_SYSTEM,	 /* a system call failed; err.sys holds errno */
	ERR_USAGE,	 /* the command line cannot be understood */
	ERR_INVALID,	 /* a file, setting or answer cannot be understood */
	ERR_NOT_FOUND,	 /* a project, VM, file or command is not there */
	ERR_EXISTS,	 /* it is there already and is not overwritten */
	ERR_BUSY,	 /* somebody else holds it */
	ERR_PROTOCOL,	 /* a peer broke the protocol */
	ERR_GUEST,	 /* the guest said no */
	ERR_UNSUPPORTED, /* not possible on this host */
	ERR_CANCELLED,	 /* the user interrupted it */
	ERR_AGAIN,	 /* not in this moment, and nothing was begun: the same may work now */
	ERR_COUNT,
};

struct err {
	enum err_code code;
	int sys; /* errno, or 0 */
	char text[512];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		.code = ERR_NONE                                                                   \
	}

/* All three are -1, so that `return err_set(...)` reads well; macros, so that compilers and
 * analyzers see that they are. err_sys appends the text of errno; err_wrap puts "context: " in
 * front of what is there. */
#define err_set(err, code, ...) (err_set_(err, code, __VA_ARGS__), -1)
#define err_sys(err, ...)	(err_sys_(err, __VA_ARGS__), -1)
#define err_wrap(err, ...)	(err_wrap_(err, __VA_ARGS__), -1)

void err_set_(struct err *err, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
void err_sys_(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);
void err_wrap_(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* The exit status of a dxvm command that failed itself (not the guest's command): 125, or 2 for
 * usage. */
int err_exit_status(const struct err *err);

#pragma once
/*
 * Client of QEMU's machine protocol (QMP, docs/interop/qmp-spec.rst of QEMU): one JSON object a
 * line on one socket. The peer is not trusted, because a hostile guest may have taken over QEMU:
 * lines, nesting and what waits to be sent are bounded, and whatever does not fit the protocol ends
 * the link.
 *
 * Nothing is called back from inside qmp_*; commands may be sent from the start, they wait for the
 * handshake. After qmp_close nothing is called any more.
 */
#include "base/err.h"
#include "vm/qmp_line.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct qmp;

struct qmp_events {
	/* The handshake is done: QEMU's main loop runs. */
	void (*ready)(void *ctx);
	void (*event)(void *ctx, const char *name, const struct qmp_data *data);
	/* The link is over, after every waiting command got its answer; the last event. ERR_SYSTEM
	 * when it went (end of stream), ERR_PROTOCOL when the peer broke the protocol. */
	void (*closed)(void *ctx, const struct err *why);
};

/* The answer to one command, exactly once: error NULL and the data of "return" (an empty object if
 * it was none); or ERR_GUEST and QEMU's words; or, if the link went first, why it did. */
typedef void (*qmp_done)(void *ctx, const struct qmp_data *data, const struct err *error);

/* Owns fd from now on, also on failure. Members of events may be NULL. */
int qmp_open(uv_loop_t *loop, int fd, const struct qmp_events *events, void *ctx,
	     struct qmp **ret_qmp, struct err *err);
void qmp_close(struct qmp *qmp); /* NULL is fine; also from inside a callback */

/* arguments: JSON text of an object, or NULL. done may be NULL. ERR_INVALID for arguments that are
 * no object, ERR_BUSY when too much waits to be sent, ERR_PROTOCOL when the link is over. */
int qmp_send(struct qmp *qmp, const char *command, const char *arguments, qmp_done done, void *ctx,
	     struct err *err);

/* Sends a descriptor with the next bytes, for the `getfd` that is sent next. Owns it from now on.
 */
void qmp_pass_fd(struct qmp *qmp, int fd);

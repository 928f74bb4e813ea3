#pragma once
/*
 * Takes the device state of a QEMU out into a file, and puts it back into a new one, over QMP. The
 * RAM is no part of it (x-ignore-shared): it is memory that outlives QEMU.
 *
 * Either way the guest stands still when it is done; who asked lets it go on, or ends QEMU.
 */
#include "vm/qmp.h"

struct migration;

/* failure is NULL when it is done; ERR_GUEST when QEMU said no, ERR_AGAIN when it did not come to an
 * end. Once for each migration_save or _load, but not when the link to QEMU goes first: then its end
 * says why. */
typedef void (*migration_done)(void *ctx, const struct err *failure);

/* qmp stays the caller's and must live as long. */
struct migration *migration_new(uv_loop_t *loop, struct qmp *qmp, migration_done done, void *ctx);

/* Stops the guest and writes to fd, which is passed to QEMU and may be closed at once. After a
 * failure the guest stands still, too. One at a time. */
int migration_save(struct migration *migration, int fd, struct err *err);
/* Reads from that descriptor of QEMU's, which was started with -incoming defer. */
int migration_load(struct migration *migration, int qemu_fd, struct err *err);

/* NULL is fine. Nothing is called any more. */
void migration_free(struct migration *migration);

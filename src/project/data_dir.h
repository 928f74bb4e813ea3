#pragma once
/*
 * The data directory of a VM, <project>/.devbox/vm: log, console, disk.img, id, mem, cpu, disk,
 * guest, boot/. A cloned repository can ship one, so nothing in it is followed when it is a
 * symbolic link, and all of it must belong to the user. Descriptors are the caller's.
 */
#include "base/err.h"
#include "project/identity.h"
#include "project/project.h"

#include <stdbool.h>

/* Opens it. ERR_NOT_FOUND when the project has no VM yet (no file `guest` in it), ERR_INVALID when
 * it is none that this user's dxvm made or adopted (project/registry.h). ret_identity may be NULL.
 */
int data_dir_open(const struct project *project, int *ret_fd, struct identity *ret_identity,
		  struct err *err);

/* The same without the question whether it is known: for adopt. */
int data_dir_open_unknown(const struct project *project, int *ret_fd, struct err *err);

/* Opens it, made if need be: `.devbox` with a .gitignore, and a CACHEDIR.TAG when that is new, and
 * `vm` (0700) in it. Elsewhere the directory itself gets these; ERR_EXISTS when there is anything in it
 * that is not a VM's. */
int data_dir_make(const struct project *project, int *ret_fd, struct err *err);

/* Removes it with all that is a VM's. *ret_more: it is still there, with files that are somebody's. */
int data_dir_remove(const struct project *project, int data_dir, bool *ret_more, struct err *err);

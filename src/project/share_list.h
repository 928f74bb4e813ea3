#pragma once
/*
 * The directories that are shared besides the project: the file `shares` in the data directory, one
 * a line, PATH[:ro][:GUESTPATH]. Missing file: none. PATH is absolute, plain (no links) and without
 * a colon. GUESTPATH is absolute or begins with "~/", the guest user's home; default
 * ~/devbox/<last part of PATH>.
 *
 * Refused, also when the file was edited by hand: what holds the home directory or dxvm's own files
 * or lies among the latter, for a VM with that in it isolates nothing.
 */
#include "base/buf.h"
#include "base/err.h"
#include "project/project.h"

#include <stdbool.h>
#include <stddef.h>

#define SHARE_LIST_MAX 13 /* the wire has room for 16: the project, boot/, and 0 is nobody's */

struct share_entry {
	char *path;
	char *guest_path;
	bool read_only;
};

struct share_list {
	struct share_entry entries[SHARE_LIST_MAX];
	size_t count;
};

/* Reads and checks. ERR_INVALID names the line. */
int share_list_load(int data_dir, const struct project *project, struct share_list *ret_list,
		    struct err *err);
void share_list_done(struct share_list *list);
#define auto_share_list CLEANUP(share_list_done)

/* Adds what a person wrote, PATH relative to the current directory; one that is there already is
 * replaced. */
int share_list_add(int data_dir, const struct project *project, const char *text, struct err *err);
/* Shares PATH read-only at this place in the guest, instead of what was there; "": nothing. */
int share_list_set(int data_dir, const struct project *project, const char *guest_path,
		   const char *path, struct err *err);
/* Removes by PATH, which need not exist any more. ERR_NOT_FOUND: it is not in the list. */
int share_list_remove(int data_dir, const struct project *project, const char *path,
		      struct err *err);

/* An entry as a line of the file, without its end. The caller's. */
char *share_entry_text(const struct share_entry *entry);

/* Opens the directory, none of its parents a link now: the guest may have put one there if the
 * directory lies in another share. */
int share_entry_open(const struct share_entry *entry, int *ret_fd, struct err *err);

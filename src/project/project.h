#pragma once
/*
 * Which project a command is about, found as devbox finds it: the configuration that was named
 * (-c, DEVBOX_CONFIG), else the first devbox.json in the current directory or a parent, up to and
 * including "/". Only whether the file is there is looked at, never its content: the guest can
 * write it.
 */
#include "base/err.h"

#include <stdbool.h>

struct project {
	char *root;	/* absolute path of the directory shared with the guest */
	char *name;	/* what it is called in the guest: ~/devbox/<name> */
	char *data_dir; /* absolute path of the VM's files, <root>/.devbox/vm unless given */
	bool
	    shared; /* there is a devbox.json; without one it is a plain VM and nothing is shared */
};

/* config: NULL, or a devbox.json, or the directory it is in. data_dir: NULL, or where to keep the
 * VM instead. Where no devbox.json is found and none was named, the current directory is a plain
 * one: its VM is kept in ./dxvm. ERR_NOT_FOUND: the named configuration is not there. */
int project_find(const char *config, const char *data_dir, struct project *ret_project,
		 struct err *err);
/* ERR_INVALID: one that dxvm will not share: "/", or what holds the home directory or files of its
 * own. For whoever wants its VM to run; what is there can be stopped and removed all the same. */
int project_check(const struct project *project, struct err *err);
/* Whether a guest that is given `path` could reach `own`, which may not be there yet, or be NULL:
 * `own` lies in it or, `also_inside`, the other way round. */
bool project_would_share(const char *path, const char *own, bool also_inside);
/* The project with exactly these directories, as a supervisor is told them. */
void project_at(const char *root, const char *data_dir, struct project *ret_project);
void project_done(struct project *project);
#define auto_project CLEANUP(project_done)

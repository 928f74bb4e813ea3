#pragma once
/*
 * The project an environment is made for: where it is, what its two files say, and the names that
 * devbox derives from its path. Everything belongs to the project.
 */
#include "devbox/config.h"
#include "devbox/lock.h"
#include "devbox/vars.h"

struct project {
	char *root; /* absolute */
	struct config config;
	struct lock lock;
	char *system;	      /* "x86_64-linux" */
	char *path_key;	      /* DEVBOX_NIX_ENV_PATH_<hash> */
	char *skip_hook;      /* __DEVBOX_SKIP_INIT_HOOK_<hash> */
	char *refresh;	      /* DEVBOX_REFRESH_ALIAS_<hash> */
	uint64_t fingerprint; /* of the two files, taken before they were read */
};

/* `where`: devbox.json or the directory it is in; NULL: $DEVBOX_CONFIG, else the first directory
 * from the current one upwards that has one. ERR_NOT_FOUND when there is none. */
int project_root(const char *where, char **ret_root, struct err *err); /* the caller's */
int project_open(const char *where, struct project *ret_project, struct err *err);
void project_done(struct project *project);
#define auto_project CLEANUP(project_done)

/* A path inside the project's .devbox. The caller's. */
char *project_local(const struct project *project, const char *name);

/* Such a directory, open; made if it is not there. The caller's. */
int project_local_dir(const struct project *project, const char *name, int *ret_dir,
		      struct err *err);

/* Where a program is in PATH (and in nix's profiles, for nix's own); NULL if nowhere. The caller's.
 */
char *project_find_program(const char *name);

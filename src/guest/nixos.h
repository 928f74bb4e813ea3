#pragma once
/*
 * What a NixOS guest is made from: its configuration, the script that installs it, and what is
 * typed in the installer. All that comes from the host (names, zones, proxies) may be any text.
 */
#include "base/err.h"

#include <stdint.h>

struct nixos {
	const char *user; /* and its group */
	uint32_t uid, gid;
	const char *description;  /* the user's full name, "" if there is none */
	const char *timezone;	  /* "": UTC */
	const char *release;	  /* "26.05" */
	char *const *environment; /* NAME=VALUE, for the installation: proxies; NULL-terminated */
};

/* Texts are the caller's. ERR_INVALID for a release or the name of a variable that is none. */
int nixos_configuration(const struct nixos *nixos, char **ret_text, struct err *err);
int nixos_install_script(const struct nixos *nixos, char **ret_text, struct err *err);

/* One line for the installer's shell (guest/console_script.h): runs the script from the share
 * `bootstrap`, says how it ended, and powers off. */
extern const char nixos_command[];

/* What a step of the script is for people; NULL: there is no such step. */
const char *nixos_step(const char *name);

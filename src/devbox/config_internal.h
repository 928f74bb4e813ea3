#pragma once
/* What config.c and config_packages.c share. */
#include "devbox/config.h"

/* Sets *ret to the named field if it is of that type; an error if it is of another, NULL if it is
 * not there. */
int config_field(const struct config *config, const struct json *object, const char *name,
		 enum json_type type, const struct json **ret, struct err *err);

/* All elements or members are strings, or null. `what`: "packages", for the message. */
int config_all_strings(const struct config *config, const struct json *json, const char *what,
		       struct err *err);

int config_read_packages(struct config *config, struct err *err);

#pragma once
/*
 * Files of NAME=VALUE lines, as env_from names them, read by the rules of hashicorp/go-envparse
 * 0.1: comments, an optional "export ", 'raw' and "escaped" parts, no expansion. Errors are
 * ERR_INVALID and read "FILE:LINE:COLUMN: what is wrong".
 */
#include "base/err.h"
#include "devbox/vars.h"

#define DOTENV_TEXT_MAX ((size_t)1 << 20)

/* Sets in `vars` what the text says; a later line replaces an earlier one. */
int dotenv_parse(const char *file, const char *text, struct vars *vars, struct err *err);

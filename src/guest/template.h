#pragma once
/*
 * A text with places of the form @name@, filled in one pass: what is put in is not looked at again.
 * What is put in must be quoted for where it goes (guest/quote.h).
 */
#include "base/err.h"

struct template_value {
	const char *name;
	const char *text;
};

/* *ret_text is the caller's. ERR_INVALID names a place without a value, or a value that has no
 * place: template and program do not belong together. */
int template_fill(const char *template, const struct template_value *values, size_t count,
		  char **ret_text, struct err *err);

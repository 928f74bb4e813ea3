#pragma once
/*
 * Text of a person or a host as one literal of another language, so that nothing in it means
 * anything there. Bytes pass as they are, also those that are no UTF-8. New strings, the caller's.
 */

/* "..." of Nix: quote, backslash and ${ are escaped, newline, return and tab are written as such. */
char *quote_nix(const char *text);

/* '...' of a POSIX shell. */
char *quote_shell(const char *text);

#pragma once
/*
 * The list of packages of a guest: a name a line, '#' starts a comment.
 */

/* "a,b,c"; the caller's. */
char *package_list_join(const char *text);

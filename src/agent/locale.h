#pragma once
/*
 * Which locales the guest has. A program that is told of another one complains at every start
 * (perl, apt), so what the client sends is checked first. Reads files only; formats: the folders
 * and the archive that localedef(1) of glibc makes. musl knows no other locale than C.UTF-8 anyway.
 */
#include <stdbool.h>

/* Whether a program finds the locale `name` in one of these folders (NULL-terminated), or needs
 * none: "", C, POSIX, C.UTF-8. */
bool locale_known(const char *name, const char *const *folders);

#pragma once
/*
 * What kind of program a file is, by the first bytes of it (System V ABI, "Object Files").
 */
#include <stdbool.h>

/* Whether it is a program for Linux on this host's processor that needs no file but itself: such a
 * one runs in every guest. The position of `fd` does not matter and stays. */
bool elf_is_static(int fd);

/* The processor as Go and Debian call it: "amd64", "arm64"; else as uname(1) does. */
const char *elf_processor(void);

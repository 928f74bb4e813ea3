#pragma once
/* A question to the person at the terminal. */
#include <stdbool.h>

/* Whether there is a person: standard input and error are terminals. */
bool ask_possible(void);

/* "question " on standard error. The answer without its newline is the caller's: "" when it is
 * empty, NULL at the end of input. */
char *ask_line(const char *question);

/* "question [y/N] " on standard error; an empty answer is `by_default`, end of input is no. */
bool ask_yes(const char *question, bool by_default);

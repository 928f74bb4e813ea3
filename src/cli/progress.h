#pragma once
/*
 * What goes on while a command works, on standard error. On a terminal one line that is rewritten,
 * with the elapsed time; otherwise a plain line for each stage. Lines a person should keep are
 * notes. Texts may come from outside; they are escaped here.
 */
#include "cli/transfer.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum progress_mode {
	PROGRESS_PEOPLE, /* a line that is rewritten on a terminal, plain lines elsewhere */
	PROGRESS_JSON,	 /* a JSON object a line, for programs */
	PROGRESS_QUIET,	 /* nothing */
};

struct progress {
	enum progress_mode mode;
	bool tty;
	char *stage;	      /* NULL: none */
	uint64_t done, total; /* total 0: no number known */
	bool is_bytes;	      /* the numbers are bytes, and `transfer` follows them */
	struct transfer transfer;
	struct timespec since; /* start of the stage */
	bool shown;	       /* our line is on the terminal now */
};

void progress_init(struct progress *progress, enum progress_mode mode);
/* Takes our line away. */
void progress_done(struct progress *progress);

void progress_stage(struct progress *progress, const char *text);
void progress_number(struct progress *progress, uint64_t done, uint64_t total);
void progress_bytes(struct progress *progress, uint64_t done, uint64_t total);
void progress_note(struct progress *progress, const char *text);
/* Call about once a second while a stage runs: keeps the elapsed time moving. */
void progress_tick(struct progress *progress);

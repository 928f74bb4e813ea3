#include "cli/progress.h"

#include "base/mem.h"
#include "base/safe_text.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define BAR_WIDTH 20
#define TICK_S	  1 /* a stage shorter than this is not worth a line on a terminal */

void progress_init(struct progress *progress, enum progress_mode mode)
{
	const char *term = getenv("TERM");
	bool dumb = !term || strcmp(term, "dumb") == 0;

	*progress = (struct progress){.mode = mode, .tty = isatty(STDERR_FILENO) && !dumb};
}

static double elapsed(const struct progress *progress)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - progress->since.tv_sec) +
	       (double)(now.tv_nsec - progress->since.tv_nsec) / 1e9;
}

static void clear_line(struct progress *progress)
{
	if (progress->shown)
		(void)fputs("\r\033[K", stderr);
	progress->shown = false;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* What follows the stage: for bytes how much, how fast and how long still, else the time. */
static void print_state(const struct progress *progress, char *text, size_t size)
{
	if (progress->is_bytes)
		transfer_print(&progress->transfer, text, size);
	else
		(void)snprintf(text, size, "%.0f s", elapsed(progress));
}

static void draw(struct progress *progress)
{
	char bar[BAR_WIDTH + 1] = "";
	char state[96];
	char line[512];

	print_state(progress, state, sizeof(state));
	if (progress->total > 0) {
		double part = (double)progress->done / (double)progress->total;
		int full = part >= 1 ? BAR_WIDTH : (int)(part * BAR_WIDTH);

		for (int i = 0; i < BAR_WIDTH; i++)
			bar[i] = i < full ? '#' : '.';
		(void)snprintf(line, sizeof(line), "dxvm: %s [%s] %3.0f %% %s", progress->stage,
			       bar, part * 100, state);
	} else {
		(void)snprintf(line, sizeof(line), "dxvm: %s, %s", progress->stage, state);
	}
	(void)fprintf(stderr, "\r%.*s\033[K", (int)terminal_width() - 1, line);
	(void)fflush(stderr);
	progress->shown = true;
}

static void print_json(const char *key, const char *text)
{
	json_auto_t *line = json_pack("{s:s}", key, text);

	(void)json_dumpf(line, stderr, JSON_COMPACT);
	(void)fputc('\n', stderr);
}

void progress_stage(struct progress *progress, const char *text)
{
	auto_free char *before = progress->stage;

	progress->stage = safe_text(text, strlen(text), SAFE_TEXT_LINE);
	progress->done = progress->total = 0;
	progress->is_bytes = false;
	(void)clock_gettime(CLOCK_MONOTONIC, &progress->since);
	/* The supervisor may name the very stage that was begun with. */
	if (progress->mode == PROGRESS_QUIET || (before && strcmp(before, progress->stage) == 0))
		return;
	if (progress->mode == PROGRESS_JSON)
		print_json("stage", progress->stage);
	else if (!progress->tty)
		(void)fprintf(stderr, "dxvm: %s\n", progress->stage);
	else if (progress->shown)
		draw(progress);
}

static double now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void progress_bytes(struct progress *progress, uint64_t done, uint64_t total)
{
	if (progress->is_bytes)
		transfer_move(&progress->transfer, now_s(), done, total);
	else
		transfer_start(&progress->transfer, now_s(), done, total);
	progress->is_bytes = true;
	progress_number(progress, done, total);
}

void progress_number(struct progress *progress, uint64_t done, uint64_t total)
{
	progress->done = done;
	progress->total = total;
	if (progress->mode == PROGRESS_JSON)
		(void)fprintf(stderr, "{\"done\": %llu, \"total\": %llu}\n",
			      (unsigned long long)done, (unsigned long long)total);
	progress_tick(progress);
}

void progress_tick(struct progress *progress)
{
	if (progress->is_bytes) /* nothing that comes is a rate, too */
		transfer_move(&progress->transfer, now_s(), progress->done, progress->total);
	if (progress->stage && progress->tty && progress->mode == PROGRESS_PEOPLE &&
	    (progress->shown || elapsed(progress) >= TICK_S))
		draw(progress);
}

void progress_note(struct progress *progress, const char *text)
{
	if (progress->mode == PROGRESS_QUIET)
		return;
	auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);
	clear_line(progress);
	if (progress->mode == PROGRESS_JSON)
		print_json("note", safe);
	else
		(void)fprintf(stderr, "dxvm: %s\n", safe);
}

void progress_done(struct progress *progress)
{
	clear_line(progress);
	free(take_ptr(&progress->stage));
}

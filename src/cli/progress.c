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

static void draw(struct progress *progress)
{
	char bar[BAR_WIDTH + 1] = "";
	char line[512];

	if (progress->total > 0) {
		double part = (double)progress->done / (double)progress->total;
		int full = part >= 1 ? BAR_WIDTH : (int)(part * BAR_WIDTH);

		for (int i = 0; i < BAR_WIDTH; i++)
			bar[i] = i < full ? '#' : '.';
		(void)snprintf(line, sizeof(line), "dxvm: %s [%s] %3.0f %% %.0f s", progress->stage,
			       bar, part * 100, elapsed(progress));
	} else {
		(void)snprintf(line, sizeof(line), "dxvm: %s, %.0f s", progress->stage,
			       elapsed(progress));
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
	free(progress->stage);
	progress->stage = safe_text(text, strlen(text), SAFE_TEXT_LINE);
	progress->done = progress->total = 0;
	(void)clock_gettime(CLOCK_MONOTONIC, &progress->since);
	if (progress->mode == PROGRESS_QUIET)
		return;
	if (progress->mode == PROGRESS_JSON)
		print_json("stage", progress->stage);
	else if (!progress->tty)
		(void)fprintf(stderr, "dxvm: %s\n", progress->stage);
	else if (progress->shown)
		draw(progress);
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

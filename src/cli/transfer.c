#include "cli/transfer.h"

#include <stdio.h>

#define SAMPLE_S  1.0
#define NEW_SHARE 0.3 /* of the newest sample in the rate */
#define LEFT_MAX  (99 * 3600.0)

void transfer_start(struct transfer *transfer, double now, uint64_t done, uint64_t total)
{
	*transfer = (struct transfer){.done = done, .total = total, .since = now, .counted = done};
}

void transfer_move(struct transfer *transfer, double now, uint64_t done, uint64_t total)
{
	double passed = now - transfer->since;

	if (done < transfer->counted) { /* it began anew */
		transfer_start(transfer, now, done, total);
		return;
	}
	transfer->done = done;
	transfer->total = total;
	if (passed < SAMPLE_S)
		return;
	double sample = (double)(done - transfer->counted) / passed;
	transfer->rate =
	    transfer->rate > 0 ? transfer->rate * (1 - NEW_SHARE) + sample * NEW_SHARE : sample;
	transfer->since = now;
	transfer->counted = done;
}

static double mib(double bytes)
{
	return bytes / (1 << 20);
}

static void print_left(const struct transfer *transfer, char *text, size_t size)
{
	double left = (double)(transfer->total - transfer->done) / transfer->rate;
	unsigned seconds = (unsigned)left;

	if (left > LEFT_MAX)
		(void)snprintf(text, size, ", days left");
	else if (seconds >= 3600)
		(void)snprintf(text, size, ", %u:%02u:%02u left", seconds / 3600, seconds / 60 % 60,
			       seconds % 60);
	else
		(void)snprintf(text, size, ", %u:%02u left", seconds / 60, seconds % 60);
}

void transfer_print(const struct transfer *transfer, char *text, size_t size)
{
	char rate[32] = "";
	char left[32] = "";

	if (transfer->rate > 0)
		(void)snprintf(rate, sizeof(rate), ", %.1f MiB/s", mib(transfer->rate));
	if (transfer->rate > 0 && transfer->total > transfer->done)
		print_left(transfer, left, sizeof(left));
	if (transfer->total > 0)
		(void)snprintf(text, size, "%.0f of %.0f MiB%s%s", mib((double)transfer->done),
			       mib((double)transfer->total), rate, left);
	else
		(void)snprintf(text, size, "%.0f MiB%s", mib((double)transfer->done), rate);
}

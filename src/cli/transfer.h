#pragma once
/*
 * How far bytes have come, for people: "412 of 1203 MiB, 8.1 MiB/s, 1:38 left". The rate is that of
 * the last seconds, and there is none before there was a second of them.
 */
#include <stddef.h>
#include <stdint.h>

struct transfer {
	uint64_t done, total; /* total 0: unknown */
	double since;	      /* seconds of any clock, when `counted` was all */
	uint64_t counted;
	double rate; /* bytes a second; 0: not known yet */
};

void transfer_start(struct transfer *transfer, double now, uint64_t done, uint64_t total);
void transfer_move(struct transfer *transfer, double now, uint64_t done, uint64_t total);
void transfer_print(const struct transfer *transfer, char *text, size_t size);

/*
 * signals.h - how containers say that their first instructions run: each writes one byte into a fifo.
 *
 * Errors:  0 or -errno.
 * Threads: one.
 */
#ifndef BENCH_LIB_SIGNALS_H
#define BENCH_LIB_SIGNALS_H

#include "bench.h"

struct signals {
	char *folder;			/* Is /signal in the containers. */
	int fd;
};

int signals_open(struct signals *signals, const struct bench *bench, struct err *err);
void signals_close(struct signals *signals);
int signals_wait(struct signals *signals, size_t count, struct err *err);	/* Until 'count' bytes more have come. */

#endif

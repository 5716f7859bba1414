/*
 * empty.h - the floor of an HTTP server: libwebsockets with a handler that answers every request with the
 * same body, as a process of its own. It links what stratad links.
 *
 * Threads: one.
 */
#ifndef BENCH_LIB_EMPTY_H
#define BENCH_LIB_EMPTY_H

#include <sys/types.h>

#include "base/err.h"
#include "bench.h"

struct empty {
	char *socket;
	pid_t pid;
};

/* Returns when it answers. */
int empty_start(struct empty *empty, const struct bench *bench, size_t body_size, struct err *err);
void empty_stop(struct empty *empty);
#define auto_empty __attribute__((cleanup(empty_stop)))

#endif

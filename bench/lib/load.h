/*
 * load.h - requests over kept-alive connections to a unix socket or a port of loopback, as fast as the answers come.
 *
 * A client that costs little, so that what is measured is the server: one thread, epoll, one
 * request under way on each connection, answers told by their Content-Length or last chunk (RFC 9112).
 *
 * Errors:  0 or -errno: any answer but 'status' ends the run with its body in the message.
 * Threads: one.
 */
#ifndef BENCH_LIB_LOAD_H
#define BENCH_LIB_LOAD_H

#include "base/err.h"
#include "base/str.h"
#include "bench.h"

struct load {
	const char *socket;		/* Null: 'port'. */
	uint16_t port;			/* Of 127.0.0.1. */
	unsigned connections;
	uint64_t requests;		/* In all. */
	void (*write)(void *data, uint64_t index, struct str *out);	/* Appends request 'index'. */
	void *data;
	int status;			/* Of every answer. */
};

struct load_result {
	double seconds;
	struct samples latencies_ms;
};

int load_run(const struct load *load, struct load_result *ret_result, struct err *err);
double load_rate(const struct load *load, const struct load_result *result);	/* Requests per second. */
void load_result_done(struct load_result *result);

void load_get(struct str *out, const char *path);
void load_post(struct str *out, const char *path, const char *body, size_t size);

#endif

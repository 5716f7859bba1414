/*
 * wire.h - one HTTP connection, where it matters when an answer comes: request and answer are apart, so that others can be
 * waited for in between (poll 'fd').
 *
 * Errors:  0 or -errno with the reason in *err.
 * Threads: one.
 */
#ifndef BENCH_LIB_WIRE_H
#define BENCH_LIB_WIRE_H

#include "base/err.h"
#include "base/str.h"
#include "bench.h"

struct wire {
	int fd;
	struct str in;			/* The last answer, or what there is of it. */
};

int wire_open_socket(struct wire *wire, const char *path, struct err *err);
int wire_open_port(struct wire *wire, uint16_t port, struct err *err);		/* Of 127.0.0.1. */
void wire_close(struct wire *wire);		/* Also of { .fd = -1 }. */
#define auto_wire __attribute__((cleanup(wire_close)))

int wire_send(struct wire *wire, const struct str *request, struct err *err);
/* What has come, appended to 'in'. */
int wire_receive(struct wire *wire, struct err *err);
/* The rest of an answer with a Content-Length; any status but 2xx is an error. '*ret_body' points into 'in'. */
int wire_answer(struct wire *wire, const char **ret_body, struct err *err);

#endif

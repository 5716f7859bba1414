/*
 * outlet.h - what a client sends, on its way into a pipe.
 *
 * The client is paused while the pipe is full (or not there yet), so that at most what was read
 * in one go is held in memory.
 */
#ifndef HTTP_OUTLET_H
#define HTTP_OUTLET_H

#include <stdbool.h>

#include "base/str.h"

struct connection;
struct source;

struct outlet {
	struct connection *connection;
	int fd;				/* -1: not open yet, or no longer. */
	struct source *source;
	struct str pending;
	bool is_ending;			/* Close when all is written. */
	bool is_broken;			/* Nobody reads any more: what comes is thrown away. */
};

void outlet_init(struct outlet *outlet, struct connection *connection);
void outlet_open(struct outlet *outlet, int fd);	/* Takes the fd. */
void outlet_write(struct outlet *outlet, const char *bytes, size_t size);
void outlet_end(struct outlet *outlet);			/* End of file, after what is pending. */
void outlet_break(struct outlet *outlet);		/* There is nobody to write to. */
void outlet_done(struct outlet *outlet);

#endif

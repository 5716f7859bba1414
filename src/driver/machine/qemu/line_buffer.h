/*
 * line_buffer.h - bytes from an untrusted socket, cut into lines.
 *
 * Errors:  -EFBIG when a line grows beyond its limit; the stream is then useless.
 * Threads: one at a time per buffer.
 */
#ifndef DRIVER_MACHINE_QEMU_LINE_BUFFER_H
#define DRIVER_MACHINE_QEMU_LINE_BUFFER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct line_buffer {			/* Set 'max_bytes', the rest is zero. */
	size_t max_bytes;
	struct str bytes;
	size_t start;			/* Of the first line not yet taken. */
	size_t scanned;			/* No newline before this. */
};

int line_buffer_add(struct line_buffer *buffer, const void *bytes, size_t size, struct err *err);

/* The next whole line without its newline; borrowed until the next call of line_buffer_add(). */
bool line_buffer_next(struct line_buffer *buffer, const char **ret_line, size_t *ret_size);

void line_buffer_done(struct line_buffer *buffer);

#endif

/*
 * chunks.h - the chunked transfer coding of request bodies (RFC 9112, section 7.1), decoded as it comes.
 * libwebsockets decodes it in answers only.
 */
#ifndef HTTP_CHUNKS_H
#define HTTP_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct chunks {
	int state;
	uint64_t left;			/* Of the present chunk. */
	unsigned line_length;
};

void chunks_init(struct chunks *chunks);
bool chunks_are_over(const struct chunks *chunks);

/*
 * Uses up to 'size' bytes (at least one), of which *ret_size at *ret_piece are body (maybe none).
 * Returns the number used, or -EINVAL.
 */
ssize_t chunks_read(struct chunks *chunks, const char *bytes, size_t size, const char **ret_piece, size_t *ret_size);

#endif

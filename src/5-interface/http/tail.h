/*
 * tail.h - follow a growing file: console logs.
 *
 * Logs of records (base/log_record.h) are read as the plain text in them.
 *
 * The folder is watched by inotify, so the file may also be created later or be replaced. When it
 * is shorter than what was read of it, or another one, it was rotated: reading goes on at its beginning.
 *
 * Threads: the server's.
 */
#ifndef HTTP_TAIL_H
#define HTTP_TAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct server;
struct tail;
struct tails;

#define TAIL_ALL UINT64_MAX

struct tail_params {
	const char *path;
	uint64_t bytes, lines;		/* Begin so much before the end; TAIL_ALL: at the beginning. The one that begins later counts. */
	bool must_follow;		/* Else 'changed' is never called. */
	void (*changed)(void *data);	/* There may be more to read. */
	void *data;
	/* Of logs with records. */
	bool has_records;
	int64_t since_ms;		/* Wall time; 0: all. */
	bool shows_times;		/* Each line begins with its time and a blank. */
	bool is_for_terminal;		/* Lines end with "\r\n", as a terminal would make of it. */
};

int tail_new(struct server *server, const struct tail_params *params, struct tail **ret_tail, struct err *err);
void tail_free(struct tail *tail);		/* Null is fine. */

/*
 * Up to 'size' bytes, which is TAIL_READ_MIN at least; 0: nothing more at present; -EPIPE: the folder has gone, nothing more
 * will come; -EAGAIN: much was read and none of it wanted, ask again.
 */
enum { TAIL_READ_MIN = 4096 };
ssize_t tail_read(struct tail *tail, char *bytes, size_t size);

void tails_free(struct tails *tails);		/* All have been freed. Null is fine. */

#endif

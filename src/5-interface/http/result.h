/*
 * result.h - the one line of JSON in which work beside a stream says how it ended
 * ({"exit_code": 0}, {"error": "...", "code": -2}; see 4-service/api.h).
 */
#ifndef HTTP_RESULT_H
#define HTTP_RESULT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct connection;
struct source;

struct result {
	struct connection *connection;
	int fd;				/* -1: not open, or over. */
	struct source *source;
	struct str text;		/* Without the line's end. */
	bool is_over;
};

/* Takes the fd; connection_want_write() when the line has come. fd -1: over at once, a success. */
void result_open(struct result *result, struct connection *connection, int fd);
/* 0, or the error that the line tells. When it is over. */
int result_check(const struct result *result, struct err *err);
void result_done(struct result *result);

#endif

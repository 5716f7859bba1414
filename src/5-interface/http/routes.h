/*
 * routes.h - every request there is, in one table: dispatch and openapi.json read it.
 *
 * A pattern's {name} and {child} match one segment of the path each.
 *
 * Threads: the table is const.
 */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "4-service/api.h"
#include "base/err.h"
#include "model/kind.h"

struct handler;

enum method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_COUNT /* any other */ };
extern const char *const method_names[METHOD_COUNT];	/* "GET", ... */

enum parameter_type { PARAMETER_TEXT, PARAMETER_BOOL, PARAMETER_INT, PARAMETER_DURATION, PARAMETER_MODE };

struct parameter {
	const char *name;		/* Null ends a list. */
	enum parameter_type type;
	bool is_required;
	const char *doc;
};

/* What an answer (or a request's body) is, for the reader of openapi.json. */
enum content {
	CONTENT_NONE,
	CONTENT_OBJECT, CONTENT_LIST,	/* Of the route's kind. */
	CONTENT_PATCH,			/* Merge patch of the route's kind. */
	CONTENT_TABLE,			/* The object that body_table (or answer_table) describes. */
	CONTENT_TABLE_LIST,		/* A list of such objects. */
	CONTENT_LINES,			/* One such object per line. */
	CONTENT_JSON,			/* Any object. */
	CONTENT_TEXT,
	CONTENT_BYTES,
	CONTENT_FRAMES,			/* A WebSocket. */
};

struct route {
	enum method method;
	const char *pattern;
	const struct handler *handler;
	enum call_op op;		/* For handlers that call the core. */
	int kind;			/* enum kind_id, or -1. */
	const char *single;		/* For objects of which there is one: their name in the view. */
	int status;			/* On success. */
	const struct parameter *parameters;	/* May be null. */
	enum content body, answer;
	const struct field_table *body_table, *answer_table;
	bool unix_only;
	const char *doc;
};

extern const struct route routes[];
extern const size_t route_count;

enum { ROUTE_SEGMENTS_MAX = 16 };

struct route_match {
	const struct route *route;
	char *name, *child;		/* Point into the path; null when the pattern has none. */
	size_t name_segments;		/* How many segments of the path the name is made of. */
};

/*
 * Finds the route; 'path' is cut into segments in place on success and is as before on failure.
 * -ENOENT: the message names the nearest route. -EPERM: another method would fit: those are in
 * 'allow' ("GET, POST"). -EINVAL: the path is not UTF-8.
 */
int route_find(enum method method, char *path, struct route_match *ret_match, char allow[64], struct err *err);

#endif

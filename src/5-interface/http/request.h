/*
 * request.h - the target of a request, decoded: route, names, query parameters.
 *
 * Pure functions over text, so that the fuzzer can drive them without a socket.
 *
 * Errors:  -ENOENT, -EPERM as in routes.h, -EINVAL: a parameter is unknown, missing, given twice or
 *          not of its type; the message names it, the value and the remedy.
 * Memory:  a decoded request points into the target it was made from.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "5-interface/http/routes.h"
#include "base/json.h"
#include "base/str.h"

enum { REQUEST_PARAMETERS_MAX = 8 };

struct request {
	enum method method;
	bool is_head;			/* HEAD: GET without a body. */
	const struct route *route;
	char *name, *child;
	struct request_parameter {
		const struct parameter *parameter;
		const char *text;
		int64_t number;		/* Of BOOL, INT, DURATION (ms) and MODE. */
	} parameters[REQUEST_PARAMETERS_MAX];
	size_t parameter_count;
};

/* 'path' and the 'count' queries ("after=3") are percent-decoded already and are cut in place. */
int request_decode(enum method method, char *path, char *const *queries, size_t count,
		   struct request *ret_request, char allow[64], struct err *err);

int64_t request_number(const struct request *request, const char *name, int64_t fallback);
const char *request_text(const struct request *request, const char *name);	/* Null when not given. */

/*
 * The body as the core wants it: parsed, checked against the route's body table when there is one, and with
 * the parameters that count as part of it (force, path, mode). *ret_body stays as it was when there is no body.
 */
int request_body(const struct request *request, const char *text, size_t size, struct json **ret_body,
		 struct err *err);

#endif

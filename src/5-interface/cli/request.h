/*
 * request.h - the API in JSON: what most commands need of client.h.
 *
 * Errors:  an answer of 400 or more becomes an error with the daemon's own message.
 * Memory:  'ret_x' passes to the caller.
 */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "5-interface/cli/command.h"
#include "base/json.h"
#include "model/kind.h"

/* "/v1/instances/web/start" from its segments, each percent-encoded; ends with NULL. */
char *request_path(const char *first, ...) __attribute__((sentinel));
/* Appends "?name=value" or "&name=value", encoded. */
void request_query(char **path, const char *name, const char *value);

/* The connection of this call, made when first asked for. */
struct client *cli_client(struct cli *cli);

/* 'body' is a JSON value or null; 'ret_json' may be null. */
int request_json(struct cli *cli, const char *method, const char *path, const struct json *body,
		 struct json **ret_json, struct err *err);
/* The same for one object of a kind, decoded. */
int request_object(struct cli *cli, const char *method, const char *path, const struct json *body,
		   const struct kind *kind, void **ret_object, struct err *err);

/* The answer to a GET as it is. */
int request_plain(struct cli *cli, const char *path, struct str *out, struct err *err);

/* Makes the error of an answer, whose body is still to be read. Returns its code. */
int request_refused(struct client *client, const struct client_response *response, struct err *err);

/* An object as it came, as the noun's struct. */
int object_decode(const struct kind *kind, const struct json *json, void **ret_object, struct err *err);

char *json_text(const struct json *json, int indent);

#endif

/*
 * container_text.h - short forms for containers become JSON: "data:/srv:ro", "bind=/etc/app,target=/app,ro",
 * "/tmp:size=64MiB", "sh -c 'echo hi'", "all".
 *
 * Only the form is looked at here; whether a value fits is the daemon's to say.
 *
 * Errors:  CLI_USAGE; the message shows the right form.
 * Memory:  'ret_json' passes to the caller.
 */
#ifndef CLI_CONTAINER_TEXT_H
#define CLI_CONTAINER_TEXT_H

#include "5-interface/cli/command.h"
#include "base/json.h"

/* {volume|bind}=SOURCE,target=PATH[,ro] or tmpfs,target=PATH[,size=SIZE]; also as docker writes it, with type= and source=. */
int container_mount(const char *text, struct json **ret_json, struct err *err);
/* NAME:PATH[:ro] is a volume, /PATH:PATH[:ro] a folder of the host. */
int container_volume(const char *text, struct json **ret_json, struct err *err);
/* PATH[:size=SIZE][,ro] */
int container_tmpfs(const char *text, struct json **ret_json, struct err *err);

/* "net_admin" and "CAP_NET_ADMIN" are NET_ADMIN. */
int container_capability(const char *text, struct json **ret_json, struct err *err);
int container_device(const char *text, struct json **ret_json, struct err *err);

/* A list of texts: ["sh","-c","x y"] as JSON, or words, which quotes and '\' hold together as in a shell. */
int container_words(const char *text, struct json **ret_json, struct err *err);

/* NAME=VALUE, or NAME for its value in our own environment (left out when it has none there), into an object. */
int container_env(const char *text, struct json *variables, struct err *err);
/* The same, one per line of a file; lines that are empty or begin with '#' are not looked at. */
int container_env_file(const char *path, struct json *variables, struct err *err);

#endif

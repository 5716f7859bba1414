/*
 * session.h - this terminal, or these pipes, connected with something in a guest: a console or a command.
 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <stdint.h>

#include "5-interface/cli/command.h"

enum {
	SESSION_TAIL_BYTES = 4 << 10,		/* Of a console's history, when attaching. */
	SESSION_FROM_THE_START = 1 << 20,
};

/* Attaches to the console of an instance until the escape key or the daemon ends it. */
int session_console(struct cli *cli, const char *name, int64_t tail_bytes, struct err *err);

struct json;
/* Runs the command that 'request' describes; returns its exit code. */
int session_exec(struct cli *cli, const char *name, struct json *request, struct err *err);

/* The same with other files as its stdin (-1: none) and stdout. */
int session_pipe(struct cli *cli, const char *name, struct json *request, int input, int output, struct err *err);

#endif

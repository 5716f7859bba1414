/*
 * cli.h - the command `strata`, for src/app/strata.c.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "base/err.h"

/* What only app/ may reach: drivers. */
struct cli_doors {
	/* Puts the store in the backup 'file' into an unused 'state' folder. */
	int (*restore)(const char *file, const char *state, struct err *err);
	/* Takes the host of the state folder out of its cluster; its daemon must not run. */
	int (*forget)(const char *state, struct err *err);
};

/* Results go to 'out', progress and errors to 'messages'. Returns the exit code: 0 ok, 1 failed,
 * 2 wrong usage, 75 try again later, 130 interrupted; `exec` returns that of the guest's command. */
int cli_main(int argc, char **argv, const struct cli_doors *doors, FILE *out, FILE *messages);

#endif

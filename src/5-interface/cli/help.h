/*
 * help.h - texts made from the table of commands: --help, man pages, completion.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "5-interface/cli/command.h"

void help_overview(FILE *out);
void help_topic(const char *topic, FILE *out);		/* "image": the commands that begin so. */
void help_command(const struct cli_command *command, FILE *out);

/* strata(1), as mdoc(7) wants it. */
void man_page(FILE *out);

/* A completion script for bash. */
void completion_bash(FILE *out);

#endif

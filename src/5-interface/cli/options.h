/*
 * options.h - the command line, read by the table of commands.
 *
 * Options may stand anywhere: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, flags together (-it);
 * "--" ends them.  After 'passes_after' arguments everything belongs to the guest's command; with 'passes_rest'
 * what follows "--" does.
 *
 * Errors:  CLI_USAGE; the message names what was not understood and what comes nearest.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "5-interface/cli/command.h"

/*
 * Fills cli->command and cli->arguments, whose texts are borrowed from 'argv'.
 * 'ret_topic' becomes the first words when they name no command but the beginning
 * of some ("image", "volume snapshot"), "" when there are none at all; else null. The caller frees it.
 */
int options_parse(struct cli *cli, int argc, char **argv, char **ret_topic, struct err *err);

#endif

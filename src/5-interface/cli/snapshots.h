/*
 * snapshots.h - what snapshots of instances and of volumes have in common on the command line: the first argument is
 * whose they are, the others are their names.
 */
#ifndef CLI_SNAPSHOTS_H
#define CLI_SNAPSHOTS_H

#include "5-interface/cli/command.h"
#include "base/json.h"

/* `... snapshot create PARENT [NAME]`: without a name the first of s1, s2, ... above all that are there. 'spec' is taken. */
int snapshots_create(struct cli *cli, const char *parents, struct json *spec, struct err *err);
/* `... snapshot rm PARENT NAME...` */
int snapshots_rm(struct cli *cli, const char *parents, struct err *err);

#endif

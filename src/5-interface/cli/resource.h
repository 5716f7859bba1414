/*
 * resource.h - what commands of every kind of resource have in common.
 */
#ifndef CLI_RESOURCE_H
#define CLI_RESOURCE_H

#include "5-interface/cli/output.h"
#include "5-interface/cli/spec_text.h"
#include "5-interface/cli/wait.h"

/* Creates it, waits until it is ready (unless --no-wait) and prints its name. 'spec' is taken. */
int resource_create(struct cli *cli, const struct kind *kind, const char *name, struct json *spec, struct err *err);

/* `KIND show NAME...`, `KIND rm NAME...` (with --force where the command has it), `KIND set NAME FIELD=VALUE...`. */
int resource_show(struct cli *cli, const struct kind *kind, struct err *err);
int resource_rm(struct cli *cli, const struct kind *kind, struct err *err);
int resource_set(struct cli *cli, const struct kind *kind, struct err *err);

/* The revision in an answer, for struct wait. */
int64_t answer_revision(const struct json *answer);

/* Tells what changes only at the next start of the instance at 'path'. */
int say_pending(struct cli *cli, const char *name, const char *path, struct err *err);

/* Puts the option's text, when given, as a member. */
void set_from_option(const struct cli *cli, const char *option, struct json *object, const char *key);

#endif

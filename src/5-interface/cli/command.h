/*
 * command.h - one table of commands: parsing, help, completion and man pages all read it.
 *
 * Each cmd_*.c defines its commands beside their code; commands.c lists them all in groups.
 *
 * run() returns 0, -errno with the reason in *err, or, when it has said everything
 * itself, an exit code above 0.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "5-interface/cli/cli.h"
#include "5-interface/cli/client.h"
#include "base/err.h"
#include "base/vec.h"

enum { CLI_USAGE = -EBADRQC };		/* Code of errors in how the command was called: exit code 2. */

struct cli;

struct cli_option {
	const char *name;		/* "memory": --memory */
	char letter;			/* 'm': -m; 0: none. */
	bool repeats;
	const char *value;		/* Its value in help texts ("SIZE"); null: a flag. A DURATION must be one. */
	const char *doc;
};

/* In helps, a line above the option of that name: long tables are read in parts. */
struct cli_title { const char *option, *title; };

struct cli_command {
	const char *name;		/* One word to three: "image ls", "volume snapshot ls". */
	const char *arguments;		/* As in the usage line: "IMAGE [NAME]"; null: none. */
	int min, max;			/* How many of them; max -1: any. */
	int passes_after;		/* After so many, all the rest is passed on as it is (exec); 0: never. */
	bool passes_rest;		/* What follows "--" is passed on, apart from the arguments (run). */
	const char *completes;		/* What they name, for completion: "instances", ..., "file", or null. */
	bool is_hidden;
	const char *summary;		/* One line, for lists. */
	const char *more;		/* A paragraph for its own help; null: none. */
	const struct cli_option *options;	/* Ends with a null name; null: none. */
	const struct cli_title *titles;	/* Ends with a null option; null: none. */
	const char *const *examples;	/* Command lines, null-terminated. */
	int (*run)(struct cli *cli, struct err *err);
};

struct cli_group {
	const char *title;
	const struct cli_command *const *commands;	/* Ends with null. */
};

extern const struct cli_group cli_groups[];	/* Ends with a null title. */
extern const struct cli_option cli_global_options[];

/* Exact name ("image ls"); null when there is none. */
const struct cli_command *command_find(const char *name);
/* Are these the first words of names ("image", "volume snapshot")? */
bool command_is_topic(const char *words);

#define OPTIONS(...) (const struct cli_option[]){ __VA_ARGS__, { 0 } }
#define TITLES(...) (const struct cli_title[]){ __VA_ARGS__, { 0 } }
#define EXAMPLES(...) (const char *const[]){ __VA_ARGS__, NULL }

#define OUTPUT_OPTIONS \
	{ "output", 'o', false, "FORMAT", "table, json, yaml or name." }, \
	{ "no-headers", 0, false, NULL, "Leave out the first line of tables." }
#define WAIT_OPTIONS \
	{ "no-wait", 0, false, NULL, "Return at once; the work goes on." }, \
	{ "timeout", 0, false, "DURATION", "Stop waiting after this long (\"90s\"); the work goes on." }

/* What was given on the command line. */
struct cli_use { const struct cli_option *option; const char *value; };
struct arguments {
	VEC(const char *) values;
	VEC(const char *) rest;		/* After "--", where the command has passes_rest. */
	VEC(struct cli_use) uses;
};

/* Everything one call of `strata` knows. */
struct cli {
	const struct cli_doors *doors;
	FILE *out, *messages;
	const struct cli_command *command;	/* Null until found; then its options are known. */
	struct arguments arguments;
	struct stream_target target;
	char *host_text;		/* Owns target.host and target.port. */
	struct client *client;		/* Null until first used. */
	int64_t started_ms;		/* Monotonic: --timeout counts from here, for all arguments together. */
};

/* Argument 'i', or null when not given. */
const char *cli_argument(const struct cli *cli, size_t i);
size_t cli_argument_count(const struct cli *cli);
/* Word 'i' after "--" of a command with passes_rest; null when there are no more. */
const char *cli_rest(const struct cli *cli, size_t i);
/* Value of the option (the last one), or null. The option must be in the command's table. */
const char *cli_value(const struct cli *cli, const char *option);
/* Of an option whose value is a DURATION, checked when it was read; in ms, 0 when it was not given. */
int64_t cli_duration(const struct cli *cli, const char *option);
bool cli_has(const struct cli *cli, const char *option);
/* Is the option in the command's table? */
bool cli_offers(const struct cli *cli, const char *option);
/* The i-th use of an option that repeats; null when there are no more. */
const char *cli_value_at(const struct cli *cli, const char *option, size_t i);

#endif

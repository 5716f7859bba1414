/*
 * output.h - objects as people and programs want them: -o table, json, yaml or name.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "5-interface/cli/request.h"
#include "5-interface/cli/scan.h"
#include "5-interface/cli/table.h"

enum output_form { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME };

/* Of the command's -o; 'fallback' when not given. */
int output_form(const struct cli *cli, enum output_form fallback, enum output_form *ret_form, struct err *err);

/* Any JSON value, pretty. */
void output_json(struct cli *cli, const struct json *json);
void output_yaml(struct cli *cli, const struct json *json);

/* A list of objects, in the form of -o. */

struct output_column {
	const char *title;		/* Null: made of the path's last word. */
	const char *path;		/* "spec.memory"; in lists the first value. meta.created_at is shown as an age. */
	const char *otherwise;		/* Path of what is shown when that is not set; or null. */
	bool may_be_empty;		/* Else '-' stands for nothing. */
	bool has_no_zero;		/* 0 means that nothing is said. */
};

struct output_condition {
	const char *words[SCAN_WORDS];	/* As in struct scan_pick. */
	const char *value;		/* Null: any. */
};

struct output_list {
	const struct kind *kind;
	const char *path;		/* Of the request. */
	const struct output_column *columns;	/* Ends with a null path. Null: those of the kind. */
	const struct output_condition *conditions;
	size_t condition_count;
};

int output_list(struct cli *cli, const struct output_list *list, struct err *err);

/* One object at 'path', in the form of -o; for people as show.c writes it. */
int output_object(struct cli *cli, const struct kind *kind, const char *path, struct err *err);

/* The whole object for people: every field that is set, with units. */
void show_object(const struct kind *kind, const void *object, FILE *out);
/* Fields of one table that are set, one per line. */
void show_fields(const struct field_table *fields, const void *object, FILE *out);

#endif

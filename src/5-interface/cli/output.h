/*
 * output.h - objects as people and programs want them: -o table, json, yaml or name.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "5-interface/cli/request.h"
#include "5-interface/cli/table.h"

enum output_form { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME };

/* Of the command's -o; 'fallback' when not given. */
int output_form(const struct cli *cli, enum output_form fallback, enum output_form *ret_form, struct err *err);

/* Any JSON value, pretty. */
void output_json(struct cli *cli, const struct json *json);
void output_yaml(struct cli *cli, const struct json *json);

/* The list of a kind at 'path', in the form of -o; tables by 'row', or by the kind's columns when null. */
typedef void output_row_fn(struct table *table, const void *object);
struct output_list {
	const struct kind *kind;
	const char *path;
	void (*header)(struct table *table);	/* Both or none. */
	output_row_fn *row;
	bool (*filter)(void *data, const void *object);	/* Null: all. */
	void *data;
};
int output_list(struct cli *cli, const struct output_list *list, struct err *err);

/* One object at 'path', in the form of -o; for people as show.c writes it. */
int output_object(struct cli *cli, const struct kind *kind, const char *path, struct err *err);

/* The whole object for people: every field that is set, with units. */
void show_object(const struct kind *kind, const void *object, FILE *out);
/* Fields of one table that are set, one per line. */
void show_fields(const struct field_table *fields, const void *object, FILE *out);

#endif

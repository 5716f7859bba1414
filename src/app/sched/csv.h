/*
 * csv.h - tables of plain comma-separated fields with a header line, without quotes: the traces.
 *
 * Columns are asked for by name, in any order of the file.
 * Errors: -EINVAL, naming file, line and field. Memory: fields are valid until the next csv_next().
 */
#ifndef APP_SCHED_CSV_H
#define APP_SCHED_CSV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum { CSV_COLUMNS_MAX = 32 };

struct csv {
	const char *path;
	FILE *file;
	char *header, *line;
	size_t line_capacity;
	uint64_t line_number;
	const char *names[CSV_COLUMNS_MAX], *fields[CSV_COLUMNS_MAX];
	int column_count;
};

int csv_open(struct csv *csv, const char *path, struct err *err);
void csv_close(struct csv *csv);
#define auto_csv __attribute__((cleanup(csv_close)))

int csv_column(const struct csv *csv, const char *name, int *ret_column, struct err *err);
int csv_next(struct csv *csv, struct err *err);		/* 1: a line was read, 0: the end. */
/* Decimal fractions are accepted where they are zeros ("194.0"). */
int csv_integer(const struct csv *csv, int column, int64_t least, int64_t most, int64_t *ret_value, struct err *err);
/* Up to three digits after the point, as thousandths. */
int csv_milli(const struct csv *csv, int column, int64_t most, int64_t *ret_milli, struct err *err);

#endif

/*
 * table.h - tables for a terminal: columns aligned by display width, no borders.
 *
 *	struct table table = { 0 };
 *	table_header(&table, "NAME", "STATE", NULL);
 *	table_cell(&table, "%s", name);  table_cell(&table, "%s", state);
 *	table_print(&table, true, stdout);  table_done(&table);
 *
 * Columns that are empty in every row are left out. Cells may hold what came from outside: control characters become '?'.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/vec.h"

struct table {
	size_t columns;
	VEC(char *) cells;		/* Row by row; the first is the header. */
};

void table_header(struct table *table, ...) __attribute__((sentinel));
void table_title(struct table *table, const char *title);	/* One more column, before any row. */
void table_text(struct table *table, const char *text);		/* A cell. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *table, bool has_header, FILE *out);
void table_done(struct table *table);

/* Columns of a terminal that 'text' takes: wide East Asian characters take two, combining ones none. */
size_t text_width(const char *text);

/* "5s", "3m", "2h", "14d": how long ago in one unit; "-" for never. */
char *text_age(int64_t then_ms, int64_t now_ms);

#endif

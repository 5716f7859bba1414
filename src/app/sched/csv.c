#include "app/sched/csv.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Cuts 'line' at its commas; -EINVAL when there are more than CSV_COLUMNS_MAX. */
static int split(struct csv *csv, char *line, const char **fields, struct err *err)
{
	int count = 0;

	line[strcspn(line, "\r\n")] = 0;
	for (char *next = line; next;) {
		if (count == CSV_COLUMNS_MAX)
			return err_set(err, -EINVAL, "%s:%llu: more than %d fields", csv->path, (unsigned long long)csv->line_number,
				       CSV_COLUMNS_MAX);
		fields[count++] = strsep(&next, ",");
	}
	return count;
}

int csv_open(struct csv *csv, const char *path, struct err *err)
{
	int r;

	*csv = (struct csv){ .path = path, .file = fopen(path, "re") };
	if (!csv->file)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	csv->line_number = 1;
	if (getline(&csv->header, &csv->line_capacity, csv->file) < 0) {
		r = ferror(csv->file) ? err_set(err, -errno, "read '%s': %m", shown(path)) :
					err_set(err, -EINVAL, "%s: is empty, a header line is missing", path);
		csv_close(csv);
		return r;
	}
	csv->line_capacity = 0;
	r = split(csv, csv->header, csv->names, err);
	if (r < 0)
		csv_close(csv);
	csv->column_count = r;
	return r < 0 ? r : 0;
}

void csv_close(struct csv *csv)
{
	if (csv->file)
		fclose(csv->file);
	free(csv->header);
	free(csv->line);
	*csv = (struct csv){ 0 };
}

int csv_column(const struct csv *csv, const char *name, int *ret_column, struct err *err)
{
	for (int i = 0; i < csv->column_count; i++)
		if (text_equal(csv->names[i], name)) {
			*ret_column = i;
			return 0;
		}
	return err_set(err, -EINVAL, "%s:1: there is no column '%s'", csv->path, name);
}

int csv_next(struct csv *csv, struct err *err)
{
	int r;

	if (getline(&csv->line, &csv->line_capacity, csv->file) < 0)
		return ferror(csv->file) ? err_set(err, -EIO, "read '%s': %m", csv->path) : 0;
	csv->line_number++;
	r = split(csv, csv->line, csv->fields, err);
	if (r < 0)
		return r;
	if (r != csv->column_count)
		return err_set(err, -EINVAL, "%s:%llu: has %d fields, the header has %d", csv->path, (unsigned long long)csv->line_number, r,
			       csv->column_count);
	return 1;
}

static int wrong(const struct csv *csv, int column, const char *expected, struct err *err)
{
	return err_set(err, -EINVAL, "%s:%llu: %s is '%s': use %s", csv->path, (unsigned long long)csv->line_number, csv->names[column],
		       shown(csv->fields[column]), expected);
}

int csv_milli(const struct csv *csv, int column, int64_t most, int64_t *ret_milli, struct err *err)
{
	const char *text = csv->fields[column];
	int64_t value = 0;
	int digits = 0;

	for (; *text >= '0' && *text <= '9'; text++, digits++)
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value) || value > most / 1000)
			return wrong(csv, column, "a smaller number", err);
	value *= 1000;
	if (digits && *text == '.') {
		text++;
		for (int64_t place = 100; *text >= '0' && *text <= '9'; text++, place /= 10) {
			if (!place && *text != '0')
				return wrong(csv, column, "at most three digits after the point", err);
			value += place * (*text - '0');
		}
	}
	if (!digits || *text || value > most)
		return wrong(csv, column, "a number of zero or more", err);
	*ret_milli = value;
	return 0;
}

int csv_integer(const struct csv *csv, int column, int64_t least, int64_t most, int64_t *ret_value, struct err *err)
{
	int64_t milli = 0;
	int r = csv_milli(csv, column, most * 1000, &milli, err);

	if (r < 0)
		return r;
	if (milli % 1000 || milli / 1000 < least)
		return wrong(csv, column, milli % 1000 ? "a whole number" : "a larger number", err);
	*ret_value = milli / 1000;
	return 0;
}

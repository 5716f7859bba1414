#include "5-interface/cli/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <wchar.h>

#include "base/str.h"
#include "base/utf8.h"

enum { CELL_BYTES = 512, GAP = 2 };

void table_title(struct table *table, const char *title)
{
	*vec_push(&table->cells) = text_copy(title);
	table->columns++;
}

void table_header(struct table *table, ...)
{
	va_list args;
	const char *title;

	va_start(args, table);
	while ((title = va_arg(args, const char *)))
		table_title(table, title);
	va_end(args);
}

void table_text(struct table *table, const char *text)
{
	char buffer[CELL_BYTES + sizeof("...")];

	*vec_push(&table->cells) = text_copy(text_shown(text, CELL_BYTES, buffer, sizeof(buffer)));
}

void table_cell(struct table *table, const char *format, ...)
{
	auto_free char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	table_text(table, text);
}

/* A width of 0: a column without content, which is left out. */
static void print_row(const struct table *table, size_t row, const size_t *widths, FILE *out)
{
	size_t gap = 0;

	for (size_t i = 0; i < table->columns; i++) {
		const char *cell = table->cells.items[row * table->columns + i];

		if (widths[i] == 0)
			continue;
		if (cell[0])
			fprintf(out, "%*s%s", (int)gap, "", cell);
		gap = (cell[0] ? 0 : gap) + widths[i] - text_width(cell) + GAP;
	}
	fputc('\n', out);
}

static void widen(size_t *width, const char *cell)
{
	size_t needed = text_width(cell);

	if (needed > *width)
		*width = needed;
}

void table_print(const struct table *table, bool has_header, FILE *out)
{
	auto_free size_t *widths = alloc(table->columns * sizeof(*widths));
	size_t rows = table->cells.count / table->columns;

	assert(table->cells.count == rows * table->columns);
	for (size_t i = table->columns; i < table->cells.count; i++)
		widen(&widths[i % table->columns], table->cells.items[i]);
	for (size_t i = 0; i < table->columns; i++)
		if (has_header && (widths[i] || rows == 1))
			widen(&widths[i], table->cells.items[i]);
	for (size_t row = has_header ? 0 : 1; row < rows; row++)
		print_row(table, row, widths, out);
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->cells.count; i++)
		free(table->cells.items[i]);
	vec_done(&table->cells);
}

static wchar_t decode_utf8(const char *bytes, size_t length)
{
	static const unsigned char first_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	wchar_t c = (wchar_t)((unsigned char)bytes[0] & first_bits[length]);

	for (size_t i = 1; i < length; i++)
		c = c << 6 | ((unsigned char)bytes[i] & 0x3f);
	return c;
}

size_t text_width(const char *text)
{
	size_t size = strlen(text), width = 0;

	for (size_t i = 0; i < size; ) {
		size_t length = (unsigned char)text[i] < 0x80 ? 1 : utf8_length(text + i, size - i);
		int columns = length > 1 ? wcwidth(decode_utf8(text + i, length)) : 1;

		width += columns < 0 ? 1 : (size_t)columns;
		i += length ? length : 1;
	}
	return width;
}

char *text_age(int64_t then_ms, int64_t now_ms)
{
	int64_t seconds = (now_ms - then_ms) / 1000;

	if (then_ms == 0)
		return text_copy("-");
	if (seconds < 0)
		seconds = 0;
	if (seconds < 120)
		return text_format("%" PRId64 "s", seconds);
	if (seconds < 120 * 60)
		return text_format("%" PRId64 "m", seconds / 60);
	if (seconds < 48 * 3600)
		return text_format("%" PRId64 "h", seconds / 3600);
	return text_format("%" PRId64 "d", seconds / 86400);
}

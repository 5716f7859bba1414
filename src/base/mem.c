#include "base/mem.h"

#include <stdarg.h>
#include <string.h>

void *alloc(size_t size_bytes)
{
	void *memory = calloc(1, size_bytes ? size_bytes : 1);

	if (!memory)
		abort();
	return memory;
}

void *alloc_array(void *old, size_t count, size_t size_bytes)
{
	void *memory = reallocarray(old, count ? count : 1, size_bytes ? size_bytes : 1);

	if (!memory)
		abort();
	return memory;
}

static char *text_new(size_t length)
{
	char *text = malloc(length + 1);

	if (!text)
		abort();
	text[length] = '\0';
	return text;
}

char *text_copy_length(const char *text, size_t length)
{
	return memcpy(text_new(length), text, length);
}

char *text_copy(const char *text)
{
	return text ? text_copy_length(text, strlen(text)) : NULL;
}

enum { JOIN_PIECES_MAX = 16 };

/*
 * What a format of nothing but text and "%s" gives, which is how almost all keys and paths are made, without printf's
 * tenfold cost; null: it is another format.
 */
static char *join(const char *format, va_list args)
{
	struct { const char *text; size_t size; } pieces[JOIN_PIECES_MAX];
	size_t count = 0, size = 0;
	char *text, *to;

	while (*format) {
		size_t length = strcspn(format, "%");

		if (count == JOIN_PIECES_MAX)
			return NULL;
		pieces[count].text = length ? format : format[1] == 's' ? va_arg(args, const char *) : NULL;
		if (!pieces[count].text)
			return NULL;
		format += length ? length : 2;
		pieces[count].size = length ? length : strlen(pieces[count].text);
		size += pieces[count++].size;
	}
	text = to = text_new(size);
	for (size_t i = 0; i < count; i++)
		to = mempcpy(to, pieces[i].text, pieces[i].size);
	return text;
}

char *text_format(const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	text = join(format, args);
	va_end(args);
	if (text)
		return text;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	return text;
}

void text_replace(char **target, const char *text)
{
	char *copy = text_copy(text);	/* First, for 'text' may lie in '*target'. */

	free(*target);
	*target = copy;
}

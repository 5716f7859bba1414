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

char *text_copy_length(const char *text, size_t length)
{
	char *copy = alloc(length + 1);

	memcpy(copy, text, length);
	return copy;
}

char *text_copy(const char *text)
{
	return text ? text_copy_length(text, strlen(text)) : NULL;
}

char *text_format(const char *format, ...)
{
	char *text = NULL;
	va_list args;

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

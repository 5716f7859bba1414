#include "driver/machine/qemu/stderr_text.h"

#include <string.h>

/* After the first 'mark' in 'text', or null. */
static const char *after(const char *text, const char *mark)
{
	const char *at = strstr(text, mark);

	return at ? at + strlen(mark) : NULL;
}

const char *stderr_text(const char *line)
{
	const char *text = line, *rest;

	if (strncmp(text, "qemu-", 5) == 0 && (rest = after(text, ": ")))
		text = rest;
	if (text[0] != '-')
		return text;
	/* A JSON value may contain colons, but ends with a brace. */
	for (rest = text; strchr(text, '{') && (rest = after(rest, "}: "));)
		text = rest;
	if (text[0] == '-' && (rest = after(text, ": ")))
		text = rest;
	return text;
}

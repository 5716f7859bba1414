#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static const char *word_of(enum log_level level)
{
	switch (level) {
	case LOG_ERROR: return "error: ";
	case LOG_WARNING: return "warning: ";
	case LOG_NOTICE: return "notice: ";
	case LOG_INFO: return "";
	}
	return "";
}

/* One call is one line, whatever the text holds: nobody may forge a second one. */
static void flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	size_t room = sizeof(line) - 1;			/* One byte stays for the newline. */
	size_t size;
	va_list args;

	if (isatty(STDERR_FILENO))
		size = (size_t)snprintf(line, room, "%s", word_of(level));
	else
		size = (size_t)snprintf(line, room, "<%d>", (int)level);

	va_start(args, format);
	vsnprintf(line + size, room - size, format, args);
	va_end(args);
	flatten(line);

	size = strlen(line);
	line[size++] = '\n';
	/* There is nowhere to report that stderr is gone. */
	if (write(STDERR_FILENO, line, size) < 0)
		return;
}

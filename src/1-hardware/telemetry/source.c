#include "1-hardware/telemetry/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

int source_open(struct source *source, const char *root, const char *path)
{
	auto_free char *whole = text_format("%s%s", root, path);
	int fd = open(whole, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	source->fd_plus_one = fd + 1;
	return 0;
}

void source_close(struct source *source)
{
	if (source_is_open(source))
		close(source->fd_plus_one - 1);
	source->fd_plus_one = 0;
}

int source_read(const struct source *source, char *text, size_t size)
{
	ssize_t got;

	if (!source_is_open(source))
		return -ENODEV;
	got = pread(source->fd_plus_one - 1, text, size - 1, 0);
	if (got < 0)
		return -errno;
	text[got] = '\0';
	return got ? 0 : -ENODEV;
}

int source_read_number(const struct source *source, uint64_t *ret_number)
{
	char text[32];
	int r = source_read(source, text, sizeof(text));

	if (r == 0 && (text[0] < '0' || text[0] > '9'))
		r = -EINVAL;
	if (r == 0)
		*ret_number = strtoull(text, NULL, 10);
	return r;
}

bool text_number_after(const char *text, const char *key, uint64_t *ret_number)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) == 0) {
			*ret_number = strtoull(line + length, NULL, 10);
			return true;
		}
	}
	return false;
}

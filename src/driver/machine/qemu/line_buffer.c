#include "driver/machine/qemu/line_buffer.h"

#include <errno.h>
#include <string.h>

int line_buffer_add(struct line_buffer *buffer, const void *bytes, size_t size, struct err *err)
{
	if (buffer->start) {
		str_remove_front(&buffer->bytes, buffer->start);
		buffer->scanned -= buffer->start;
		buffer->start = 0;
	}
	if (size > buffer->max_bytes || buffer->bytes.size > buffer->max_bytes - size)
		return err_set(err, -EFBIG, "a message has more than %zu bytes", buffer->max_bytes);
	str_append_bytes(&buffer->bytes, bytes, size);
	return 0;
}

bool line_buffer_next(struct line_buffer *buffer, const char **ret_line, size_t *ret_size)
{
	const char *newline;

	if (buffer->scanned == buffer->bytes.size)
		return false;
	newline = memchr(buffer->bytes.data + buffer->scanned, '\n', buffer->bytes.size - buffer->scanned);
	if (!newline) {
		buffer->scanned = buffer->bytes.size;
		return false;
	}
	*ret_line = buffer->bytes.data + buffer->start;
	*ret_size = (size_t)(newline - *ret_line);
	buffer->start = buffer->scanned = (size_t)(newline + 1 - buffer->bytes.data);
	return true;
}

void line_buffer_done(struct line_buffer *buffer)
{
	str_done(&buffer->bytes);
	buffer->start = buffer->scanned = 0;
}

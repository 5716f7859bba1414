/*
 * Whatever a log holds, read in whatever pieces: the same text comes out, no more than went in; and the last lines, found from the
 * end, are a part of all. The first byte is the size of the pieces, the second one how many lines.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log_record.h"
#include "base/mem.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep(void *data, const struct log_record *record, const char *text, size_t size)
{
	struct str *out = data;

	assert(record->stream < LOG_STREAMS && record->time);
	assert(!memchr(text, '\n', size) || (text[size - 1] == '\n' && !record->is_partial));
	str_append_bytes(out, text, size);
}

static uint64_t decode(const char *bytes, size_t size, size_t piece, struct str *out)
{
	struct log_decoder decoder = { .fn = keep, .data = out };

	for (size_t i = 0; i < size; i += piece)
		log_decoder_write(&decoder, bytes + i, size - i < piece ? size - i : piece);
	assert(out->size <= size);
	return decoder.damaged;
}

static bool ends_with(const struct str *whole, const struct str *end)
{
	return end->size <= whole->size && (!end->size || memcmp(whole->data + whole->size - end->size, end->data, end->size) == 0);
}

static void last_lines(const char *bytes, size_t size, uint64_t count, const struct str *whole)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	auto_str struct str end = { 0 };
	struct err err;
	off_t offset;

	assert(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	assert(log_find_lines(fd, count, true, &offset, &err) == 0 && offset >= 0 && (size_t)offset <= size);
	decode(bytes + offset, size - (size_t)offset, size + 1, &end);
	assert(ends_with(whole, &end));
	assert(log_find_lines(fd, count, false, &offset, &err) == 0 && offset >= 0 && (size_t)offset <= size);
	assert(offset == 0 || (size_t)offset == size || bytes[offset - 1] == '\n');
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_str struct str whole = { 0 }, pieces = { 0 };
	const char *log = (const char *)data + 2;

	if (size < 3 || size > 256 << 10)
		return 0;
	assert(decode(log, size - 2, size, &whole) == decode(log, size - 2, data[0] + 1U, &pieces));
	assert(whole.size == pieces.size && (!whole.size || memcmp(whole.data, pieces.data, whole.size) == 0));
	last_lines(log, size - 2, data[1], &whole);
	return 0;
}

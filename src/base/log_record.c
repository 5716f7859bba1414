#include "base/log_record.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

/*
 * ---- The head of a line ----
 */

/* Cuts "stdout" off "stdout F" and returns what follows, or null. */
static char *cut_word(char *text)
{
	char *blank = strchr(text, ' ');

	if (!blank)
		return NULL;
	*blank = '\0';
	return blank + 1;
}

/* 'head' is "<time> <stream> <tags>" and gets cut; the first tag says it all, others follow behind ':'. */
static bool parse_head(char *head, size_t size, struct log_record *record)
{
	char *stream, *tag;
	struct err ignored;

	if (memchr(head, '\0', size) || !(stream = cut_word(head)) || !(tag = cut_word(stream)))
		return false;
	if ((tag[0] != 'F' && tag[0] != 'P') || (tag[1] && tag[1] != ':') || units_parse_time(head, &record->time_ms, &ignored) < 0)
		return false;
	if (!text_equal(stream, "stdout") && !text_equal(stream, "stderr"))
		return false;
	record->time = head;
	record->is_partial = tag[0] == 'P';
	record->stream = text_equal(stream, "stdout") ? LOG_STDOUT : LOG_STDERR;
	return true;
}

/* Up to the third blank, or a newline before it. Returns how many bytes it took; '*ret_is_whole': the head has ended. */
static size_t collect_head(char *head, size_t *head_size, const char *bytes, size_t size, bool *ret_is_whole)
{
	size_t blanks = 0, taken = 0;

	for (size_t i = 0; i < *head_size; i++)
		blanks += head[i] == ' ';
	*ret_is_whole = false;
	while (taken < size && *head_size < LOG_RECORD_HEAD_MAX && !*ret_is_whole) {
		char c = bytes[taken];

		blanks += c == ' ';
		*ret_is_whole = c == '\n' || blanks == 3;
		if (c != '\n')			/* Which is for whoever reads the text. */
			taken++;
		if (!*ret_is_whole)
			head[(*head_size)++] = c;
	}
	*ret_is_whole |= *head_size == LOG_RECORD_HEAD_MAX;
	head[*head_size] = '\0';
	return taken;
}

/*
 * ---- Decoding ----
 */

static void begin_record(struct log_decoder *decoder)
{
	struct log_record *record = &decoder->record;

	*record = (struct log_record){ .is_start = true };
	if (!parse_head(decoder->head, decoder->head_size, record)) {
		decoder->damaged += decoder->is_past_first;
		decoder->state = LOG_IN_DAMAGE;
		return;
	}
	record->is_continued = decoder->is_open[record->stream];
	decoder->is_open[record->stream] = record->is_partial;
	decoder->is_wanted = record->time_ms >= decoder->since_ms && !(decoder->skipped_streams & 1U << record->stream);
	decoder->state = LOG_IN_TEXT;
}

static size_t take_head(struct log_decoder *decoder, const char *bytes, size_t size)
{
	bool is_whole;
	size_t taken = collect_head(decoder->head, &decoder->head_size, bytes, size, &is_whole);

	if (is_whole)
		begin_record(decoder);
	return taken;
}

/* Of a record or of damage. */
static size_t take_text(struct log_decoder *decoder, const char *bytes, size_t size)
{
	const char *newline = memchr(bytes, '\n', size);
	size_t length = newline ? (size_t)(newline - bytes) : size;
	bool has_newline = newline && !decoder->record.is_partial;

	if (decoder->state == LOG_IN_TEXT && decoder->is_wanted && (length || newline)) {
		decoder->fn(decoder->data, &decoder->record, bytes, length + has_newline);
		decoder->record.is_start = false;
	}
	if (!newline)
		return length;
	decoder->state = LOG_IN_HEAD;
	decoder->head_size = 0;
	decoder->is_past_first = true;
	return length + 1;
}

void log_decoder_write(struct log_decoder *decoder, const char *bytes, size_t size)
{
	for (size_t at = 0; at < size;)
		at += decoder->state == LOG_IN_HEAD ? take_head(decoder, bytes + at, size - at) : take_text(decoder, bytes + at, size - at);
}

void log_decoder_restart(struct log_decoder *decoder)
{
	decoder->state = LOG_IN_HEAD;
	decoder->head_size = 0;
	decoder->is_past_first = false;
	memset(decoder->is_open, 0, sizeof(decoder->is_open));
}

/*
 * ---- The last lines ----
 */

enum { BLOCK_BYTES = 64 << 10 };

struct count {
	uint64_t wanted, found;
	bool has_records;
	off_t begin;			/* Of the earliest line found. */
};

/* A line of the file that ends one of the reader's. */
enum line_kind { LINE_NONE, LINE_END, LINE_PART };

static enum line_kind kind_of(const char *line, size_t size)
{
	char head[LOG_RECORD_HEAD_MAX + 1];
	struct log_record record;
	size_t head_size = 0;
	bool is_whole;

	collect_head(head, &head_size, line, size, &is_whole);
	if (!is_whole || !parse_head(head, head_size, &record))
		return LINE_NONE;
	return record.is_partial ? LINE_PART : LINE_END;
}

/* Lines come from the last to the first. Returns whether this one is already too many. */
static bool take_line(struct count *count, off_t begin, const char *line, size_t size)
{
	enum line_kind kind = count->has_records ? kind_of(line, size) : LINE_END;

	if (kind == LINE_NONE)
		return false;
	/* A partial one belongs to the line behind it, unless nothing is there yet. */
	if (kind == LINE_END || !count->found) {
		if (count->found == count->wanted)
			return true;
		count->found++;
	}
	count->begin = begin;
	return false;
}

/* The lines that begin in the block of 'length' bytes at 'at', of which 'buffer' has a little more. */
static bool take_block(struct count *count, off_t at, const char *buffer, size_t length, size_t size)
{
	for (const char *newline; (newline = memrchr(buffer, '\n', length)); length = (size_t)(newline - buffer)) {
		size_t begin = (size_t)(newline - buffer) + 1;

		/* Behind the file's last newline there is no line. */
		if (begin < size && take_line(count, at + (off_t)begin, buffer + begin, size - begin))
			return true;
	}
	return at == 0 && size && take_line(count, 0, buffer, size);
}

int log_find_lines(int fd, uint64_t wanted, bool has_records, off_t *ret_offset, struct err *err)
{
	auto_free char *buffer = alloc(BLOCK_BYTES + LOG_RECORD_HEAD_MAX);
	struct count count = { .wanted = wanted, .has_records = has_records };
	struct stat st;
	off_t at;
	bool is_done = !wanted;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "look at the log: %m");
	count.begin = at = st.st_size;
	while (at > 0 && !is_done) {
		size_t length = at < BLOCK_BYTES ? (size_t)at : BLOCK_BYTES;
		ssize_t size = pread(fd, buffer, length + LOG_RECORD_HEAD_MAX, at - (off_t)length);

		if (size < 0)
			return err_set(err, -errno, "read the log: %m");
		at -= (off_t)length;
		is_done = take_block(&count, at, buffer, length < (size_t)size ? length : (size_t)size, (size_t)size);
	}
	*ret_offset = is_done ? count.begin : 0;
	return 0;
}

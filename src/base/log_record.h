/*
 * log_record.h - logs of containers: lines with time and stream, back to plain text.
 *
 *	2026-11-30T05:24:38.129123456+00:00 stdout F a whole line
 *	2026-11-30T05:24:38.130123456+00:00 stderr P the beginning of one, without a newline
 *
 * This is what conmon calls "k8s-file" and Kubernetes the CRI logging format. P ("partial") means that the
 * text goes on in the next record of the stream. The decoder takes pieces of any size and hands out
 * pieces of text: nothing is kept but a line's head, so a line may be endless.
 *
 * A log may have been cut at its front, so a first line that is no record is normal and skipped;
 * others that are none are skipped and counted.
 *
 * Errors:  none in the decoder; -errno of reading.
 * Memory:  what a callback gets is borrowed for its time. A decoder is plain memory: nothing to free.
 * Threads: one at a time per decoder.
 */
#ifndef BASE_LOG_RECORD_H
#define BASE_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { LOG_RECORD_HEAD_MAX = 80 };	/* Time, stream and tag; it has about 45. */

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_STREAMS };

struct log_record {
	enum log_stream stream;
	int64_t time_ms;		/* Since 1970. */
	const char *time;		/* As it was written. */
	bool is_partial;
	bool is_continued;		/* Goes on where the stream's record before ended. */
	bool is_start;			/* This is the first piece of its text. */
};

/* 'text' has its newline when this is its end and the record is not partial. 'size' may be 0. */
typedef void log_record_fn(void *data, const struct log_record *record, const char *text, size_t size);

struct log_decoder {
	/* The caller's; all else is 0 at first. */
	log_record_fn *fn;
	void *data;
	int64_t since_ms;		/* Records before are skipped. */
	unsigned skipped_streams;	/* 1 << LOG_STDERR: only stdout. */

	uint64_t damaged;		/* Lines that were no records. */
	/* The decoder's own. */
	enum { LOG_IN_HEAD, LOG_IN_TEXT, LOG_IN_DAMAGE } state;
	bool is_past_first;		/* Line. */
	bool is_wanted;
	bool is_open[LOG_STREAMS];	/* Its last record was partial. */
	struct log_record record;
	size_t head_size;
	char head[LOG_RECORD_HEAD_MAX + 1];
};

void log_decoder_write(struct log_decoder *decoder, const char *bytes, size_t size);
/* What comes next is the beginning of another file. */
void log_decoder_restart(struct log_decoder *decoder);

/*
 * Where the last 'count' lines of the file begin, read from its end. With records a line is what it is to readers: partial ones
 * count together, and those that are none do not count.
 */
int log_find_lines(int fd, uint64_t count, bool has_records, off_t *ret_offset, struct err *err);

#endif

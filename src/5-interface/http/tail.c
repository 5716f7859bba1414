#include "5-interface/http/tail.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "5-interface/http/poller.h"
#include "5-interface/http/server.h"
#include "base/log_record.h"
#include "base/mem.h"

enum {
	/* Text takes less room than its records, but the head of a record may have come with an earlier piece. */
	RECORD_SPARE = LOG_RECORD_HEAD_MAX + 2,
	SKIPPED_PIECES_MAX = 32,	/* Without a word, before others have their turn. */
};

struct text {			/* Where the text of records goes. */
	char *bytes;
	size_t size, used;
};

struct tails {			/* One inotify instance for all: a user has only 128 of them. */
	int inotify_fd;
	struct source *source;
	struct tail *first;
};

struct tail {
	struct tails *tails;		/* Null: does not follow. */
	struct tail *next;
	char *path, *folder;
	const char *name;		/* Of the file in the folder; in 'path'. */
	int watch;
	int fd;				/* -1: the file does not exist yet. */
	off_t offset;
	bool may_be_new;		/* The name may stand for another file now, or for none. */
	bool has_gone;			/* The folder has. */
	void (*changed)(void *data);
	void *data;
	bool has_records, shows_times, is_for_terminal;
	struct log_decoder decoder;	/* Of records. */
	struct text text;
};

static void on_inotify_event(struct tails *tails, const struct inotify_event *event)
{
	for (struct tail *tail = tails->first; tail; tail = tail->next) {
		bool is_overflow = event->mask & IN_Q_OVERFLOW;

		if (!is_overflow && tail->watch != event->wd)
			continue;
		if (event->mask & IN_IGNORED)
			tail->has_gone = true;
		else if (!is_overflow && (!event->len || strcmp(event->name, tail->name) != 0))
			continue;
		if (is_overflow || event->mask & (IN_CREATE | IN_MOVED_TO | IN_DELETE))
			tail->may_be_new = true;
		tail->changed(tail->data);
	}
}

static void on_inotify(void *data, uint32_t events)
{
	struct tails *tails = data;
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t size = read(tails->inotify_fd, buffer, sizeof(buffer));
	const struct inotify_event *event;

	(void)events;
	for (char *at = buffer; at < buffer + size; at += sizeof(*event) + event->len) {
		event = (const struct inotify_event *)at;
		on_inotify_event(tails, event);
	}
}

/* The first time it is needed. */
static int tails_start(struct server *server, struct err *err)
{
	struct tails *tails;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "inotify: %m");
	tails = alloc(sizeof(*tails));
	tails->inotify_fd = fd;
	tails->source = source_new(server->poller, fd, on_inotify, tails);
	source_want(tails->source, EPOLLIN);
	server->tails = tails;
	return 0;
}

void tails_free(struct tails *tails)
{
	if (!tails)
		return;
	source_remove(tails->source);
	close(tails->inotify_fd);
	free(tails);
}

static int follow(struct server *server, struct tail *tail, struct err *err)
{
	struct tails *tails;
	int r = server->tails ? 0 : tails_start(server, err);

	if (r < 0)
		return r;
	tails = server->tails;
	/* The same folder gives the same watch: it is shared. */
	tail->watch = inotify_add_watch(tails->inotify_fd, tail->folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE);
	if (tail->watch < 0)
		return err_set(err, -errno, "watch '%s': %m", tail->folder);
	tail->tails = tails;
	tail->next = tails->first;
	tails->first = tail;
	return 0;
}

static void close_file(struct tail *tail)
{
	if (tail->fd >= 0)
		close(take_fd(tail->fd));
}

static void begin_file(struct tail *tail)
{
	tail->offset = 0;
	log_decoder_restart(&tail->decoder);
}

/* Opens the file if it exists and is another one than before, from its beginning. */
static void open_file(struct tail *tail)
{
	int fd = open(tail->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st, old;

	/* While we hold a file that was deleted, the kernel does not tell that its folder went too. */
	if (fd < 0)
		return close_file(tail);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (tail->fd >= 0 && fstat(tail->fd, &old) == 0 && old.st_ino == st.st_ino && old.st_dev == st.st_dev)) {
		close(fd);
		return;
	}
	close_file(tail);
	tail->fd = fd;
	begin_file(tail);
}

static int seek(struct tail *tail, const struct tail_params *params, struct err *err)
{
	off_t offset = 0;
	struct stat st;
	int r;

	if (tail->fd < 0)
		return 0;
	if (params->lines != TAIL_ALL && (r = log_find_lines(tail->fd, params->lines, params->has_records, &offset, err)) < 0)
		return r;
	if (fstat(tail->fd, &st) == 0 && (uint64_t)st.st_size > params->bytes && st.st_size - (off_t)params->bytes > offset)
		offset = st.st_size - (off_t)params->bytes;
	tail->offset = offset;
	return 0;
}

static void put(struct text *text, const char *bytes, size_t size)
{
	assert(size <= text->size - text->used);
	memcpy(text->bytes + text->used, bytes, size);
	text->used += size;
}

static void take_text(void *data, const struct log_record *record, const char *bytes, size_t size)
{
	struct tail *tail = data;
	bool is_end = size && bytes[size - 1] == '\n';

	if (tail->shows_times && record->is_start && !record->is_continued) {
		put(&tail->text, record->time, strlen(record->time));
		put(&tail->text, " ", 1);
	}
	put(&tail->text, bytes, size - is_end);
	if (is_end && tail->is_for_terminal && (size < 2 || bytes[size - 2] != '\r'))
		put(&tail->text, "\r", 1);
	if (is_end)
		put(&tail->text, "\n", 1);
}

int tail_new(struct server *server, const struct tail_params *params, struct tail **ret_tail, struct err *err)
{
	struct tail *tail = alloc(sizeof(*tail));
	char *slash;
	int r = 0;

	*tail = (struct tail){
		.path = text_copy(params->path), .fd = -1, .changed = params->changed, .data = params->data,
		.has_records = params->has_records, .shows_times = params->shows_times, .is_for_terminal = params->is_for_terminal,
		.decoder = { .fn = take_text, .data = tail, .since_ms = params->since_ms },
	};
	slash = strrchr(tail->path, '/');
	if (!slash || slash == tail->path)
		r = err_set(err, -EINVAL, "the log '%s' is in no folder", params->path);
	if (r == 0) {
		tail->name = slash + 1;
		tail->folder = text_copy_length(tail->path, (size_t)(slash - tail->path));
		if (params->must_follow)
			r = follow(server, tail, err);	/* Before the first look, so that nothing falls between. */
	}
	if (r == 0) {
		open_file(tail);
		r = seek(tail, params, err);
	}
	if (r < 0) {
		tail_free(tail);
		return r;
	}
	*ret_tail = tail;
	return 0;
}

static void unfollow(struct tail *tail)
{
	struct tail **link = &tail->tails->first;
	bool is_shared = false;

	while (*link != tail)
		link = &(*link)->next;
	*link = tail->next;
	for (struct tail *other = tail->tails->first; other; other = other->next)
		is_shared |= other->watch == tail->watch;
	if (!is_shared && !tail->has_gone)
		inotify_rm_watch(tail->tails->inotify_fd, tail->watch);
}

void tail_free(struct tail *tail)
{
	if (!tail)
		return;
	if (tail->tails)
		unfollow(tail);
	close_file(tail);
	free(tail->path);
	free(tail->folder);
	free(tail);
}

/* As they are in the file. */
static ssize_t read_bytes(struct tail *tail, char *bytes, size_t size)
{
	struct stat st;
	ssize_t n = 0;

	if (tail->fd < 0)
		open_file(tail);
	if (tail->fd >= 0) {
		if (fstat(tail->fd, &st) == 0 && st.st_size < tail->offset)
			begin_file(tail);
		n = pread(tail->fd, bytes, size, tail->offset);
	}
	if (n <= 0 && tail->may_be_new) {
		tail->may_be_new = false;
		open_file(tail);
		n = tail->fd >= 0 ? pread(tail->fd, bytes, size, tail->offset) : 0;
	}
	if (n <= 0)
		return tail->has_gone ? -EPIPE : 0;
	tail->offset += n;
	return n;
}

static ssize_t read_records(struct tail *tail, char *bytes, size_t size)
{
	size_t piece_size = size - RECORD_SPARE;
	auto_free char *piece = alloc(piece_size);

	tail->text = (struct text){ .bytes = bytes, .size = size };
	for (int i = 0; i < SKIPPED_PIECES_MAX; i++) {
		ssize_t n = read_bytes(tail, piece, piece_size);

		if (n <= 0)
			return n;
		log_decoder_write(&tail->decoder, piece, (size_t)n);
		if (tail->text.used)
			return (ssize_t)tail->text.used;
	}
	return -EAGAIN;
}

ssize_t tail_read(struct tail *tail, char *bytes, size_t size)
{
	assert(size >= TAIL_READ_MIN);
	return tail->has_records ? read_records(tail, bytes, size) : read_bytes(tail, bytes, size);
}

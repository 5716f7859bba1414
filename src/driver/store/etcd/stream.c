/*
 * The thread reads the stream with libcurl's multi interface, because that can be woken. 'lock' guards what is shared;
 * the thread holds it while it takes a message.
 */
#include "driver/store/etcd/stream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "driver/store/etcd/request.h"
#include "driver/store/etcd/watch.h"

enum {
	STALL_MS = 1000,		/* What etcd has acknowledged and the stream does not tell: it is dead. */
	POLL_MS = 60000,		/* It is woken when there is something to do. */
	FIRST_PAUSE_MS = 25, LAST_PAUSE_MS = 1000,
	TOTAL_TIMEOUTS = 4,
	BUFFER_BYTES = 64 << 20,	/* Of events that nobody has come for: then etcd keeps the others. */
};

struct stream {
	struct members *members;
	CURLM *multi;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t base, seen;		/* The events after 'base' and up to 'seen' are in 'events'. */
	uint64_t needed;		/* Somebody waits for 'seen' to get here. */
	struct store_events events;
	size_t bytes;
	bool is_lost, is_stopping, is_awake, must_reconnect;

	/* The thread's own. */
	struct link link;
	struct watch watch;
	unsigned pause_ms;
	bool has_failed;
};

/* Waits for a change with the lock held; false: the time is over. */
static bool wait_until(struct stream *stream, int64_t deadline_ms)
{
	struct timespec deadline = { .tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000 };

	return pthread_cond_timedwait(&stream->changed, &stream->lock, &deadline) == 0;
}

/* Buffer */

static size_t size_of(const struct store_event *event)
{
	return sizeof(*event) + strlen(event->kv.key) + event->kv.value_size;
}

static void forget(struct stream *stream, uint64_t revision)
{
	size_t count = 0;

	while (count < stream->events.items.count && stream->events.items.items[count].kv.mod_revision <= revision) {
		stream->bytes -= size_of(&stream->events.items.items[count]);
		store_kv_done(&stream->events.items.items[count++].kv);
	}
	stream->events.items.count -= count;
	if (count)
		memmove(stream->events.items.items, stream->events.items.items + count,
			stream->events.items.count * sizeof(stream->events.items.items[0]));
	if (revision > stream->base)
		stream->base = revision;
	pthread_cond_broadcast(&stream->changed);
}

/* Somebody has seen everything up to 'revision'. */
static void advance(struct stream *stream, uint64_t revision)
{
	forget(stream, revision);
	if (!stream->is_lost || revision <= stream->seen)
		return;
	stream->seen = revision;
	stream->is_lost = false;
}

static void append_events(struct stream *stream, struct store_events *events)
{
	for (size_t i = 0; i < events->items.count; i++) {
		struct store_event *event = &events->items.items[i];

		/* The stream began at what was seen last, so that a compaction right behind it does not go unnoticed. */
		if (event->kv.mod_revision <= stream->seen)
			continue;
		stream->bytes += size_of(event);
		*vec_push(&stream->events.items) = *event;
		*event = (struct store_event){ 0 };
	}
}

static int take_message(void *data, struct watch_message *message, struct err *err)
{
	struct stream *stream = data;
	uint64_t revision = message->last_revision > message->idle_revision ? message->last_revision : message->idle_revision;

	(void)err;
	pthread_mutex_lock(&stream->lock);
	stream->is_lost |= message->compact_revision != 0;
	append_events(stream, &message->events);
	if (revision > stream->seen)
		stream->seen = revision;
	stream->pause_ms = FIRST_PAUSE_MS;
	stream->has_failed = false;
	pthread_cond_broadcast(&stream->changed);
	while (stream->bytes > BUFFER_BYTES && stream->seen >= stream->needed && !stream->is_stopping)
		pthread_cond_wait(&stream->changed, &stream->lock);
	pthread_mutex_unlock(&stream->lock);
	return 0;
}

/* The thread */

static size_t feed(char *bytes, size_t one, size_t size, void *data)
{
	struct stream *stream = data;
	struct err err;

	(void)one;
	/* Whatever is wrong with it: another member is asked. */
	return etcd_watch_feed(&stream->watch, bytes, size, &err) < 0 ? 0 : size;
}

static bool must_end(struct stream *stream)
{
	bool must;

	pthread_mutex_lock(&stream->lock);
	must = stream->is_stopping || stream->must_reconnect || stream->is_lost;
	pthread_mutex_unlock(&stream->lock);
	return must;
}

static void run_stream(struct stream *stream, size_t member, uint64_t from_revision)
{
	const struct curl *curl = &stream->members->curl;
	auto_str struct str body = { 0 };
	int running = 1, unused;

	etcd_request_watch(&stream->members->settings, from_revision, &body);
	stream->watch = (struct watch){ .members = stream->members, .on_message = take_message, .data = stream };
	etcd_link_prepare(&stream->link, member, "watch", &body, feed, stream);
	curl->multi_add_handle(stream->multi, stream->link.easy);
	while (running && !must_end(stream)) {
		if (curl->multi_perform(stream->multi, &running) != CURLM_OK)
			break;
		if (running)
			curl->multi_poll(stream->multi, NULL, 0, POLL_MS, &unused);
	}
	curl->multi_remove_handle(stream->multi, stream->link.easy);
	etcd_watch_done(&stream->watch);
}

/* With the lock held: until the stream may be begun (again). False: no more. */
static bool wait_to_begin(struct stream *stream)
{
	int64_t deadline_ms = clock_monotonic_ms() + stream->pause_ms;

	if (stream->has_failed) {
		while (!stream->is_stopping && wait_until(stream, deadline_ms))
			;
		stream->pause_ms = 2 * stream->pause_ms < LAST_PAUSE_MS ? 2 * stream->pause_ms : LAST_PAUSE_MS;
	}
	while (!stream->is_stopping && stream->is_lost)
		pthread_cond_wait(&stream->changed, &stream->lock);
	stream->must_reconnect = false;
	stream->has_failed = true;	/* Until a message has come. */
	return !stream->is_stopping;
}

static void *run_thread(void *data)
{
	struct stream *stream = data;

	pthread_mutex_lock(&stream->lock);
	for (size_t i = 0; wait_to_begin(stream); i++) {
		uint64_t from_revision = stream->seen;
		/* Where calls are answered the stream will be too; if not, at one of the others. */
		size_t member = atomic_load(&stream->members->preferred) + i;

		pthread_mutex_unlock(&stream->lock);
		run_stream(stream, member, from_revision);
		pthread_mutex_lock(&stream->lock);
	}
	pthread_mutex_unlock(&stream->lock);
	return NULL;
}

/* Life cycle */

static int start_thread(struct stream *stream, struct err *err)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&stream->thread, NULL, run_thread, stream);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return err_set(err, -r, "start the watch's thread: %m");
	pthread_setname_np(stream->thread, "store-watch");
	return 0;
}

static void stream_free(struct stream *stream)
{
	etcd_link_close(&stream->link);
	if (stream->multi)
		stream->members->curl.multi_cleanup(stream->multi);
	store_events_done(&stream->events);
	pthread_cond_destroy(&stream->changed);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}

int etcd_stream_open(struct members *members, uint64_t after_revision, struct stream **ret_stream, struct err *err)
{
	struct stream *stream = alloc(sizeof(*stream));
	pthread_condattr_t attributes;
	int r;

	*stream = (struct stream){ .members = members, .base = after_revision, .seen = after_revision, .pause_ms = FIRST_PAUSE_MS };
	pthread_mutex_init(&stream->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&stream->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	stream->multi = members->curl.multi_init();
	r = stream->multi ? etcd_link_open(members, &stream->link, err) : err_set(err, -ENOMEM, "libcurl gives no handle");
	if (r == 0)
		r = start_thread(stream, err);
	if (r < 0) {
		stream_free(stream);
		return r;
	}
	*ret_stream = stream;
	return 0;
}

void etcd_stream_close(struct stream *stream)
{
	if (!stream)
		return;
	pthread_mutex_lock(&stream->lock);
	stream->is_stopping = true;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->lock);
	stream->members->curl.multi_wakeup(stream->multi);
	pthread_join(stream->thread, NULL);
	stream_free(stream);
}

/* Reading */

bool etcd_stream_reaches_back(struct stream *stream, uint64_t after_revision)
{
	bool does;

	pthread_mutex_lock(&stream->lock);
	does = after_revision >= stream->base;
	pthread_mutex_unlock(&stream->lock);
	return does;
}

static void reconnect(struct stream *stream)
{
	stream->must_reconnect = true;
	stream->members->curl.multi_wakeup(stream->multi);
}

static bool wait_for_needed(struct stream *stream)
{
	int64_t now_ms = clock_monotonic_ms(), deadline_ms = now_ms + TOTAL_TIMEOUTS * (int64_t)stream->members->settings.timeout_ms;
	int64_t stall_ms = now_ms + STALL_MS;

	while (stream->seen < stream->needed && !stream->is_lost && now_ms < deadline_ms) {
		wait_until(stream, stall_ms < deadline_ms ? stall_ms : deadline_ms);
		now_ms = clock_monotonic_ms();
		if (now_ms >= stall_ms) {
			reconnect(stream);
			stall_ms = now_ms + STALL_MS;
		}
	}
	return stream->seen >= stream->needed;
}

static void copy_events(const struct stream *stream, const char *prefix, uint64_t after_revision, struct store_events *events)
{
	for (size_t i = 0; i < stream->events.items.count; i++) {
		const struct store_event *event = &stream->events.items.items[i];

		if (event->kv.mod_revision > after_revision && text_starts_with(event->kv.key, prefix))
			store_events_add(events, event->is_delete, &event->kv);
	}
}

int etcd_stream_read(struct stream *stream, const char *prefix, uint64_t after_revision, uint64_t needed_revision,
		struct store_events *events, struct err *err)
{
	int r = 0;

	pthread_mutex_lock(&stream->lock);
	if (!prefix[0])
		advance(stream, after_revision);
	stream->needed = needed_revision;
	pthread_cond_broadcast(&stream->changed);
	if (!wait_for_needed(stream))
		r = stream->is_lost ? 0 : err_set(err, -ETIMEDOUT, "etcd does not tell what was changed up to revision %" PRIu64, needed_revision);
	if (stream->is_lost)
		r = store_compacted(after_revision, err);
	if (r == 0)
		copy_events(stream, prefix, after_revision, events);
	stream->needed = 0;
	pthread_mutex_unlock(&stream->lock);
	return r;
}

bool etcd_stream_wait(struct stream *stream, uint64_t after_revision, uint32_t timeout_ms)
{
	int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
	size_t count;
	bool has_news;

	pthread_mutex_lock(&stream->lock);
	advance(stream, after_revision);
	/* What is left after advance() is news. */
	while ((count = stream->events.items.count) == 0 && !stream->is_lost && !stream->is_awake && wait_until(stream, deadline_ms))
		;
	has_news = count > 0 || stream->is_lost;
	pthread_mutex_unlock(&stream->lock);
	return has_news;
}

void etcd_stream_wake(struct stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->is_awake = true;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->lock);
}

#include "driver/store/etcd/watch.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "driver/store/etcd/request.h"

/* A revision may come in parts; the parts of a message share its numbers. */
static int take_line(struct watch *watch, const char *text, size_t size, struct err *err)
{
	struct watch_message *message = &watch->message;
	int r = etcd_watch_message_parse(text, size, watch->members->settings.data, message, err);

	if (r == 0)
		r = etcd_link_check_cluster(watch->members, message->cluster, err);
	if (r == 0 && message->has_more)
		return 0;
	if (r == 0)
		r = watch->on_message(watch->data, message, err);
	store_events_done(&message->events);
	*message = (struct watch_message){ 0 };
	return r;
}

int etcd_watch_feed(struct watch *watch, const char *bytes, size_t size, struct err *err)
{
	char *end;
	int r = 0;

	if (size > LIMIT_ETCD_MESSAGE_BYTES - watch->text.size)
		return err_set(err, -EFBIG, "a message of a watch is longer than %d bytes", LIMIT_ETCD_MESSAGE_BYTES);
	str_append_bytes(&watch->text, bytes, size);
	while (r == 0 && (end = memchr(watch->text.data + watch->scanned, '\n', watch->text.size - watch->scanned))) {
		size_t length = (size_t)(end - watch->text.data);

		if (length > 0)
			r = take_line(watch, watch->text.data, length, err);
		str_remove_front(&watch->text, length + 1);
		watch->scanned = 0;
	}
	watch->scanned = watch->text.size;
	return r;
}

void etcd_watch_done(struct watch *watch)
{
	str_done(&watch->text);
	store_events_done(&watch->message.events);
}

/* The past */

struct past {
	struct watch watch;
	uint64_t after_revision, last_revision;
	struct store_events *events;
	bool is_complete;
	int r;
	struct err *err;
};

static int take_past(void *data, struct watch_message *message, struct err *err)
{
	struct past *past = data;

	if (message->compact_revision)
		return store_compacted(past->after_revision, err);
	for (size_t i = 0; i < message->events.items.count; i++) {
		struct store_event *event = &message->events.items.items[i];

		if (event->kv.mod_revision <= past->after_revision)
			continue;
		*vec_push(&past->events->items) = *event;
		*event = (struct store_event){ 0 };
	}
	past->is_complete = message->last_revision >= past->last_revision;
	return 0;
}

static size_t feed_past(char *bytes, size_t one, size_t size, void *data)
{
	struct past *past = data;

	(void)one;
	past->r = etcd_watch_feed(&past->watch, bytes, size, past->err);
	/* Less than was given ends the stream. */
	return past->r < 0 || past->is_complete ? 0 : size;
}

static int read_past(struct link *link, size_t member, struct past *past, struct err *err)
{
	const struct members *members = link->members;
	auto_str struct str body = { 0 };
	CURLcode code;

	past->err = err;
	etcd_request_watch(&members->settings, past->after_revision, &body);
	etcd_link_prepare(link, member, "watch", &body, feed_past, past);
	members->curl.easy_setopt(link->easy, CURLOPT_TIMEOUT_MS, (long)members->settings.timeout_ms);
	code = members->curl.easy_perform(link->easy);
	if (past->is_complete || past->r < 0)
		return past->r;
	if (code != CURLE_OK)
		return etcd_link_failure(link, code, err);
	return err_set(err, -EAGAIN, "the stream has ended");
}

int etcd_watch_past(struct link *link, uint64_t after_revision, uint64_t last_revision, struct store_events *events, struct err *err)
{
	struct members *members = link->members;
	size_t first = atomic_load(&members->preferred), count = etcd_settings_endpoint_count(&members->settings);
	int r = 0;

	for (size_t i = 0; i < 2 * count; i++) {
		size_t member = (first + i) % count;
		struct past past = {
			.watch = { .members = members, .on_message = take_past, .data = &past },
			.after_revision = after_revision, .last_revision = last_revision, .events = events,
		};

		r = read_past(link, member, &past, err);
		etcd_watch_done(&past.watch);
		if (r != -EAGAIN)
			break;
		store_events_done(events);
		auto_free char *endpoint = etcd_settings_endpoint(&members->settings, member);
		err_prefix(err, "%s", shown(endpoint));
	}
	return r;
}

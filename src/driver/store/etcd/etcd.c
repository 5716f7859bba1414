/*
 * The store in an etcd.
 *
 * One HTTP connection serves the calls of the front, one call at a time (link.c); a second one, in a thread of its own,
 * is the watch on everything below the prefix (stream.c), from which all events come, ours and those of others.
 * commit.c is how changes are made; here is the rest.
 */
#include "driver/store/etcd/etcd.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "driver/store/etcd/reply.h"
#include "driver/store/etcd/request.h"
#include "driver/store/etcd/watch.h"

enum { PAGE_KEYS = 512 };

struct etcd *etcd_of(struct store_driver *driver)
{
	return container_of(driver, struct etcd, driver);
}

/* Life cycle */

static void close_driver(struct store_driver *driver)
{
	struct etcd *etcd;

	if (!driver)
		return;
	etcd = etcd_of(driver);
	etcd_stream_close(etcd->stream);
	etcd_link_close(&etcd->link);
	etcd_settings_done(&etcd->members.settings);
	free(etcd);
}

static int open_driver(const struct store_params *params, struct store_driver **ret_driver, struct err *err)
{
	struct etcd *etcd = alloc(sizeof(*etcd));
	int r = params->etcd ? etcd_settings_init(params->etcd, &etcd->members.settings, err) :
			       err_set(err, -EINVAL, "a store in etcd needs endpoints and a prefix");

	etcd->driver.ops = &store_etcd;
	if (r == 0)
		r = etcd_curl_load(&etcd->members.curl, err);
	if (r == 0)
		r = etcd_link_open(&etcd->members, &etcd->link, err);
	if (r == 0)
		r = etcd_take_over(etcd, err);
	if (r == 0)
		r = etcd_stream_open(&etcd->members, etcd->writer_revision, &etcd->stream, err);
	if (r < 0) {
		close_driver(&etcd->driver);
		return r;
	}
	etcd->committed = etcd->trimmed = etcd->writer_revision;
	*ret_driver = &etcd->driver;
	return 0;
}

/* Reading */

struct page {
	struct str from;		/* The first key that was not read yet. */
	struct str end;
	uint64_t revision;		/* That of the first page; 0 before. */
	uint64_t limit;
	bool is_last;
};

static int tell_page(const struct etcd *etcd, const struct json *kvs, struct page *page, store_kv_fn *fn, void *data, struct err *err)
{
	const char *prefix = etcd->members.settings.data;
	int r = 0;

	for (size_t i = 0; i < json_count(kvs) && r == 0; i++) {
		struct store_kv kv = { 0 };
		bool is_ours;

		r = etcd_reply_kv(json_at(kvs, i), prefix, &kv, &is_ours, err);
		if (r == 0 && is_ours) {
			r = fn(data, &kv, err);
			/* The next key after this one has a zero byte more. */
			str_clear(&page->from);
			str_printf(&page->from, "%s%s", prefix, kv.key);
			str_append_char(&page->from, '\0');
		}
		store_kv_done(&kv);
	}
	return r;
}

static int read_page(struct etcd *etcd, struct page *page, store_kv_fn *fn, void *data, struct err *err)
{
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	int r;

	etcd_request_range(&page->from, &page->end, page->revision, page->limit, &body);
	r = etcd_link_call(&etcd->link, "kv/range", &body, &json, err);
	if (r == -EFBIG && page->limit > 1) {
		page->limit /= 8;
		return 0;
	}
	if (r < 0)
		return r;
	if (!page->revision)
		page->revision = etcd_reply_number(json, "header.revision");
	page->is_last = !json_bool(json_get(json, "more"), false);
	return tell_page(etcd, json_get(json, "kvs"), page, fn, data, err);
}

static int range(struct store_driver *driver, const char *prefix, store_kv_fn *fn, void *data, uint64_t *ret_revision, struct err *err)
{
	struct etcd *etcd = etcd_of(driver);
	auto_free char *whole = text_format("%s%s", etcd->members.settings.data, prefix);
	struct page page = { .limit = PAGE_KEYS };
	int r = 0;

	str_append(&page.from, whole);
	etcd_request_prefix_end(whole, &page.end);
	while (r == 0 && !page.is_last)
		r = read_page(etcd, &page, fn, data, err);
	str_done(&page.from);
	str_done(&page.end);
	if (r == 0)
		*ret_revision = page.revision;
	return r;
}

/* From before the stream began. Where etcd stands is marked by a change, so that the end can be told from silence. */
static int history_of_etcd(struct etcd *etcd, const char *prefix, uint64_t after_revision, struct store_events *events, struct err *err)
{
	struct store_events all = { 0 };
	uint64_t last_revision;
	int r = etcd_touch(etcd, &last_revision, err);

	if (r == 0)
		r = etcd_watch_past(&etcd->link, after_revision, last_revision, &all, err);
	for (size_t i = 0; i < all.items.count && r == 0; i++) {
		struct store_event *event = &all.items.items[i];

		if (text_starts_with(event->kv.key, prefix))
			store_events_add(events, event->is_delete, &event->kv);
	}
	store_events_done(&all);
	return r;
}

static int history(struct store_driver *driver, const char *prefix, uint64_t after_revision, struct store_events *events, struct err *err)
{
	struct etcd *etcd = etcd_of(driver);

	if (after_revision < etcd->compacted)
		return store_compacted(after_revision, err);
	if (etcd_stream_reaches_back(etcd->stream, after_revision))
		return etcd_stream_read(etcd->stream, prefix, after_revision, etcd->committed, events, err);
	return history_of_etcd(etcd, prefix, after_revision, events, err);
}

static bool wait_events(struct store_driver *driver, uint64_t after_revision, uint32_t timeout_ms)
{
	return etcd_stream_wait(etcd_of(driver)->stream, after_revision, timeout_ms);
}

static int set_endpoints(struct store_driver *driver, const char *const *endpoints, size_t count, struct err *err)
{
	return etcd_settings_replace(&etcd_of(driver)->members.settings, endpoints, count, err);
}

static void wake(struct store_driver *driver)
{
	etcd_stream_wake(etcd_of(driver)->stream);
}

static int compact(struct store_driver *driver, uint64_t revision, struct err *err)
{
	struct etcd *etcd = etcd_of(driver);
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	int r;

	etcd_request_number("revision", revision, &body);
	r = etcd_link_call(&etcd->link, "kv/compaction", &body, &json, err);
	/* Compacted already, and further than that. */
	if (r < 0 && r != -ERANGE)
		return r;
	/* The stream may still have what etcd has forgotten. */
	if (revision > etcd->compacted)
		etcd->compacted = revision;
	return 0;
}

const struct store_ops store_etcd = {
	.name = "etcd",
	.open = open_driver,
	.close = close_driver,
	.commit = etcd_commit,
	.range = range,
	.history = history,
	.lease_grant = etcd_lease_grant,
	.lease_renew = etcd_lease_renew,
	.lease_end = etcd_lease_end,
	.compact = compact,
	.wait_events = wait_events,
	.wake = wake,
	.set_endpoints = set_endpoints,
};

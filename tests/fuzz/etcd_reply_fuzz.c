/*
 * Whatever comes from an etcd, as answer or in a watch in whatever pieces: no crash, no leak, the same outcome.
 * The first byte is the size of the pieces.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/store/etcd/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_answer(const char *text, size_t size, long status)
{
	auto_json struct json *json = NULL;
	const struct json *kvs;
	struct store_txn *txn = store_txn_new(), *plain = store_txn_new();
	struct store_result result;
	struct err err;

	store_txn_guard(txn, STORE_UNCHANGED, "a", 2);
	store_txn_guard(txn, STORE_ABSENT, "b", 0);
	store_txn_delete(txn, "c");
	store_txn_delete(plain, "d");
	if (etcd_reply_parse(text, size, status, &json, &err) == 0) {
		kvs = json_get(json, "kvs");
		for (size_t i = 0; i < json_count(kvs); i++) {
			struct store_kv kv = { 0 };
			bool is_ours = false;

			if (etcd_reply_kv(json_at(kvs, i), "/s/data/", &kv, &is_ours, &err) == 0 && is_ours)
				assert(kv.key && kv.value && kv.value[kv.value_size] == '\0');
			store_kv_done(&kv);
		}
		for (size_t i = 0; i < json_count(json_get(json, "responses")); i++) {
			size_t at = i;
			bool is_refused;

			etcd_reply_txn(json_get(json, "responses"), &at, txn, etcd_reply_number(json, "header.revision"), &result,
				       &is_refused, &err);
			etcd_reply_txn(json_get(json, "responses"), &at, plain, etcd_reply_number(json, "header.revision"), &result,
				       &is_refused, &err);
		}
	}
	store_txn_free(txn);
	store_txn_free(plain);
}

struct seen { uint64_t messages, events, last_revision; };

static int see(void *data, struct watch_message *message, struct err *err)
{
	struct seen *seen = data;
	uint64_t revision = 0;

	(void)err;
	seen->messages++;
	for (size_t i = 0; i < message->events.items.count; i++) {
		const struct store_event *event = &message->events.items.items[i];

		assert(event->kv.mod_revision >= revision && event->kv.mod_revision <= message->last_revision);
		assert(event->is_delete == !event->kv.value);
		revision = event->kv.mod_revision;
		seen->events++;
	}
	seen->last_revision = message->last_revision;
	return 0;
}

static struct seen run_watch(const char *text, size_t size, size_t piece)
{
	struct members members = { .settings.data = (char *)"/s/data/" };
	struct seen seen = { 0 };
	struct watch watch = { .members = &members, .on_message = see, .data = &seen };
	struct err err;

	for (size_t i = 0; i < size; i += piece)
		if (etcd_watch_feed(&watch, text + i, size - i < piece ? size - i : piece, &err) < 0)
			break;
	etcd_watch_done(&watch);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	struct seen whole, pieces;

	if (size < 2 || size > 32 << 10)
		return 0;
	one_answer(text, size - 1, 200);
	one_answer(text, size - 1, 400);
	whole = run_watch(text, size - 1, size - 1);
	pieces = run_watch(text, size - 1, (size_t)data[0] % 64 + 1);
	assert(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	return 0;
}

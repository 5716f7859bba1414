#include "driver/store/etcd/request.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"

/* Without guards that many changes need no transaction of their own, which costs etcd more than they do. */
enum { PLAIN_CHANGES = 8 };

static void write_bytes(struct json_writer *writer, const char *name, const void *bytes, size_t size)
{
	auto_str struct str text = { 0 };

	base64_encode(bytes, size, &text);
	json_write_string_size(writer, name, str_text(&text), text.size);
}

static void write_text(struct json_writer *writer, const char *name, const char *text)
{
	write_bytes(writer, name, text, strlen(text));
}

/* A key of the store. */
static void write_key(struct json_writer *writer, const struct etcd_settings *settings, const char *key)
{
	auto_free char *whole = text_format("%s%s", settings->data, key);

	write_text(writer, "key", whole);
}

/* 64-bit numbers are text in protobuf's JSON. */
static void write_number(struct json_writer *writer, const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	json_write_string(writer, name, text);
}

void etcd_request_prefix_end(const char *prefix, struct str *out)
{
	size_t length = strlen(prefix);

	while ((unsigned char)prefix[length - 1] == 0xff)
		length--;
	str_append_bytes(out, prefix, length);
	out->data[length - 1]++;
}

/* Transactions */

static void write_guard(struct json_writer *writer, const struct etcd_settings *settings, const struct store_guard *guard)
{
	bool is_unchanged = guard->kind == STORE_UNCHANGED;

	json_write_object(writer, NULL);
	write_key(writer, settings, guard->key);
	json_write_string(writer, "target", is_unchanged ? "MOD" : "VERSION");
	json_write_string(writer, "result", guard->kind == STORE_EXISTS ? "GREATER" : "EQUAL");
	write_number(writer, is_unchanged ? "mod_revision" : "version", is_unchanged ? guard->revision : 0);
	json_write_end_object(writer);
}

static void write_change(struct json_writer *writer, const struct etcd_settings *settings, const struct store_change *change)
{
	json_write_object(writer, NULL);
	json_write_object(writer, change->value ? "request_put" : "request_delete_range");
	write_key(writer, settings, change->key);
	if (change->value)
		write_bytes(writer, "value", change->value, change->value_size);
	if (change->lease)
		write_number(writer, "lease", change->lease);
	json_write_end_object(writer);
	json_write_end_object(writer);
}

static void write_look(struct json_writer *writer, const struct etcd_settings *settings, const char *key, uint64_t revision)
{
	json_write_object(writer, NULL);
	json_write_object(writer, "request_range");
	write_key(writer, settings, key);
	if (revision)
		write_number(writer, "revision", revision);
	json_write_bool(writer, "keys_only", true);
	json_write_end_object(writer);
	json_write_end_object(writer);
}

/*
 * Of the operations that are left for a transaction, how many of its changes go into each transaction within it; 0: it
 * does not fit. etcd counts the longest list of each depth.
 */
static size_t changes_per_part(const struct store_txn *txn, size_t room)
{
	size_t parts = txn->guards.count > room / 2 ? txn->guards.count : room / 2;

	if (txn->guards.count <= room && txn->changes.count <= room)
		return room;
	if (parts >= room || (txn->changes.count + room - parts - 1) / (room - parts) > parts)
		return 0;
	return room - parts;
}

bool etcd_request_fits(const struct store_txn *txn, size_t outer)
{
	return outer < REQUEST_MAX_OPERATIONS && changes_per_part(txn, REQUEST_MAX_OPERATIONS - outer) > 0;
}

static void write_changes(struct json_writer *writer, const struct etcd_settings *settings, const struct store_txn *txn, size_t room)
{
	size_t per_part = changes_per_part(txn, room);
	bool is_flat = txn->changes.count <= room;

	assert(per_part > 0);
	for (size_t i = 0; i < txn->changes.count; i++) {
		if (!is_flat && i % per_part == 0) {
			json_write_object(writer, NULL);
			json_write_object(writer, "request_txn");
			json_write_array(writer, "success");
		}
		write_change(writer, settings, &txn->changes.items[i]);
		if (!is_flat && (i % per_part == per_part - 1 || i == txn->changes.count - 1)) {
			json_write_end_array(writer);
			json_write_end_object(writer);
			json_write_end_object(writer);
		}
	}
}

size_t etcd_request_width(const struct store_txn *txn, bool *ret_is_within)
{
	*ret_is_within = txn->guards.count > 0 || txn->changes.count > PLAIN_CHANGES;
	return *ret_is_within ? 1 : txn->changes.count;
}

static void write_txn(struct json_writer *writer, const struct etcd_settings *settings, const struct store_txn *txn, size_t room)
{
	json_write_object(writer, NULL);
	json_write_object(writer, "request_txn");
	json_write_array(writer, "compare");
	for (size_t i = 0; i < txn->guards.count; i++)
		write_guard(writer, settings, &txn->guards.items[i]);
	json_write_end_array(writer);
	json_write_array(writer, "success");
	write_changes(writer, settings, txn, room);
	json_write_end_array(writer);
	json_write_end_object(writer);
	json_write_end_object(writer);
}

static void write_mark(struct json_writer *writer, const struct etcd_settings *settings, const char *mark)
{
	json_write_object(writer, NULL);
	json_write_object(writer, "request_put");
	write_text(writer, "key", settings->writer);
	write_text(writer, "value", mark);
	json_write_end_object(writer);
	json_write_end_object(writer);
}

void etcd_request_commit(const struct etcd_settings *settings, const struct request_commit *commit, struct str *out)
{
	struct json_writer writer = { .out = out };
	size_t outer = 1;
	bool is_within;

	for (size_t i = 0; i < commit->count; i++)
		outer += etcd_request_width(commit->txns[i], &is_within);
	json_write_object(&writer, NULL);
	json_write_array(&writer, "compare");
	json_write_object(&writer, NULL);
	write_text(&writer, "key", settings->writer);
	json_write_string(&writer, "target", "MOD");
	json_write_string(&writer, "result", "EQUAL");
	write_number(&writer, "mod_revision", commit->writer_revision);
	json_write_end_object(&writer);
	json_write_end_array(&writer);
	json_write_array(&writer, "success");
	write_mark(&writer, settings, commit->mark);
	for (size_t i = 0; i < commit->count; i++) {
		etcd_request_width(commit->txns[i], &is_within);
		if (is_within)
			write_txn(&writer, settings, commit->txns[i], REQUEST_MAX_OPERATIONS - outer);
		else
			write_changes(&writer, settings, commit->txns[i], PLAIN_CHANGES);
	}
	json_write_end_array(&writer);
	json_write_array(&writer, "failure");
	json_write_object(&writer, NULL);
	json_write_object(&writer, "request_range");
	write_text(&writer, "key", settings->writer);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
}

void etcd_request_look_back(const struct etcd_settings *settings, const char *const *keys, size_t count, uint64_t revision, struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_array(&writer, "success");
	for (size_t i = 0; i < count; i++)
		write_look(&writer, settings, keys[i], revision);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
}

/* Reading */

void etcd_request_range(const struct str *from, const struct str *end, uint64_t revision, uint64_t limit, struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	write_bytes(&writer, "key", from->data, from->size);
	if (end)
		write_bytes(&writer, "range_end", end->data, end->size);
	write_number(&writer, "revision", revision);
	write_number(&writer, "limit", limit);
	json_write_end_object(&writer);
}

void etcd_request_watch(const struct etcd_settings *settings, uint64_t from_revision, struct str *out)
{
	struct json_writer writer = { .out = out };
	auto_str struct str end = { 0 };

	etcd_request_prefix_end(settings->prefix, &end);
	json_write_object(&writer, NULL);
	json_write_object(&writer, "create_request");
	write_text(&writer, "key", settings->prefix);
	write_bytes(&writer, "range_end", end.data, end.size);
	write_number(&writer, "start_revision", from_revision);
	json_write_bool(&writer, "progress_notify", true);
	json_write_bool(&writer, "fragment", true);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
}

void etcd_request_number(const char *name, uint64_t number, struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	write_number(&writer, name, number);
	json_write_end_object(&writer);
}

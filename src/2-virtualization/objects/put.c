/* put.c - parts of transactions. */
#include "2-virtualization/objects/objects_private.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void objects_guard(struct objects *objects, struct store_txn *txn, const struct kind *kind, const char *uid)
{
	auto_free char *key = text_format("desired/%s/%s", kind->name, uid);
	const struct meta *meta = objects_get(objects, kind->id, uid);

	store_txn_guard(txn, STORE_UNCHANGED, key, meta ? (uint64_t)meta->desired_revision : 0);
}

void objects_put_desired(struct store_txn *txn, const struct kind *kind, const void *object)
{
	const struct meta *meta = object;
	auto_free char *key = text_format("desired/%s/%s", kind->name, meta->uid);
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct meta stored = *meta;

	stored.revision = 0;			/* The store itself says it. */
	json_write_object(&writer, NULL);
	field_encode(&meta_table, &stored, &writer, "meta");
	field_encode(kind->spec, (const char *)object + kind->spec_offset, &writer, "spec");
	json_write_end_object(&writer);
	store_txn_put(txn, key, text.data, text.size, 0);
}

static char *status_key(const struct kind *kind, const char *uid, const char *node)
{
	return node ? text_format("observed/%s/%s/%s", kind->name, uid, node) : text_format("observed/%s/%s", kind->name, uid);
}

void objects_put_status_of(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object, const void *status,
			   const char *node)
{
	const struct meta *meta = object;
	auto_free char *key = status_key(kind, meta->uid, objects_owner(objects, kind, object) ? NULL : node);
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };

	field_encode(kind->status, status, &writer, NULL);
	store_txn_put(txn, key, text.data, text.size, 0);
}

void objects_put_status(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object, const char *node)
{
	objects_put_status_of(objects, txn, kind, object, (const char *)object + kind->status_offset, node);
}

void objects_put_claims(struct store_txn *txn, const struct kind *kind, const void *old, const void *next)
{
	struct claims before = { 0 }, after = { 0 };
	const struct meta *meta = next;

	if (old)
		claims_of(kind, old, &before);
	if (next)
		claims_of(kind, next, &after);
	for (size_t i = 0; i < after.items.count; i++) {
		const char *key = after.items.items[i].key;

		if (claims_have(&before, key))
			continue;
		store_txn_guard(txn, STORE_ABSENT, key, 0);
		store_txn_put(txn, key, meta->uid, strlen(meta->uid), 0);
	}
	for (size_t i = 0; i < before.items.count; i++)
		if (!claims_have(&after, before.items.items[i].key))
			store_txn_delete(txn, before.items.items[i].key);
	claims_done(&before);
	claims_done(&after);
}

void objects_delete(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object)
{
	const struct meta *meta = object;
	const struct map *parts = map_get(&objects->parts, meta->uid);
	auto_free char *desired = text_format("desired/%s/%s", kind->name, meta->uid);
	auto_free char *observed = status_key(kind, meta->uid, NULL);

	store_txn_delete(txn, desired);
	store_txn_delete(txn, observed);
	for (size_t i = 0; parts && i < parts->count; i++) {
		auto_free char *part = status_key(kind, meta->uid, parts->entries[i].key);

		store_txn_delete(txn, part);
	}
	objects_put_claims(txn, kind, object, NULL);
}

static bool is_alive(struct objects *objects, const char *node)
{
	auto_free char *key = text_format("alive/%s", node);

	return objects_note(objects, key) != NULL;
}

bool objects_delete_part(struct objects *objects, struct store_txn *txn, const struct kind *kind, const void *object, const char *node)
{
	const struct meta *meta = object;
	const struct map *parts = map_get(&objects->parts, meta->uid);
	auto_free char *own = status_key(kind, meta->uid, node), *desired = text_format("desired/%s/%s", kind->name, meta->uid);

	for (size_t i = 0; !objects_owner(objects, kind, object) && parts && i < parts->count; i++)
		if (!text_equal(parts->entries[i].key, node) && is_alive(objects, parts->entries[i].key)) {
			store_txn_delete(txn, own);
			return false;
		}
	/* Two nodes may both be the last: a name that was given back must not be given back again. */
	store_txn_guard(txn, STORE_EXISTS, desired, 0);
	objects_delete(objects, txn, kind, object);
	return true;
}

bool objects_delete_orphans(struct objects *objects, struct store_txn *txn)
{
	for (size_t i = 0; i < objects->orphans.count; i++)
		store_txn_delete(txn, objects->orphans.entries[i].key);
	return objects->orphans.count > 0;
}

const char *objects_claim_text(const struct kind *kind, const void *object, const char *key, char *buffer, size_t buffer_size)
{
	const char *text = NULL;
	struct claims claims;

	claims_of(kind, object, &claims);
	for (size_t i = 0; i < claims.items.count; i++)
		if (text_equal(claims.items.items[i].key, key)) {
			snprintf(buffer, buffer_size, "%s", claims.items.items[i].what);
			text = buffer;
		}
	claims_done(&claims);
	return text;
}

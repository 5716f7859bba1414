#include "4-service/cluster/seen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "2-virtualization/objects/objects.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

enum { WRITE_MS = 5000, FILE_MAX_BYTES = 4096 };

#define NOTE_GENERATION "generation"
#define NOTE_RESTORED "restored"

/* What the file says. */
struct mark { char *store; int64_t generation, revision; };

struct seen {
	struct core *core;
	struct mark mark;
	bool is_older;			/* The store, than what this host has seen. */
	struct loop_source *timer;
};

FIELD_TABLE(mark_table, mark, "What a host has seen of the store.",
	FIELD(STRING, mark, store, .doc = "uid of the cluster."),
	FIELD(INT, mark, generation, .doc = "How often a restored store was accepted."),
	FIELD(INT, mark, revision, .doc = "The greatest there was."),
);

static char *path_of(const struct core *core)
{
	return text_format("%s/seen", core->directory);
}

static int64_t stored_generation(const struct seen *seen)
{
	const struct note *note = objects_note(seen->core->objects, NOTE_GENERATION);

	return note ? strtoll(note->value, NULL, 10) : 0;
}

bool seen_is_restored(const struct seen *seen)
{
	return seen && (seen->is_older || objects_note(seen->core->objects, NOTE_RESTORED));
}

/* Damaged or absent: this host knows nothing, as one that has just joined. */
static void read_mark(struct seen *seen)
{
	auto_free char *path = path_of(seen->core);
	auto_str struct str text = { 0 };
	auto_json struct json *json = NULL;
	struct err err;

	field_defaults(&mark_table, &seen->mark);
	if (file_read_all(path, FILE_MAX_BYTES, &text, &err) < 0)
		return;
	if (json_parse(str_text(&text), text.size, &json, &err) == 0 &&
	    field_decode(&mark_table, json, FIELD_STORED, "", &seen->mark, &err) == 0)
		return;
	log_line(LOG_WARNING, "'%s' is damaged (%s) and is written anew", path, err.msg);
	field_done(&mark_table, &seen->mark);
	field_defaults(&mark_table, &seen->mark);
}

static void write_mark(struct seen *seen)
{
	const struct core *core = seen->core;
	int64_t revision = (int64_t)store_revision(core->params.store), generation = stored_generation(seen);
	const char *uid = core->params.cluster->settings.uid;
	auto_free char *path = path_of(core);
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct err err = { 0 };

	if (text_equal(seen->mark.store, uid) && seen->mark.revision == revision && seen->mark.generation == generation)
		return;
	text_replace(&seen->mark.store, uid);
	seen->mark.revision = revision;
	seen->mark.generation = generation;
	field_encode(&mark_table, &seen->mark, &writer, NULL);
	if (file_write_atomic(path, text.data, text.size, 0600, &err) < 0)
		log_line(LOG_WARNING, "what this host has seen of the store could not be noted: %s", err.msg);
}

static void due(void *data)
{
	struct seen *seen = data;

	seen->timer = NULL;
	if (!seen_is_restored(seen))
		write_mark(seen);
	loop_add_timer(seen->core->params.loop, WRITE_MS, due, seen, &seen->timer);
}

static void forget(struct field_list *texts, size_t i)
{
	free(*field_list_at(texts, char *, i));
	memmove(field_list_at(texts, char *, i), field_list_at(texts, char *, i + 1), (--texts->count - i) * sizeof(char *));
}

/* In what readers see of this node. */
static void warn(struct seen *seen)
{
	struct field_list *warnings = &seen->core->node->status.warnings;
	size_t i = 0;

	while (i < warnings->count && !text_equal(*field_list_at(warnings, char *, i), SEEN_WARNING))
		i++;
	if (i == warnings->count && seen_is_restored(seen))
		*(char **)field_list_push(warnings, sizeof(char *)) = text_copy(SEEN_WARNING);
	else if (i < warnings->count && !seen_is_restored(seen))
		forget(warnings, i);
	else
		return;
	node_announce(seen->core);
	node_publish(seen->core);
}

static void note_changed(void *data, const char *key, const struct note *note)
{
	struct seen *seen = data;

	(void)key;
	if (!note && seen->is_older) {
		seen->is_older = false;		/* Accepted. */
		log_line(LOG_NOTICE, "the restored store is accepted: what it does not know of goes when stratad starts the next time");
	}
	warn(seen);
}

struct seen *seen_new(struct core *core)
{
	struct seen *seen;

	if (!core->params.cluster || !core->params.cluster->settings.uid)
		return NULL;
	seen = alloc(sizeof(*seen));
	seen->core = core;
	read_mark(seen);
	if (text_equal(seen->mark.store, core->params.cluster->settings.uid))
		seen->is_older = stored_generation(seen) < seen->mark.generation ||
				 (stored_generation(seen) == seen->mark.generation && (int64_t)store_revision(core->params.store) < seen->mark.revision);
	if (seen_is_restored(seen))
		log_line(LOG_ERROR, SEEN_WARNING ": " SEEN_REMEDY);
	objects_listen_notes(core->objects, NOTE_RESTORED, note_changed, seen);
	return seen;
}

void seen_start(struct seen *seen)
{
	struct store_txn *txn;

	if (!seen)
		return;
	if (seen->is_older) {
		txn = store_txn_new();
		store_txn_guard(txn, STORE_ABSENT, NOTE_RESTORED, 0);
		store_txn_put(txn, NOTE_RESTORED, seen->core->node_uid, strlen(seen->core->node_uid), 0);
		store_submit(seen->core->params.store, txn, NULL, NULL);
	}
	warn(seen);
	due(seen);
}

void seen_free(struct seen *seen)
{
	if (!seen)
		return;
	loop_remove(seen->timer);
	field_done(&mark_table, &seen->mark);
	free(seen);
}

/* ---- The call ---- */

static void accepted(void *data, const struct store_result *result)
{
	struct call *call = data;
	auto_str struct str body = { 0 };
	struct err err = result->err;

	str_append(&body, "{}");
	if (err.code < 0)
		answer_err(call, &err);
	else
		answer_json(call, 200, &body);
}

void cluster_accept_restored(struct core *core, struct call *call)
{
	struct store_txn *txn;
	char number[24];
	struct err err = { 0 };

	if (!seen_is_restored(core->seen)) {
		err_set(&err, -EINVAL, "the store was not restored from a backup, as far as the hosts have seen: there is nothing to accept");
		answer_err(call, &err);
		return;
	}
	/* More than in any file: also of hosts that had accepted one before. */
	snprintf(number, sizeof(number), "%lld", (long long)(stored_generation(core->seen) > core->seen->mark.generation ?
		 stored_generation(core->seen) : core->seen->mark.generation) + 1);
	txn = store_txn_new();
	store_txn_put(txn, NOTE_GENERATION, number, strlen(number), 0);
	store_txn_delete(txn, NOTE_RESTORED);
	store_submit(core->params.store, txn, accepted, call);
}

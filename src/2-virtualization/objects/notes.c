/* notes.c - keys that are no object: who is alive, who leads, what nodes tell each other. */
#include "2-virtualization/objects/objects_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool notes_is_key(const char *key)
{
	return !text_starts_with(key, "desired/") && !text_starts_with(key, "observed/") && !text_starts_with(key, "claim/") &&
	       !text_starts_with(key, "event/");
}

static void note_free(struct note *note)
{
	if (note)
		free(note->value);
	free(note);
}

static void tell(struct objects *objects, const char *key, const struct note *note)
{
	for (size_t i = 0; i < objects->note_listeners.count; i++) {
		struct note_listener listener = objects->note_listeners.items[i];

		if (text_starts_with(key, listener.prefix))
			listener.fn(listener.data, key, note);
	}
}

/* What is said of an instance's way concerns whom the instance does. */
static void tell_of_move(struct objects *objects, const char *key)
{
	bool is_of_instance = text_starts_with(key, "move/") || text_starts_with(key, "stuck/");
	void *instance = is_of_instance ? objects_get(objects, KIND_INSTANCE, strchr(key, '/') + 1) : NULL;

	if (instance)
		objects_notify(objects, &kinds[KIND_INSTANCE], instance, OBJECTS_OBSERVED, NULL);
}

void notes_take(struct objects *objects, const struct store_kv *kv, bool is_starting)
{
	struct note *note = alloc(sizeof(*note));

	*note = (struct note){ text_copy_length(kv->value, kv->value_size), kv->value_size, kv->mod_revision };
	note_free(map_put(&objects->notes, kv->key, note));
	if (is_starting)
		return;
	tell(objects, kv->key, note);
	tell_of_move(objects, kv->key);
}

void notes_remove(struct objects *objects, const char *key)
{
	note_free(map_remove(&objects->notes, key));
	tell(objects, key, NULL);
	tell_of_move(objects, key);
}

const struct note *objects_note(struct objects *objects, const char *key)
{
	return map_get(&objects->notes, key);
}

void objects_each_note(struct objects *objects, const char *prefix, objects_note_fn *fn, void *data)
{
	for (size_t i = 0; i < objects->notes.count; i++)
		if (text_starts_with(objects->notes.entries[i].key, prefix))
			fn(data, objects->notes.entries[i].key, objects->notes.entries[i].value);
}

void objects_listen_notes(struct objects *objects, const char *prefix, objects_note_fn *fn, void *data)
{
	*vec_push(&objects->note_listeners) = (struct note_listener){ text_copy(prefix), fn, data };
}

void notes_unlisten(struct objects *objects, const void *data)
{
	size_t kept = 0;

	for (size_t i = 0; i < objects->note_listeners.count; i++)
		if (objects->note_listeners.items[i].data != data)
			objects->note_listeners.items[kept++] = objects->note_listeners.items[i];
		else
			free(objects->note_listeners.items[i].prefix);
	objects->note_listeners.count = kept;
}

void notes_done(struct objects *objects)
{
	for (size_t i = 0; i < objects->notes.count; i++)
		note_free(objects->notes.entries[i].value);
	map_done(&objects->notes);
	for (size_t i = 0; i < objects->note_listeners.count; i++)
		free(objects->note_listeners.items[i].prefix);
	vec_done(&objects->note_listeners);
}

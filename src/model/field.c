#include "model/field.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/field_value.h"

enum { NEAR = 3 };		/* Edits up to which a name is taken for a slip of another. */

const struct field *field_find_length(const struct field_table *table, const char *name, size_t length)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];

		if (strncmp(field->name, name, length) == 0 && !field->name[length])
			return field;
	}
	return NULL;
}

const struct field *field_find(const struct field_table *table, const char *path)
{
	while (table) {
		size_t length = strcspn(path, ".");
		const struct field *field = field_find_length(table, path, length);

		if (!field || !path[length])
			return field;
		path += length + 1;
		table = field->table;
	}
	return NULL;
}

const char *field_nearest(const char *name, const char *const *names, size_t count)
{
	size_t length = strlen(name), least = NEAR + 1;
	const char *nearest = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t other = strlen(names[i]);
		size_t distance = text_distance(name, names[i]);

		/* Half of a short word is another word. */
		if (distance < least && 2 * distance <= (length > other ? length : other)) {
			least = distance;
			nearest = names[i];
		}
	}
	return nearest;
}

void *field_list_push(struct field_list *list, size_t size)
{
	size_t capacity = 1;
	void *item;

	/* Powers of two, always asked for: realloc(3) knows what is there, and the list need not. */
	while (capacity <= list->count)
		capacity *= 2;
	list->items = alloc_array(list->items, capacity, size);
	item = (char *)list->items + list->count++ * size;
	memset(item, 0, size);
	return item;
}

/* Where 'key' is, or where it would go: pairs are kept in the order of their keys. */
static size_t pair_index(const struct field_list *map, const char *key, bool *ret_is_there)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(field_list_at(map, struct field_pair, middle)->key, key);

		if (order == 0) {
			*ret_is_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_is_there = false;
	return low;
}

const char *field_map_get(const struct field_list *map, const char *key)
{
	bool is_there;
	size_t index = pair_index(map, key, &is_there);

	return is_there ? field_list_at(map, struct field_pair, index)->value : NULL;
}

static void remove_pair(struct field_list *map, size_t index)
{
	struct field_pair *pair = field_list_at(map, struct field_pair, index);

	free(pair->key);
	free(pair->value);
	map->count--;
	memmove(pair, pair + 1, (map->count - index) * sizeof(*pair));
	if (!map->count) {
		free(map->items);
		map->items = NULL;
	}
}

void field_map_set(struct field_list *map, const char *key, const char *value)
{
	bool is_there;
	size_t index = pair_index(map, key, &is_there);
	struct field_pair *pair;

	if (is_there && !value) {
		remove_pair(map, index);
	} else if (is_there) {
		text_replace(&field_list_at(map, struct field_pair, index)->value, value);
	} else if (value) {
		struct field_pair added = { text_copy(key), text_copy(value) };

		field_list_push(map, sizeof(added));
		pair = field_list_at(map, struct field_pair, index);
		memmove(pair + 1, pair, (map->count - 1 - index) * sizeof(*pair));
		*pair = added;
	}
}

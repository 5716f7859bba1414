/*
 * kind.h - the list of nouns: everything generic (API, cache, explain, openapi, apply) walks it.
 *
 * All resources are { meta, spec, status } in this order; 'spec_offset' and 'status_offset' say
 * where in the C struct. kind_encode/kind_decode write and read the whole.
 */
#ifndef MODEL_KIND_H
#define MODEL_KIND_H

#include "model/meta.h"

enum kind_id { KIND_INSTANCE, KIND_IMAGE, KIND_VOLUME, KIND_NETWORK, KIND_SNAPSHOT, KIND_POOL, KIND_NODE, KIND_COUNT };

struct kind {
	enum kind_id id;
	const char *name, *plural;	/* "instance", "instances" */
	const char *doc;
	size_t size, spec_offset, status_offset;
	const struct field_table *spec, *status;
	int (*name_check)(const void *name, struct err *err);
	const char *const *columns;	/* Paths for tables ("meta.name", ...) of commands that have none of their own; null-terminated. */
};

extern const struct kind kinds[KIND_COUNT];

const struct kind *kind_find(const char *name);		/* Singular or plural; null when there is none. */

static inline struct meta *kind_meta(void *object) { return object; }
static inline void *kind_spec(const struct kind *kind, void *object) { return (char *)object + kind->spec_offset; }
static inline void *kind_status(const struct kind *kind, void *object) { return (char *)object + kind->status_offset; }

void *kind_new(const struct kind *kind);		/* With defaults. */
void kind_free(const struct kind *kind, void *object);	/* Null is fine. */
void *kind_copy(const struct kind *kind, const void *object);
void *kind_copy_with_status(const struct kind *kind, const void *object, const void *status);	/* With this status in place of its own. */

/* {"kind": "instance", "meta": {...}, "spec": {...}, "status": {...}}, for people: secrets are "***". */
void kind_encode(const struct kind *kind, const void *object, struct json_writer *writer, const char *key);

/* Takes "kind" (optional, must fit), "meta", "spec", "status" from 'json'; 'object' holds defaults or the
 * present state. With CREATE and PATCH a "status" is left out: it is not a person's to write. */
int kind_decode(const struct kind *kind, const struct json *json, enum field_mode mode, void *object, struct err *err);

#endif

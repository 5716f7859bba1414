/*
 * manifest.h - files for apply, diff and delete: YAML or JSON, several documents, each one object
 *
 *	kind: instance
 *	meta: { name: web }
 *	spec: { image: tiny, memory: 512MiB }
 *
 * or a list of such (`strata ls -o yaml`). What the system writes itself (status, uid, ...) is
 * dropped, so that what was shown can be applied again.
 *
 * All documents are checked in form, by the tables of the nouns, before the first is used.
 *
 * Errors:  -EINVAL; the message names the document: "document 2 (instance 'web'): spec.memroy: unknown field, ...".
 * Memory:  manifest_done() frees what manifest_read() made.
 */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include "base/json.h"
#include "base/vec.h"
#include "model/kind.h"

struct manifest_object {
	const struct kind *kind;
	const char *name;		/* Borrowed from 'json'. */
	struct json *json;		/* {"meta": {...}, "spec": {...}} as it is sent. */
};

struct manifest {
	VEC(struct manifest_object) objects;	/* In the order of creation: networks, pools, images, volumes, instances. */
};

int manifest_read(const char *path, struct manifest *ret_manifest, struct err *err);	/* "-": standard input. */
int manifest_parse(const char *text, size_t size, struct manifest *ret_manifest, struct err *err);
void manifest_done(struct manifest *manifest);
#define auto_manifest __attribute__((cleanup(manifest_done)))

/*
 * What to send as a merge patch, so that 'present' (JSON as from the daemon) becomes what the manifest says. A list is
 * replaced as a whole by a merge patch: what its elements leave open (the address of a nic) is filled in from
 * the present ones of the same name and place.
 */
struct json *manifest_patch(const struct manifest_object *object, const struct json *present);

/* 'change' sees every field that the patch would change. Returns the count or -errno. */
int manifest_diff(const struct manifest_object *object, const struct json *patch, const struct json *present,
		  field_diff_fn *change, void *data, struct err *err);

#endif

/*
 * meta.h - what every resource has beside spec and status.
 */
#ifndef MODEL_META_H
#define MODEL_META_H

#include "base/err.h"
#include "model/field.h"

struct meta {
	char *uid;			/* UUID; names the thing in the store and in the world, never changes. */
	char *name;			/* Unique within kind, project and parent; may be renamed. */
	char *project;
	char *parent;			/* uid of the instance a snapshot belongs to; null for others. */
	struct field_list labels;	/* struct field_pair */
	int64_t created_at;
	int64_t deleted_at;		/* 0, or when deletion was asked for: it goes when the world is cleaned up. */
	int64_t generation;		/* Counts changes of spec. */
	int64_t revision;		/* Of the store, at the last change of spec or status; not itself stored. */
	int64_t desired_revision;	/* The same of meta and spec; kept in the cache of all objects, and only there. */
};

extern const struct field_table meta_table;

/* Names are RFC 1123 labels: 1 to 63 of a-z 0-9 '-', beginning and ending with a letter or digit. 'value' is const char *. */
int name_check(const void *value, struct err *err);
/* Image names may be references of registries ("debian:12", "docker.io/library/busybox:1.36"). */
int image_name_check(const void *value, struct err *err);

#endif

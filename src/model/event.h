/*
 * event.h - something that happened, for people and for subscribers. Never changed once written.
 */
#ifndef MODEL_EVENT_H
#define MODEL_EVENT_H

#include "model/field.h"

struct event {
	int64_t id;			/* Rises; `after=ID` goes on from there. From the store's revision: never stored itself. */
	int64_t at;
	char *kind;			/* "instance", "image", ... */
	char *uid, *name;
	char *type;			/* "created", "started", "exited", "failed", "snapshot-restored", ... */
	char *text;			/* In words. */
	bool is_warning;
};

extern const struct field_table event_table;

#endif

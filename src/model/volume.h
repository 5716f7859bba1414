/*
 * volume.h - the noun "volume": an extra disk. (How it is stored: port/volume.h.)
 */
#ifndef MODEL_VOLUME_H
#define MODEL_VOLUME_H

#include "model/meta.h"

struct volume_spec {
	uint64_t size;			/* May grow. */
};

enum volume_state { VOLUME_PENDING, VOLUME_READY, VOLUME_DELETING, VOLUME_FAILED };
extern const char *const volume_state_names[];

struct volume_status {
	int state;
	char *reason;
	uint64_t size;			/* In force. */
	uint64_t allocated;
	char *instance;			/* Name of the instance it is attached to, or null. */
};

struct volume {
	struct meta meta;
	struct volume_spec spec;
	struct volume_status status;
};

extern const struct field_table volume_spec_table, volume_status_table;

#endif

/*
 * detach.h - the keys that leave a container which goes on: ctrl-p ctrl-q, as for docker.
 *
 * What could be their beginning is held back until it is clear; a key that does not fit sets it free.
 */
#ifndef CLI_DETACH_H
#define CLI_DETACH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { DETACH_KEYS_MAX = 8 };
#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"

struct detach {
	char keys[DETACH_KEYS_MAX];
	size_t count;			/* 0: there are none. */
	size_t matched;			/* So many of them were pressed last. */
};

/* "ctrl-p,ctrl-q", "ctrl-@,x" or "none". */
int detach_parse(const char *text, struct detach *ret_detach, struct err *err);

/* Copies what goes on to 'out', which has room for 'size' and DETACH_KEYS_MAX more; returns how much. After the last of
 * the keys nothing more is copied. */
size_t detach_filter(struct detach *detach, const char *bytes, size_t size, char *out, bool *ret_is_pressed);

#endif

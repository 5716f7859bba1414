/*
 * scan.h - a few values out of a long JSON text, without building a tree of all the others.
 *
 * `strata ls` looks at eight values of each of thousands of objects: finding them in the text
 * takes a tenth of the time of parsing it.  The text is looked at only as far as that needs; where a
 * value is used, it is checked there.
 *
 * Errors:  -EINVAL: this is not JSON.
 * Memory:  what is found points into the text.
 */
#ifndef CLI_SCAN_H
#define CLI_SCAN_H

#include <stddef.h>

#include "base/str.h"

enum { SCAN_PICKS = 32, SCAN_WORDS = 4, SCAN_DEPTH = 32 };

struct scan_pick {
	const char *words[SCAN_WORDS];	/* Path: keys of objects within each other, ended by null. Lists on
					 * the way are passed through; the first value found counts. */
	const char *text;		/* The value as written, or null. */
	size_t size;
};

/* "spec.nics.ipv4" into words; 'copy' is a copy of the path that the pick then borrows. */
void scan_path(struct scan_pick *pick, char *copy);

/* Fills 'text' and 'size' of at most SCAN_PICKS picks from the object at the front of the text. 'ret_used' is its size. */
int scan_object(const char *text, size_t size, struct scan_pick *picks, size_t count, size_t *ret_used);

/* Elements of a list: 1 when there is one at 'at', 0 after the last. 'at' is 0 before the first; the caller adds the element's size. */
int scan_element(const char *list, size_t size, size_t *at);

/* The value as text: strings without quotes and escapes, everything else as it is written. */
void scan_text(const struct scan_pick *pick, struct str *out);

#endif

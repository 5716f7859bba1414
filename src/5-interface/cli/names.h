/*
 * names.h - names for instances whose owner gave none: "brave-otter".
 */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include "base/rng.h"

enum { NAMES_BYTES = 32 };

/* Writes an adjective, '-' and an animal; after 'tries' names were taken, with a number too. */
const char *names_make(struct rng *rng, unsigned tries, char buffer[NAMES_BYTES]);

#endif

/*
 * modules.h - a few kernel modules, with those they need, out of a kernel package.
 *
 * Errors: -errno; a wanted module that the kernel does not have is taken for built in.
 */
#ifndef IMAGES_MODULES_H
#define IMAGES_MODULES_H

#include "base/err.h"
#include "base/map.h"

struct modules {
	struct map paths;		/* Name ('-' as '_') to the file's path. */
	struct map copied;		/* Name to anything: is in some folder already. */
};

/* 'directory' is .../lib/modules/<version>. */
int modules_open(const char *directory, struct modules *modules, struct err *err);
void modules_done(struct modules *modules);

/* Copies 'names' (null-terminated), uncompressed, into 'directory' and lists them in its file "order", as
 * they must be loaded. What an earlier call copied is left out. */
int modules_copy(struct modules *modules, const char *const *names, const char *directory, struct err *err);

#endif

/*
 * seed.h - the seed disk: how a new instance learns its name, keys and user data.
 *
 * An ISO 9660 image with volume id "cidata" as cloud-init's NoCloud data source wants it
 * (docs.cloud-init.io, "NoCloud"): meta-data and user-data. The "tiny" image reads the same.
 *
 * Errors: -EINVAL names the field; -errno of writing.
 */
#ifndef IMAGES_SEED_H
#define IMAGES_SEED_H

#include <stddef.h>

#include "base/err.h"

struct seed {
	const char *instance_id;	/* Another id means: a first boot. */
	const char *hostname;
	const char *user_data;		/* "#cloud-config ..." or "#!..."; null: none. */
	const char *const *ssh_keys;	/* Lines as in authorized_keys. */
	size_t ssh_key_count;
};

/* Writes the image to 'path', atomically, mode 0600: user data may hold secrets. */
int seed_write(const char *path, const struct seed *seed, struct err *err);

#endif

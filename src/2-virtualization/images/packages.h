/*
 * packages.h - Debian packages as a source of files: downloaded by apt from wherever this host gets its
 * own, checked by apt's signatures, unpacked into a folder, never installed.
 *
 * Errors:  -ENOENT apt or dpkg are not on this host, -EIO with apt's own reason, -ECANCELED.
 * Threads: any, one per folder.
 */
#ifndef IMAGES_PACKAGES_H
#define IMAGES_PACKAGES_H

#include "base/err.h"
#include "port/volume.h"

/*
 * Unpacks 'names' and all they depend on into <work>/root. 'assumed' are packages that apt takes
 * for installed, so that they and what only they need are left out. Both end with null.
 */
int packages_unpack(const char *work, const char *const *names, const char *const *assumed,
		    const struct volume_progress *progress, struct err *err);

/*
 * Where this host gets packages with that label ("Debian", "Debian-Security") from, by apt's own account
 * of its sources: "http://host/debian". Null when it has no such source.
 */
int packages_mirror(const char *work, const char *label, const struct volume_progress *progress, char **ret_mirror, struct err *err);

#endif

/*
 * members.h - the named files of an image archive, wherever it is: a tar is unpacked once, flat, into the scratch folder;
 * an OCI layout that is a folder is copied from as its files are asked for. Names inside never become paths outside.
 *
 * Errors:  -EINVAL what is wrong with the archive, -EFBIG, -ENOSPC, -ECANCELED.
 */
#ifndef IMAGES_OCI_MEMBERS_H
#define IMAGES_OCI_MEMBERS_H

#include "2-virtualization/images/oci/internal.h"

struct member {
	char *name;			/* "blobs/sha256/..." */
	char *path;			/* In the scratch folder; null: a link. */
	char *target;			/* Of a link: the name of another member. */
	char digest[SHA256_TEXT_SIZE];
	uint64_t size;
};
struct members {
	const struct oci_store *store;
	int folder_fd;			/* A layout in a folder; -1: a tar. */
	VEC(struct member) items;
};
int members_open_folder(struct members *members, const struct oci_store *store, const char *path, struct err *err);
int members_open_tar(struct members *members, const struct oci_store *store, int fd, struct err *err);
void members_done(struct members *members);
#define auto_members __attribute__((cleanup(members_done)))

/* Null (with the reason) when there is none. Valid until the next call. */
const struct member *members_find(struct members *members, const char *name, struct err *err);
int members_read(struct members *members, const char *name, size_t max_bytes, struct str *out, struct err *err);

/* What the tar 'fd' is, by its first entry. The position is its beginning before and after. */
int members_guess(int fd, enum oci_archive_form *ret_form, struct err *err);

#endif

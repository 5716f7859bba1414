/* oci_fixture.h - what the tests of this folder share: a store in a temporary folder, and layers written by hand. */
#ifndef IMAGES_OCI_FIXTURE_H
#define IMAGES_OCI_FIXTURE_H

#include <sys/types.h>

#include "2-virtualization/images/oci/internal.h"

struct oci_fixture {
	char *folder, *store, *scratch;
	struct str root_before;		/* Unused by most. */
};
int oci_fixture_set_up(void **state);
int oci_fixture_tear_down(void **state);
/* The scratch folder as a caller gives it: empty. */
void oci_fixture_empty_scratch(const struct oci_fixture *fixture);

/* An entry of a tar. 'type' is S_IFREG and so on; a hard link has 'type' 0. */
struct tar_entry {
	const char *name;
	mode_t type;
	mode_t mode;			/* 0: 0755 of folders, else 0644. */
	const char *content;		/* Of a file; target of links. */
	size_t size;			/* Of a file, when not strlen(content); zeroes. */
	uint64_t hole;			/* A sparse file: so many bytes of nothing, then content. */
	int64_t user, group;
	unsigned major, minor;
	const char *attribute, *value;	/* One extended attribute. */
	size_t value_size;		/* 0: strlen. */
	int64_t time;
	bool has_more;			/* Unused: ENTRY() ends with it. */
};
#define ENTRY(...) { __VA_ARGS__, .has_more = false }	/* So that the members at the end may be left out. */
/* 'filter': null, "gzip", "zstd", "xz". */
void oci_fixture_tar(const char *path, const char *filter, const struct tar_entry *entries, size_t count);

/* An OCI layout folder with one image of these layers (files as oci_fixture_tar() makes them). 'config': JSON of the
 * configuration's "config", may be null. Tagged "image". */
void oci_fixture_layout(const struct oci_fixture *fixture, const char *layout, const char *const *layers, size_t count, const char *config);

/* What is below 'folder', sorted, one line each: "drwxr-xr-x 0:0 name -> target". */
void oci_fixture_list(const char *folder, struct str *out);
/* Neither layers nor half-made ones are in the store; nor blobs, when 'has_blobs' is false. */
void oci_fixture_expect_empty(const struct oci_fixture *fixture, bool has_blobs);

#endif

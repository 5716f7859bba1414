/* node.h - making single files, folders, links, devices and whiteouts of a layer: the hands of unpack.c. */
#ifndef IMAGES_OCI_NODE_H
#define IMAGES_OCI_NODE_H

#include <archive_entry.h>
#include <stdbool.h>

#include "2-virtualization/images/oci/internal.h"

/* What was there under the name is replaced. 'name' is the whole name, for messages. Return an fd for writing, or -errno. */
int oci_node_file(struct oci_confine *confine, const struct oci_place *place, const char *name, struct err *err);
/* A folder that is there stays; anything else is replaced. Returns an fd. */
int oci_node_folder(struct oci_confine *confine, const struct oci_place *place, const char *name, struct err *err);
/* Symbolic links, devices, FIFOs, with owner, mode and time. */
int oci_node_special(struct oci_confine *confine, struct archive_entry *entry, const struct oci_place *place, const char *name,
		     struct err *err);
int oci_node_link(struct oci_confine *confine, const struct oci_place *from, const struct oci_place *to, const char *name,
		  const char *target, struct err *err);
/* ".wh.NAME" and ".wh..wh..opq". */
int oci_node_whiteout(const struct oci_place *place, const char *name, struct err *err);

int oci_node_write(int fd, const void *bytes, size_t size, uint64_t offset, struct err *err);
/* Owner, extended attributes, mode and (when asked for) time of a file or folder. */
int oci_node_dress(int fd, struct archive_entry *entry, bool has_time, const char *name, struct err *err);

#endif

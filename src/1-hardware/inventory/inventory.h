/*
 * inventory.h - the facts about this host that do not change while the daemon runs.
 *
 * Threads: any. Quick: a few files of /proc, /sys and /etc.
 */
#ifndef HARDWARE_INVENTORY_H
#define HARDWARE_INVENTORY_H

#include "model/node.h"

/* Fills what the host itself tells; 'directory' is the state folder, for disk sizes. What cannot be read stays unset. */
void inventory_read(const char *directory, struct node_status *status);

/* The boot id of the kernel, or "unknown". The caller frees. */
char *inventory_boot_id(void);

#endif

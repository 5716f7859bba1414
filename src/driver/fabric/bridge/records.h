/*
 * records.h - what is up, on disk: <directory>/networks/<ifname> and <directory>/nics/<ifname>.
 *
 * The kernel knows the interfaces but not why a rule is there. A record is written before
 * its interface is made and removed after it is gone, so a new daemon can always put the whole
 * filter together again. Nothing is synced: after a power failure the interfaces are gone too.
 *
 * Errors:  -errno with the path.
 * Threads: with the driver's mutex held.
 */
#ifndef DRIVER_FABRIC_BRIDGE_RECORDS_H
#define DRIVER_FABRIC_BRIDGE_RECORDS_H

#include <sys/types.h>

#include "driver/fabric/bridge/bridge.h"

/* Makes the folders and fills the driver's maps. Records of nics that are gone are removed, unreadable ones too. */
int records_load(struct bridge_driver *driver, struct err *err);
int records_save_network(const struct bridge_driver *driver, const struct fabric_network *network, struct err *err);
int records_save_nic(const struct bridge_driver *driver, const struct fabric_nic *nic, struct err *err);
void records_remove_network(const struct bridge_driver *driver, const struct fabric_network *network);
void records_remove_nic(const struct bridge_driver *driver, const struct fabric_nic *nic);

/*
 * Gives the file this content in one step: written as a hidden file and renamed, which who
 * watches the folder sees as one event. '*ret_change' (may be null): what there was to do.
 */
enum records_change { RECORDS_SAME, RECORDS_NEW, RECORDS_CHANGED };
int records_put_file(const char *folder, const char *name, const char *text, mode_t mode,
		     enum records_change *ret_change, struct err *err);

#endif

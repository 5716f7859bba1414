/*
 * filter.h - brings the kernel's packet filter to what the driver's maps say.
 *
 * A new driver does not know what the kernel has, so its first change replaces both tables, in one
 * transaction; later changes of nics are a few elements. If such a change fails (somebody
 * flushed the rules) the whole is written again. The host's rules have a generation number, so
 * that an apply which finds nothing changed, by us or by others, costs one question.
 *
 * Errors:  see nft.h and element.h.
 * Threads: with the driver's mutex held.
 */
#ifndef DRIVER_FABRIC_BRIDGE_FILTER_H
#define DRIVER_FABRIC_BRIDGE_FILTER_H

#include "driver/fabric/bridge/bridge.h"

/* Everything. */
int filter_apply(struct bridge_driver *driver, struct err *err);
/* The elements of 'old' become those of 'nic'; either may be null. The map has 'nic', or no 'old' any more. */
int filter_change_nic(struct bridge_driver *driver, const struct fabric_nic *old, const struct fabric_nic *nic, struct err *err);

#endif

/*
 * probe.h - can this host have networks of the "bridge" driver?
 *
 * Errors:  -EPERM, -ENOENT, -EOPNOTSUPP; the message says what is missing and the remedy.
 * Threads: with the driver's mutex held. Makes and removes one bridge.
 */
#ifndef DRIVER_FABRIC_BRIDGE_PROBE_H
#define DRIVER_FABRIC_BRIDGE_PROBE_H

#include "driver/fabric/bridge/bridge.h"

int probe_host(struct bridge_driver *driver, struct err *err);

#endif

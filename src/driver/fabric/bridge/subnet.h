/*
 * subnet.h - is an IPv4 subnet free on this host?
 *
 * Errors:  -EBUSY with the address or route that overlaps.
 * Threads: one at a time per 'struct netlink'.
 */
#ifndef DRIVER_FABRIC_BRIDGE_SUBNET_H
#define DRIVER_FABRIC_BRIDGE_SUBNET_H

#include <netinet/in.h>

#include "driver/fabric/bridge/netlink.h"

int subnet_check_free(struct netlink *netlink, struct in_addr address, unsigned prefix, struct err *err);

#endif

/*
 * bridge.h - what the files of the "bridge" driver share. The driver's own story is in bridge.c.
 *
 * Threads: everything here with the driver's mutex held.
 */
#ifndef DRIVER_FABRIC_BRIDGE_H
#define DRIVER_FABRIC_BRIDGE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/map.h"
#include "driver/fabric/bridge/netlink.h"
#include "port/fabric.h"

enum { BRIDGE_TAG_LENGTH = 4 };

struct bridge_driver {
	struct fabric_driver base;
	pthread_mutex_t mutex;
	struct netlink netlink;
	char tag[BRIDGE_TAG_LENGTH + 1];
	char *directory;
	char *cgroup;			/* Null: helpers stay in ours. */
	/* What is up or half up. Also on disk (records.h), so that a new daemon knows it. */
	struct map networks;		/* uid -> struct fabric_network *, owned. */
	struct map nics;		/* fabric_nic_key() -> struct fabric_nic *, owned. */
	bool has_rules;			/* The kernel's rules are known to be those of the two maps. */
};

/* "s<tag>b<index>" and "s<tag>t<number>". */
const char *bridge_ifname(const struct bridge_driver *driver, unsigned index, char ifname[IFNAMSIZ]);
const char *bridge_tap_ifname(const struct bridge_driver *driver, unsigned number, char ifname[IFNAMSIZ]);

/* Forgets and frees what the maps hold. */
void bridge_forget_network(struct bridge_driver *driver, const char *uid);
void bridge_forget_nic(struct bridge_driver *driver, const char *key);

#endif

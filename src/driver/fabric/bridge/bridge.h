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

enum { BRIDGE_TAG_LENGTH = 4, BRIDGE_DEFAULT_MTU = 1500 };

struct filter {				/* See filter.h. */
	bool is_known;			/* The kernel has the rules of the driver's maps, as far as we changed them. */
	uint64_t networks_hash;		/* Of the rules that are not a nic's. */
	uint32_t generation;		/* Of the host's rules after our last change; 0: others changed something too. */
};

struct bridge_driver {
	struct fabric_driver base;
	pthread_mutex_t mutex;
	struct netlink netlink;		/* Links, addresses, routes. */
	struct netlink netfilter;
	char tag[BRIDGE_TAG_LENGTH + 1];
	char *directory;
	char *cgroup;			/* Null: helpers stay in ours. */
	/* What is up or half up. Also on disk (records.h), so that a new daemon knows it. */
	struct map networks;		/* uid -> struct fabric_network *, owned. */
	struct map nics;		/* fabric_nic_key() -> struct fabric_nic *, owned. */
	struct filter filter;
};

/* The first step of every operation. */
struct bridge_driver *bridge_lock(struct fabric_driver *driver);
static inline void bridge_unlockp(struct bridge_driver **driver) { pthread_mutex_unlock(&(*driver)->mutex); }
#define auto_bridge_lock __attribute__((cleanup(bridge_unlockp)))

/* "s<tag>b<index>" and "s<tag>t<number>": the latter is a tap or the host's end of a veth pair. */
const char *bridge_ifname(const struct bridge_driver *driver, unsigned index, char ifname[IFNAMSIZ]);
const char *bridge_tap_ifname(const struct bridge_driver *driver, unsigned number, char ifname[IFNAMSIZ]);

/* The device group of all interfaces of this daemon. */
uint32_t bridge_group(const struct bridge_driver *driver);

/* Forgets and frees what the maps hold. */
void bridge_forget_network(struct bridge_driver *driver, const char *uid);
void bridge_forget_nic(struct bridge_driver *driver, const char *key);

/* The operations of network.c, nic.c and enter.c. */
int bridge_network_up(struct fabric_driver *driver, const struct fabric_network *network, struct err *err);
int bridge_network_down(struct fabric_driver *driver, const char *uid, struct err *err);
int bridge_nic_up(struct fabric_driver *driver, const struct fabric_nic *nic, char ret_ifname[IFNAMSIZ], struct err *err);
int bridge_nic_enter(struct fabric_driver *driver, const struct fabric_nic *nic, pid_t pid, struct err *err);
int bridge_nic_down(struct fabric_driver *driver, const char *instance, unsigned index, struct err *err);

/* Puts the host's end of a nic on its network's bridge, with its owner's name, and brings it up. */
int bridge_plug_in(struct bridge_driver *bridge, const struct fabric_network *network, const struct fabric_nic *nic,
		   const char *ifname, struct err *err);

#endif

/*
 * link.h - interfaces: bridges, taps, veth pairs, their settings, addresses and routes.
 *
 * Errors:  -ENOENT no such interface, else the kernel's -errno; messages name the interface.
 * Memory:  nothing is kept.
 * Threads: one at a time per 'struct netlink'.
 */
#ifndef DRIVER_FABRIC_BRIDGE_LINK_H
#define DRIVER_FABRIC_BRIDGE_LINK_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/fabric/bridge/netlink.h"

enum { LINK_ALIAS_SIZE = 128, LINK_NO_NAMESPACE = -1 };

struct link {
	unsigned index;
	unsigned master;		/* Index of its bridge; 0: none. */
	int peer_namespace;		/* Of a veth: where its peer is, as link_namespace() counts; LINK_NO_NAMESPACE: here, or no veth. */
	char name[IFNAMSIZ];
	char alias[LINK_ALIAS_SIZE];
};

int link_get(struct netlink *netlink, const char *name, struct link *ret_link, struct err *err);
typedef int link_fn(void *data, const struct link *link, struct err *err);	/* 0: go on. */
int link_list(struct netlink *netlink, link_fn *fn, void *data, struct err *err);

/* Without spanning tree, for it has no loops; one that exists is left as it is. */
int link_add_bridge(struct netlink *netlink, const char *name, const uint8_t mac[6], struct err *err);
/* A persistent tap as QEMU opens it (IFF_NO_PI | IFF_VNET_HDR); one that exists is left as it is. */
int link_add_tap(const char *name, struct err *err);

/* One end of a veth pair, the peer of which is made in another network namespace. */
struct link_veth {
	const char *name;
	int peer_namespace_fd;		/* Of /proc/PID/ns/net. */
	const char *peer_name;
	const uint8_t *peer_mac;
	unsigned mtu;			/* Of both. */
};
int link_add_veth(struct netlink *netlink, const struct link_veth *veth, struct err *err);
/* The number this namespace has for another one; LINK_NO_NAMESPACE: nothing here has to do with it. */
int link_namespace(struct netlink *netlink, int namespace_fd, int *ret_namespace, struct err *err);
int link_remove(struct netlink *netlink, const char *name, struct err *err);	/* Absent is fine. */
/* All with this group at once: one by one each would wait 20 ms for the kernel. None is fine. */
int link_remove_group(struct netlink *netlink, uint32_t group, struct err *err);

int link_set_up(struct netlink *netlink, const char *name, struct err *err);
/* Before it comes up: no IPv6 address of its own making. Fine where there is no IPv6. */
int link_stop_automatic_addresses(struct netlink *netlink, const char *name, struct err *err);

struct link_settings {
	const char *alias;		/* Null: leave. */
	unsigned mtu;
	unsigned master;		/* 0: leave. */
	const uint8_t *mac;		/* Null: leave. */
	uint32_t group;			/* For link_remove_group(). */
};
/* All in one step, and brings it up. It gets no IPv6 address of its own making. */
int link_set(struct netlink *netlink, const char *name, const struct link_settings *settings, struct err *err);

struct link_address {
	int family;			/* AF_INET, AF_INET6 */
	struct in6_addr address;	/* AF_INET: v4-mapped. */
	unsigned prefix;
	bool has_broadcast;		/* AF_INET: the last address of the subnet is announced as such. */
};
/* Exactly these: others are removed. */
int link_set_addresses(struct netlink *netlink, const char *name, const struct link_address *addresses, size_t count,
		       struct err *err);
/* The default route of the gateway's family; 'metric' tells apart those of several interfaces. 'gateway': v4-mapped or v6. */
int link_set_default_route(struct netlink *netlink, const char *name, const struct in6_addr *gateway, unsigned metric,
			   struct err *err);

#endif

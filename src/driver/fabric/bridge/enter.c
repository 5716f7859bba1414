/*
 * Nics of containers: one end of a veth pair on the bridge, where a machine's tap would be, the other in the
 * container's network namespace, set up from outside: in there nobody asks DHCP.
 *
 * The pair does not exist before a container enters: made with its far end where it belongs, it
 * never has to move, and a crash leaves nothing behind. When the last process of the container has ended the kernel
 * removes the namespace, and the pair with it. So there are three cases: no pair, one to this
 * very namespace (only bring it to the wanted values), one to another (of an instance's earlier life: make anew).
 */
#include "driver/fabric/bridge/bridge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/fabric/bridge/inventory.h"
#include "driver/fabric/bridge/link.h"
#include "driver/fabric/bridge/namespace.h"
#include "driver/fabric/bridge/rules.h"
#include "driver/fabric/bridge/sysctl.h"

enum { IPV6_METRIC = 1024 };		/* What the kernel gives to routes without one. */

struct entrance {
	const struct fabric_nic *nic;
	const struct fabric_network *network;
	char outer[IFNAMSIZ], inner[IFNAMSIZ];
	unsigned mtu;
	int namespace_fd;
};

static struct in6_addr map_ipv4(struct in_addr ipv4)
{
	struct in6_addr address = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(&address.s6_addr[12], &ipv4, sizeof(ipv4));
	return address;
}

static int set_addresses(struct netlink *netlink, const struct entrance *entrance, struct err *err)
{
	const struct fabric_network *network = entrance->network;
	const struct fabric_nic *nic = entrance->nic;
	struct link_address addresses[3];
	size_t count = 0;

	if (nic->ipv4.s_addr)
		addresses[count++] = (struct link_address){ AF_INET, map_ipv4(nic->ipv4), network->ipv4_prefix, true };
	if (fabric_address_is_set(&nic->ipv6)) {
		addresses[count++] = (struct link_address){ AF_INET6, nic->ipv6, network->ipv6_prefix, false };
		/* The kernel's own would be unusable for two seconds of duplicate address detection. */
		addresses[count++] = (struct link_address){ AF_INET6, rules_link_local(nic->mac), 64, false };
	}
	return link_set_addresses(netlink, entrance->inner, addresses, count, err);
}

/* Of several nics the one with the lowest index leads outside. */
static int set_routes(struct netlink *netlink, const struct entrance *entrance, struct err *err)
{
	const struct fabric_network *network = entrance->network;
	const struct fabric_nic *nic = entrance->nic;
	struct in6_addr gateway = map_ipv4(network->ipv4);
	int r = 0;

	if (nic->ipv4.s_addr && network->ipv4.s_addr)
		r = link_set_default_route(netlink, entrance->inner, &gateway, nic->index, err);
	if (r == 0 && fabric_address_is_set(&nic->ipv6) && fabric_address_is_set(&network->ipv6))
		r = link_set_default_route(netlink, entrance->inner, &network->ipv6, IPV6_METRIC + nic->index, err);
	return r;
}

/* In the container's namespace. */
static int set_up_inside(void *data, struct err *err)
{
	const struct entrance *entrance = data;
	struct link_settings settings = { .mtu = entrance->mtu, .mac = entrance->nic->mac };
	struct netlink netlink = { 0 };
	int r;

	/* Addresses and routes come from us: the router would only add others beside them. */
	sysctl_ignore_routers(entrance->inner);
	if ((r = netlink_open(&netlink, NETLINK_ROUTE, err)) == 0 &&
	    (r = link_set_up(&netlink, "lo", err)) == 0 &&
	    (r = link_stop_automatic_addresses(&netlink, entrance->inner, err)) == 0 &&
	    (r = link_set(&netlink, entrance->inner, &settings, err)) == 0 &&
	    (r = set_addresses(&netlink, entrance, err)) == 0)
		r = set_routes(&netlink, entrance, err);
	netlink_close(&netlink);
	return r;
}

/* Makes sure of a pair between here and there. */
static int join(struct bridge_driver *bridge, const struct entrance *entrance, struct err *err)
{
	struct link_veth veth = {
		.name = entrance->outer, .peer_name = entrance->inner, .peer_mac = entrance->nic->mac,
		.peer_namespace_fd = entrance->namespace_fd, .mtu = entrance->mtu,
	};
	int wanted, r;
	struct link link;

	r = link_get(&bridge->netlink, entrance->outer, &link, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		if ((r = link_namespace(&bridge->netlink, entrance->namespace_fd, &wanted, err)) < 0)
			return r;
		if (wanted != LINK_NO_NAMESPACE && link.peer_namespace == wanted)
			return 0;
		if ((r = link_remove(&bridge->netlink, entrance->outer, err)) < 0)
			return r;
	}
	return link_add_veth(&bridge->netlink, &veth, err);
}

static int enter(struct bridge_driver *bridge, const struct entrance *entrance, struct err *err)
{
	char alias[LINK_ALIAS_SIZE];
	struct link link;
	int r;

	inventory_nic_alias(entrance->nic->instance, entrance->nic->index, alias);
	if ((r = inventory_check_owner(bridge, entrance->outer, alias, err)) < 0 ||
	    (r = join(bridge, entrance, err)) < 0 ||
	    (r = namespace_run(entrance->namespace_fd, set_up_inside, (void *)entrance, err)) < 0 ||
	    (r = bridge_plug_in(bridge, entrance->network, entrance->nic, entrance->outer, err)) < 0)
		return r;
	/* Looking makes the kernel tell the bridge now that the pair has a carrier; otherwise it does so a moment later. */
	return link_get(&bridge->netlink, entrance->outer, &link, err);
}

int bridge_nic_enter(struct fabric_driver *driver, const struct fabric_nic *nic, pid_t pid, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);
	auto_close int fd = -1;
	struct entrance entrance = { 0 };
	char key[FABRIC_KEY_SIZE];
	int r;

	if ((r = fabric_check_nic(nic, err)) < 0)
		return r;
	if (nic->kind != FABRIC_VETH)
		return err_set(err, -EINVAL, "nic %u of '%s' is a tap: it enters no container", nic->index, shown(nic->hostname));
	/* What it was brought up with is what the rules let pass. */
	entrance.nic = map_get(&bridge->nics, fabric_nic_key(nic->instance, nic->index, key));
	entrance.network = entrance.nic ? map_get(&bridge->networks, entrance.nic->network) : NULL;
	if (!entrance.network || entrance.nic->kind != FABRIC_VETH)
		return err_set(err, -ENOENT, "nic %u of '%s' is not up: bring it up first", nic->index, shown(nic->hostname));
	if ((r = namespace_open(pid, &fd, err)) == 0) {
		entrance.namespace_fd = fd;
		entrance.mtu = entrance.network->mtu ? entrance.network->mtu : BRIDGE_DEFAULT_MTU;
		bridge_tap_ifname(bridge, entrance.nic->number, entrance.outer);
		snprintf(entrance.inner, sizeof(entrance.inner), "eth%u", nic->index);
		r = enter(bridge, &entrance, err);
	}
	return r < 0 ? err_prefix(err, "nic %u of '%s'", nic->index, shown(nic->hostname)) : 0;
}

/* Networks: a bridge, its addresses, its rules, its dnsmasq. */
#include "driver/fabric/bridge/bridge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/fabric/bridge/dnsmasq.h"
#include "driver/fabric/bridge/filter.h"
#include "driver/fabric/bridge/inventory.h"
#include "driver/fabric/bridge/link.h"
#include "driver/fabric/bridge/records.h"
#include "driver/fabric/bridge/rules.h"
#include "driver/fabric/bridge/sysctl.h"

/* The index names the interface, so it must not be another network's. */
static int check_index(const struct bridge_driver *bridge, const struct fabric_network *network, struct err *err)
{
	for (size_t i = 0; i < bridge->networks.count; i++) {
		const struct fabric_network *other = bridge->networks.entries[i].value;

		if (other->index == network->index && !text_equal(other->uid, network->uid))
			return err_set(err, -EBUSY, "network index %u belongs to network '%s'", network->index, shown(other->name));
	}
	return 0;
}

static int set_addresses(struct bridge_driver *bridge, const struct fabric_network *network, const char *ifname,
			 const uint8_t mac[6], struct err *err)
{
	struct link_address addresses[3];
	size_t count = 0;
	int r;

	if (network->ipv4.s_addr) {
		addresses[count] = (struct link_address){ .family = AF_INET, .prefix = network->ipv4_prefix };
		addresses[count].address.s6_addr[10] = addresses[count].address.s6_addr[11] = 0xff;
		memcpy(&addresses[count++].address.s6_addr[12], &network->ipv4, sizeof(network->ipv4));
		if ((r = sysctl_forward_ipv4(ifname, err)) < 0)
			return r;
	}
	if (fabric_address_is_set(&network->ipv6)) {
		addresses[count++] = (struct link_address){ AF_INET6, network->ipv6, network->ipv6_prefix, false };
		addresses[count++] = (struct link_address){ AF_INET6, rules_link_local(mac), 64, false };
		if ((r = sysctl_forward_ipv6(ifname, err)) < 0)
			return r;
	}
	return link_set_addresses(&bridge->netlink, ifname, addresses, count, err);
}

static int bring_up_bridge(struct bridge_driver *bridge, const struct fabric_network *network, const char *ifname, struct err *err)
{
	char alias[LINK_ALIAS_SIZE];
	uint8_t mac[6];
	struct link_settings settings = { .alias = alias, .mtu = network->mtu ? network->mtu : BRIDGE_DEFAULT_MTU, .mac = mac,
					  .group = bridge_group(bridge) };
	int r;

	rules_bridge_mac(network, mac);
	inventory_network_alias(network->uid, alias);
	if ((r = inventory_check_owner(bridge, ifname, alias, err)) < 0 ||
	    (r = link_add_bridge(&bridge->netlink, ifname, mac, err)) < 0 ||
	    (r = link_set(&bridge->netlink, ifname, &settings, err)) < 0)
		return r;
	return set_addresses(bridge, network, ifname, mac, err);
}

static int take_network_down(struct bridge_driver *bridge, const char *ifname, struct err *err)
{
	int r;

	if ((r = dnsmasq_down(bridge, ifname, err)) < 0)
		return r;
	return link_remove(&bridge->netlink, ifname, err);
}

/* A network that had another index before has its old interface still. */
static int move_network(struct bridge_driver *bridge, const struct fabric_network *network, struct err *err)
{
	const struct fabric_network *old = map_get(&bridge->networks, network->uid);
	char ifname[IFNAMSIZ];
	int r;

	if (!old || old->index == network->index)
		return 0;
	if ((r = take_network_down(bridge, bridge_ifname(bridge, old->index, ifname), err)) < 0)
		return r;
	records_remove_network(bridge, old);
	return 0;
}

int bridge_network_up(struct fabric_driver *driver, const struct fabric_network *network, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);
	char ifname[IFNAMSIZ];
	int r;

	if ((r = fabric_check_network(network, err)) < 0 ||
	    (r = check_index(bridge, network, err)) < 0 ||
	    (r = move_network(bridge, network, err)) < 0 ||
	    (r = records_save_network(bridge, network, err)) < 0)
		return r;
	fabric_network_free(map_put(&bridge->networks, network->uid, fabric_network_copy(network)));
	bridge_ifname(bridge, network->index, ifname);
	if ((r = bring_up_bridge(bridge, network, ifname, err)) < 0 ||
	    (r = filter_apply(bridge, err)) < 0)
		return err_prefix(err, "network '%s'", shown(network->name));
	r = network->has_dhcp ? dnsmasq_up(bridge, network, err) : dnsmasq_down(bridge, ifname, err);
	return r < 0 ? err_prefix(err, "network '%s'", shown(network->name)) : 0;
}

/* The bridge with this uid as alias, where no record says which it is. */
static int find_bridge(struct bridge_driver *bridge, const char *uid, char ifname[IFNAMSIZ], struct err *err)
{
	struct inventory_links links = { 0 };
	int r = inventory_links(bridge, &links, err);

	ifname[0] = '\0';
	for (size_t i = 0; i < links.items.count; i++)
		if (links.items.items[i].kind == INVENTORY_BRIDGE && text_equal(links.items.items[i].uid, uid))
			snprintf(ifname, IFNAMSIZ, "%s", links.items.items[i].ifname);
	vec_done(&links.items);
	return r;
}

int bridge_network_down(struct fabric_driver *driver, const char *uid, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);
	const struct fabric_network *network = map_get(&bridge->networks, uid);
	char ifname[IFNAMSIZ];
	int r = 0;

	if (network)
		bridge_ifname(bridge, network->index, ifname);
	else
		r = find_bridge(bridge, uid, ifname, err);
	if (r < 0 || !ifname[0])
		return r;
	if ((r = take_network_down(bridge, ifname, err)) < 0)
		return r;
	if (network)
		records_remove_network(bridge, network);
	bridge_forget_network(bridge, uid);
	return filter_apply(bridge, err);
}

/* Nics: a tap or veth on a bridge, its elements in the rules, its two files for dnsmasq. Containers enter in enter.c. */
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
#include "driver/fabric/bridge/ports.h"

static int check_port(const struct bridge_driver *bridge, const struct fabric_nic *nic,
		      const struct fabric_publish *publish, struct err *err)
{
	bool is_ours = false;

	for (size_t i = 0; i < bridge->nics.count; i++) {
		const struct fabric_nic *other = bridge->nics.entries[i].value;
		bool is_same = other->index == nic->index && text_equal(other->instance, nic->instance);

		for (size_t j = 0; j < other->publish_count; j++) {
			if (!fabric_publish_overlaps(publish, &other->publish[j]))
				continue;
			if (!is_same)
				return err_set(err, -EBUSY, "host port %u/%s is in use by instance '%s': choose another one",
					       publish->host_port, fabric_protocol_name(publish->protocol), shown(other->hostname));
			is_ours = true;
		}
	}
	return is_ours ? 0 : ports_check_free(publish, err);
}

/* Nothing of it may belong to another nic or program. */
static int check_claims(const struct bridge_driver *bridge, const struct fabric_nic *nic, struct err *err)
{
	int r;

	for (size_t i = 0; i < bridge->nics.count; i++) {
		const struct fabric_nic *other = bridge->nics.entries[i].value;

		if (other->number == nic->number && (other->index != nic->index || !text_equal(other->instance, nic->instance)))
			return err_set(err, -EBUSY, "nic number %u belongs to instance '%s'", nic->number, shown(other->hostname));
	}
	for (size_t i = 0; i < nic->publish_count; i++)
		if ((r = check_port(bridge, nic, &nic->publish[i], err)) < 0)
			return r;
	return 0;
}

/* Everything but its rules, and but the record when the tap stays what it was. */
static int take_nic_down(struct bridge_driver *bridge, const struct fabric_nic *nic, struct err *err)
{
	const struct fabric_network *network = map_get(&bridge->networks, nic->network);
	char ifname[IFNAMSIZ];
	int r;

	if (network)
		dnsmasq_remove_nic(bridge, network, nic);
	if ((r = link_remove(&bridge->netlink, bridge_tap_ifname(bridge, nic->number, ifname), err)) < 0)
		return r;
	records_remove_nic(bridge, nic);
	return 0;
}

/* A nic that had another tap or network before has things there still. */
static int move_nic(struct bridge_driver *bridge, const struct fabric_nic *old, const struct fabric_nic *nic, struct err *err)
{
	const struct fabric_network *network = map_get(&bridge->networks, old->network);

	if (old->number != nic->number || old->kind != nic->kind)
		return take_nic_down(bridge, old, err);
	if (network && !text_equal(old->network, nic->network))
		dnsmasq_remove_nic(bridge, network, old);
	return 0;
}

int bridge_plug_in(struct bridge_driver *bridge, const struct fabric_network *network, const struct fabric_nic *nic,
		   const char *ifname, struct err *err)
{
	char alias[LINK_ALIAS_SIZE], master[IFNAMSIZ];
	struct link_settings settings = { .alias = alias, .mtu = network->mtu ? network->mtu : BRIDGE_DEFAULT_MTU,
					  .group = bridge_group(bridge) };

	inventory_nic_alias(nic->instance, nic->index, alias);
	settings.master = if_nametoindex(bridge_ifname(bridge, network->index, master));
	if (!settings.master)
		return err_set(err, -ENOENT, "bridge %s of network '%s' is gone: bring the network up", master, shown(network->name));
	return link_set(&bridge->netlink, ifname, &settings, err);
}

/* A tap is made; a veth is there when a container has entered, and waits for it otherwise. */
static int bring_up_link(struct bridge_driver *bridge, const struct fabric_network *network, const struct fabric_nic *nic,
			 const char *ifname, struct err *err)
{
	char alias[LINK_ALIAS_SIZE];
	int r;

	inventory_nic_alias(nic->instance, nic->index, alias);
	if ((r = inventory_check_owner(bridge, ifname, alias, err)) < 0)
		return r;
	if (nic->kind == FABRIC_VETH && !if_nametoindex(ifname))
		return 0;
	if (nic->kind == FABRIC_TAP && (r = link_add_tap(ifname, err)) < 0)
		return r;
	r = bridge_plug_in(bridge, network, nic, ifname, err);
	/* That of a container that has just ended goes with its network namespace, which may be this moment. */
	return r == -ENODEV && nic->kind == FABRIC_VETH ? 0 : r;
}

int bridge_nic_up(struct fabric_driver *driver, const struct fabric_nic *nic, char ret_ifname[IFNAMSIZ], struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);
	const struct fabric_network *network;
	char key[FABRIC_KEY_SIZE], ifname[IFNAMSIZ];
	struct fabric_nic *old;
	int r;

	if ((r = fabric_check_nic(nic, err)) < 0)
		return r;
	if (!(network = map_get(&bridge->networks, nic->network)))
		return err_set(err, -ENOENT, "network '%s' is not up on this host", shown(nic->network));
	fabric_nic_key(nic->instance, nic->index, key);
	old = map_get(&bridge->nics, key);
	if ((r = check_claims(bridge, nic, err)) < 0 ||
	    (old && (r = move_nic(bridge, old, nic, err)) < 0) ||
	    (r = records_save_nic(bridge, nic, err)) < 0)
		return r;
	map_put(&bridge->nics, key, fabric_nic_copy(nic));
	bridge_tap_ifname(bridge, nic->number, ifname);
	/* Rules come first: they say what the kernel has, also when the tap cannot be made. */
	if ((r = filter_change_nic(bridge, old, nic, err)) == 0 &&
	    (r = bring_up_link(bridge, network, nic, ifname, err)) == 0 && network->has_dhcp)
		r = dnsmasq_put_nic(bridge, network, old, nic, err);
	fabric_nic_free(old);
	if (r < 0)
		return err_prefix(err, "nic %u of '%s'", nic->index, shown(nic->hostname));
	snprintf(ret_ifname, IFNAMSIZ, "%s", ifname);
	return 0;
}

/* Taps with this alias, where no record says which they are. */
static int remove_taps(struct bridge_driver *bridge, const char *instance, unsigned index, struct err *err)
{
	struct inventory_links links = { 0 };
	int r = inventory_links(bridge, &links, err);

	for (size_t i = 0; r == 0 && i < links.items.count; i++) {
		const struct inventory_link *link = &links.items.items[i];

		if (link->kind == INVENTORY_TAP && link->index == index && text_equal(link->uid, instance))
			r = link_remove(&bridge->netlink, link->ifname, err);
	}
	vec_done(&links.items);
	return r;
}

int bridge_nic_down(struct fabric_driver *driver, const char *instance, unsigned index, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);
	char key[FABRIC_KEY_SIZE];
	struct fabric_nic *nic;
	int r;

	fabric_nic_key(instance, index, key);
	if (!(nic = map_get(&bridge->nics, key)))
		return remove_taps(bridge, instance, index, err);
	if ((r = take_nic_down(bridge, nic, err)) < 0)
		return r;
	map_remove(&bridge->nics, key);
	r = filter_change_nic(bridge, nic, NULL, err);
	fabric_nic_free(nic);
	return r;
}

/*
 * The "bridge" driver: Linux bridges, taps, veths, nftables and dnsmasq.
 *
 * A network is a bridge "s<tag>b<index>" with the gateway's addresses, a dnsmasq and its share of
 * the rules. A nic is a tap "s<tag>t<number>" on it (for a container a veth, see enter.c), elements in the
 * rules' sets, and two files that its network's dnsmasq reads. Interfaces carry their owner's uid as alias.
 *
 * Every "up" runs the same steps whether something was there or not, and each step
 * looks before it changes. The order is: record, interface, rules, dnsmasq; "down" goes the other
 * way. So whatever a crash leaves behind is in the inventory, and up or down finishes it.
 */
#include "driver/fabric/bridge/bridge.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/fabric/bridge/dnsmasq.h"
#include "driver/fabric/bridge/filter.h"
#include "driver/fabric/bridge/inventory.h"
#include "driver/fabric/bridge/link.h"
#include "driver/fabric/bridge/probe.h"
#include "driver/fabric/bridge/records.h"
#include "driver/fabric/bridge/subnet.h"

const char *bridge_ifname(const struct bridge_driver *driver, unsigned index, char ifname[IFNAMSIZ])
{
	snprintf(ifname, IFNAMSIZ, "s%sb%u", driver->tag, index % 10000);
	return ifname;
}

const char *bridge_tap_ifname(const struct bridge_driver *driver, unsigned number, char ifname[IFNAMSIZ])
{
	snprintf(ifname, IFNAMSIZ, "s%st%u", driver->tag, number % (FABRIC_NIC_NUMBER_MAX + 1));
	return ifname;
}

uint32_t bridge_group(const struct bridge_driver *driver)
{
	return UINT32_C(0x53000000) | (uint32_t)strtoul(driver->tag, NULL, 16);
}

void bridge_forget_network(struct bridge_driver *driver, const char *uid)
{
	fabric_network_free(map_remove(&driver->networks, uid));
}

void bridge_forget_nic(struct bridge_driver *driver, const char *key)
{
	fabric_nic_free(map_remove(&driver->nics, key));
}

struct bridge_driver *bridge_lock(struct fabric_driver *driver)
{
	struct bridge_driver *bridge = container_of(driver, struct bridge_driver, base);

	pthread_mutex_lock(&bridge->mutex);
	return bridge;
}

/*
 * ---- Open and close ----
 */

static int check_tag(const char *tag, struct err *err)
{
	size_t length = tag ? strlen(tag) : 0;

	if (length == BRIDGE_TAG_LENGTH && strspn(tag, "0123456789abcdef") == length)
		return 0;
	return err_set(err, -EINVAL, "node tag '%s' is not %d lower-case hex digits", shown(tag ? tag : ""), BRIDGE_TAG_LENGTH);
}

static void close_driver(struct fabric_driver *driver)
{
	struct bridge_driver *bridge = container_of(driver, struct bridge_driver, base);

	if (!driver)
		return;
	while (bridge->networks.count)
		bridge_forget_network(bridge, bridge->networks.entries[bridge->networks.count - 1].key);
	while (bridge->nics.count)
		bridge_forget_nic(bridge, bridge->nics.entries[bridge->nics.count - 1].key);
	map_done(&bridge->networks);
	map_done(&bridge->nics);
	netlink_close(&bridge->netlink);
	netlink_close(&bridge->netfilter);
	pthread_mutex_destroy(&bridge->mutex);
	free(bridge->directory);
	free(bridge->cgroup);
	free(bridge);
}

static int open_driver(const struct fabric_params *params, struct fabric_driver **ret_driver, struct err *err)
{
	struct bridge_driver *bridge;
	int r;

	if ((r = check_tag(params->node_tag, err)) < 0)
		return r;
	if (!params->directory || params->directory[0] != '/' || strchr(params->directory, '\n'))
		return err_set(err, -EINVAL, "fabric directory '%s' is not an absolute path", shown(params->directory ? params->directory : ""));
	bridge = alloc(sizeof(*bridge));
	*bridge = (struct bridge_driver){
		.base.ops = &fabric_bridge,
		.directory = text_copy(params->directory), .cgroup = text_copy(params->cgroup),
	};
	snprintf(bridge->tag, sizeof(bridge->tag), "%s", params->node_tag);
	pthread_mutex_init(&bridge->mutex, NULL);
	if ((r = netlink_open(&bridge->netlink, NETLINK_ROUTE, err)) < 0 ||
	    (r = netlink_open(&bridge->netfilter, NETLINK_NETFILTER, err)) < 0 ||
	    (r = records_load(bridge, err)) < 0) {
		close_driver(&bridge->base);
		return r;
	}
	*ret_driver = &bridge->base;
	return 0;
}

/*
 * ---- All of it ----
 */

static int inventory(struct fabric_driver *driver, struct fabric_inventory *ret_inventory, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);
	struct fabric_inventory inventory = { 0 };
	struct inventory_links links = { 0 };
	char key[FABRIC_KEY_SIZE];
	int r = inventory_links(bridge, &links, err);

	for (size_t i = 0; r == 0 && i < bridge->networks.count; i++)
		vec_push(&inventory.networks)->uid = text_copy(bridge->networks.entries[i].key);
	for (size_t i = 0; r == 0 && i < bridge->nics.count; i++) {
		const struct fabric_nic *nic = bridge->nics.entries[i].value;

		*vec_push(&inventory.nics) = (struct fabric_name){ text_copy(nic->instance), nic->index };
	}
	/* Interfaces whose record was lost. */
	for (size_t i = 0; r == 0 && i < links.items.count; i++) {
		const struct inventory_link *link = &links.items.items[i];

		if (link->kind == INVENTORY_BRIDGE && link->uid[0] && !map_get(&bridge->networks, link->uid))
			vec_push(&inventory.networks)->uid = text_copy(link->uid);
		if (link->kind == INVENTORY_TAP && link->uid[0] && !map_get(&bridge->nics, fabric_nic_key(link->uid, link->index, key)))
			*vec_push(&inventory.nics) = (struct fabric_name){ text_copy(link->uid), link->index };
	}
	vec_done(&links.items);
	if (r == 0)
		*ret_inventory = inventory;
	return r;
}

static int check_subnet(struct fabric_driver *driver, struct in_addr address, unsigned prefix, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);

	return subnet_check_free(&bridge->netlink, address, prefix, err);
}

static int probe(struct fabric_driver *driver, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);

	return probe_host(bridge, err);
}

/* Every dnsmasq with a folder, also those of networks nobody knows any more. */
static int stop_helpers(struct bridge_driver *bridge, struct err *err)
{
	auto_free char *path = text_format("%s/dnsmasq", bridge->directory);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	while (dir && r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = dnsmasq_down(bridge, entry->d_name, err);
	if (dir)
		closedir(dir);
	return r;
}

static int remove_links(struct bridge_driver *bridge, struct err *err)
{
	struct inventory_links links = { 0 };
	int r = link_remove_group(&bridge->netlink, bridge_group(bridge), err);

	/* Those that a crash left before they had their group. */
	if (r == 0)
		r = inventory_links(bridge, &links, err);
	for (size_t i = 0; r == 0 && i < links.items.count; i++)
		r = link_remove(&bridge->netlink, links.items.items[i].ifname, err);
	vec_done(&links.items);
	return r;
}

static int clear(struct fabric_driver *driver, struct err *err)
{
	auto_bridge_lock struct bridge_driver *bridge = bridge_lock(driver);
	int r;

	if ((r = stop_helpers(bridge, err)) < 0 || (r = remove_links(bridge, err)) < 0)
		return r;
	while (bridge->nics.count) {
		const struct map_entry *last = &bridge->nics.entries[bridge->nics.count - 1];

		records_remove_nic(bridge, last->value);
		bridge_forget_nic(bridge, last->key);
	}
	while (bridge->networks.count) {
		const struct map_entry *last = &bridge->networks.entries[bridge->networks.count - 1];

		records_remove_network(bridge, last->value);
		bridge_forget_network(bridge, last->key);
	}
	return filter_apply(bridge, err);
}

const struct fabric_ops fabric_bridge = {
	.name = "bridge",
	.open = open_driver,
	.close = close_driver,
	.network_up = bridge_network_up,
	.network_down = bridge_network_down,
	.nic_up = bridge_nic_up,
	.nic_enter = bridge_nic_enter,
	.nic_down = bridge_nic_down,
	.inventory = inventory,
	.check_subnet = check_subnet,
	.probe = probe,
	.clear = clear,
};

/*
 * The "bridge" driver: Linux bridges, taps, nftables and dnsmasq.
 *
 * A network is a bridge "s<tag>b<index>" with the gateway's addresses, a dnsmasq and its share of
 * the rules. A nic is a tap "s<tag>t<number>" on it, elements in the rules' sets, and two
 * files that its network's dnsmasq reads. Interfaces carry their owner's uid as alias.
 *
 * Every "up" runs the same steps whether something was there or not, and each step
 * looks before it changes. The order is: record, interface, rules, dnsmasq; "down" goes the other
 * way. So whatever a crash leaves behind is in the inventory, and up or down finishes it.
 *
 * Rules: a new driver does not know what the kernel has, so its first change replaces both tables
 * from the records, in one transaction; later ones are a few elements. If such a change
 * fails (somebody flushed the rule set), the whole is written again.
 */
#include "driver/fabric/bridge/bridge.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/fabric/bridge/dnsmasq.h"
#include "driver/fabric/bridge/inventory.h"
#include "driver/fabric/bridge/link.h"
#include "driver/fabric/bridge/nft.h"
#include "driver/fabric/bridge/ports.h"
#include "driver/fabric/bridge/probe.h"
#include "driver/fabric/bridge/records.h"
#include "driver/fabric/bridge/rules.h"
#include "driver/fabric/bridge/subnet.h"
#include "driver/fabric/bridge/sysctl.h"

enum { DEFAULT_MTU = 1500 };

const char *bridge_ifname(const struct bridge_driver *driver, unsigned index, char ifname[IFNAMSIZ])
{
	snprintf(ifname, IFNAMSIZ, "s%sb%u", driver->tag, index % 10000);
	return ifname;
}

const char *bridge_tap_ifname(const struct bridge_driver *driver, unsigned number, char ifname[IFNAMSIZ])
{
	snprintf(ifname, IFNAMSIZ, "s%st%u", driver->tag, number % 100000);
	return ifname;
}

void bridge_forget_network(struct bridge_driver *driver, const char *uid)
{
	fabric_network_free(map_remove(&driver->networks, uid));
}

void bridge_forget_nic(struct bridge_driver *driver, const char *key)
{
	fabric_nic_free(map_remove(&driver->nics, key));
}

static void unlockp(struct bridge_driver **driver)
{
	pthread_mutex_unlock(&(*driver)->mutex);
}

#define auto_locked __attribute__((cleanup(unlockp)))

static struct bridge_driver *lock(struct fabric_driver *driver)
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
	if ((r = netlink_open(&bridge->netlink, err)) < 0 || (r = records_load(bridge, err)) < 0) {
		close_driver(&bridge->base);
		return r;
	}
	*ret_driver = &bridge->base;
	return 0;
}

/*
 * ---- Rules ----
 */

static int apply_all_rules(struct bridge_driver *bridge, struct err *err)
{
	auto_str struct str rules = { 0 };
	int r;

	rules_write_all(bridge, &rules);
	r = nft_apply(str_text(&rules), err);
	bridge->has_rules = r == 0;
	return r;
}

/* The maps hold 'nic' already, or hold 'old' no more. */
static int apply_nic_rules(struct bridge_driver *bridge, const struct fabric_nic *old, const struct fabric_nic *nic, struct err *err)
{
	auto_str struct str rules = { 0 };

	if (!bridge->has_rules)
		return apply_all_rules(bridge, err);
	rules_write_change(bridge, old, nic, &rules);
	if (!rules.size || nft_apply(str_text(&rules), err) == 0)
		return 0;
	return apply_all_rules(bridge, err);
}

/*
 * ---- Networks ----
 */

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
		addresses[count++] = (struct link_address){ AF_INET6, network->ipv6, network->ipv6_prefix };
		addresses[count++] = (struct link_address){ AF_INET6, rules_link_local(mac), 64 };
		if ((r = sysctl_forward_ipv6(ifname, err)) < 0)
			return r;
	}
	return link_set_addresses(&bridge->netlink, ifname, addresses, count, err);
}

static int bring_up_bridge(struct bridge_driver *bridge, const struct fabric_network *network, const char *ifname, struct err *err)
{
	char alias[LINK_ALIAS_SIZE];
	uint8_t mac[6];
	struct link_settings settings = { .alias = alias, .mtu = network->mtu ? network->mtu : DEFAULT_MTU, .mac = mac };
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

static int network_up(struct fabric_driver *driver, const struct fabric_network *network, struct err *err)
{
	auto_locked struct bridge_driver *bridge = lock(driver);
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
	    (r = apply_all_rules(bridge, err)) < 0)
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

static int network_down(struct fabric_driver *driver, const char *uid, struct err *err)
{
	auto_locked struct bridge_driver *bridge = lock(driver);
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
	return apply_all_rules(bridge, err);
}

/*
 * ---- Nics ----
 */

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

	if (old->number != nic->number)
		return take_nic_down(bridge, old, err);
	if (network && !text_equal(old->network, nic->network))
		dnsmasq_remove_nic(bridge, network, old);
	return 0;
}

static int bring_up_tap(struct bridge_driver *bridge, const struct fabric_network *network, const struct fabric_nic *nic,
			const char *ifname, struct err *err)
{
	char alias[LINK_ALIAS_SIZE], master[IFNAMSIZ];
	struct link_settings settings = { .alias = alias, .mtu = network->mtu ? network->mtu : DEFAULT_MTU };
	int r;

	inventory_nic_alias(nic->instance, nic->index, alias);
	settings.master = if_nametoindex(bridge_ifname(bridge, network->index, master));
	if (!settings.master)
		return err_set(err, -ENOENT, "bridge %s of network '%s' is gone: bring the network up", master, shown(network->name));
	if ((r = inventory_check_owner(bridge, ifname, alias, err)) < 0 || (r = link_add_tap(ifname, err)) < 0)
		return r;
	return link_set(&bridge->netlink, ifname, &settings, err);
}

static int nic_up(struct fabric_driver *driver, const struct fabric_nic *nic, char ret_ifname[IFNAMSIZ], struct err *err)
{
	auto_locked struct bridge_driver *bridge = lock(driver);
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
	if ((r = apply_nic_rules(bridge, old, nic, err)) == 0 &&
	    (r = bring_up_tap(bridge, network, nic, ifname, err)) == 0 && network->has_dhcp)
		r = dnsmasq_add_nic(bridge, network, nic, err);
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

static int nic_down(struct fabric_driver *driver, const char *instance, unsigned index, struct err *err)
{
	auto_locked struct bridge_driver *bridge = lock(driver);
	char key[FABRIC_KEY_SIZE];
	struct fabric_nic *nic;
	int r;

	fabric_nic_key(instance, index, key);
	if (!(nic = map_get(&bridge->nics, key)))
		return remove_taps(bridge, instance, index, err);
	if ((r = take_nic_down(bridge, nic, err)) < 0)
		return r;
	map_remove(&bridge->nics, key);
	r = apply_nic_rules(bridge, nic, NULL, err);
	fabric_nic_free(nic);
	return r;
}

/*
 * ---- All of it ----
 */

static int inventory(struct fabric_driver *driver, struct fabric_inventory *ret_inventory, struct err *err)
{
	auto_locked struct bridge_driver *bridge = lock(driver);
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
	auto_locked struct bridge_driver *bridge = lock(driver);

	return subnet_check_free(&bridge->netlink, address, prefix, err);
}

static int probe(struct fabric_driver *driver, struct err *err)
{
	auto_locked struct bridge_driver *bridge = lock(driver);

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
	int r = inventory_links(bridge, &links, err);

	for (size_t i = 0; r == 0 && i < links.items.count; i++)
		r = link_remove(&bridge->netlink, links.items.items[i].ifname, err);
	vec_done(&links.items);
	return r;
}

static int clear(struct fabric_driver *driver, struct err *err)
{
	auto_locked struct bridge_driver *bridge = lock(driver);
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
	return apply_all_rules(bridge, err);
}

const struct fabric_ops fabric_bridge = {
	.name = "bridge",
	.open = open_driver,
	.close = close_driver,
	.network_up = network_up,
	.network_down = network_down,
	.nic_up = nic_up,
	.nic_down = nic_down,
	.inventory = inventory,
	.check_subnet = check_subnet,
	.probe = probe,
	.clear = clear,
};

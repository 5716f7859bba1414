#include "driver/fabric/bridge/records.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/fabric/bridge/link.h"

enum { RECORD_MAX_BYTES = 16 << 10 };

int records_put_file(const char *folder, const char *name, const char *text, mode_t mode,
		     enum records_change *ret_change, struct err *err)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	auto_free char *temporary = text_format("%s/.%s", folder, name);
	auto_str struct str old = { 0 };
	struct err ignored;
	bool exists = file_read_all(path, RECORD_MAX_BYTES, &old, &ignored) == 0;
	enum records_change change = !exists ? RECORDS_NEW : text_equal(str_text(&old), text) ? RECORDS_SAME : RECORDS_CHANGED;
	size_t size = strlen(text);
	auto_close int fd = -1;

	if (ret_change)
		*ret_change = change;
	if (change == RECORDS_SAME)
		return 0;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0 || fchmod(fd, mode) < 0 || write(fd, text, size) != (ssize_t)size || rename(temporary, path) < 0) {
		err_set(err, errno ? -errno : -ENOSPC, "write %s: %m", path);
		unlink(temporary);
		return err->code;
	}
	return 0;
}

/*
 * ---- Their text: fields have been checked, so none is empty or has a space ----
 */

static int save(const struct bridge_driver *driver, const char *kind, const char *ifname, const char *text, struct err *err)
{
	auto_free char *folder = text_format("%s/%s", driver->directory, kind);

	return records_put_file(folder, ifname, text, 0600, NULL, err);
}

int records_save_network(const struct bridge_driver *driver, const struct fabric_network *network, struct err *err)
{
	char ipv4[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN], ifname[IFNAMSIZ];
	auto_free char *text = text_format("network 1 %s %s %s %u %s %u %s %u %d %d %u\n",
		network->uid, network->name, network->domain ? network->domain : "-", network->index,
		inet_ntop(AF_INET, &network->ipv4, ipv4, sizeof(ipv4)), network->ipv4_prefix,
		inet_ntop(AF_INET6, &network->ipv6, ipv6, sizeof(ipv6)), network->ipv6_prefix,
		network->has_nat, network->has_dhcp, network->mtu);

	return save(driver, "networks", bridge_ifname(driver, network->index, ifname), text, err);
}

int records_save_nic(const struct bridge_driver *driver, const struct fabric_nic *nic, struct err *err)
{
	char ipv4[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN], ifname[IFNAMSIZ];
	const uint8_t *mac = nic->mac;
	auto_str struct str text = { 0 };

	str_printf(&text, "nic 1 %s %s %s %u %u %02x:%02x:%02x:%02x:%02x:%02x %s %s\n",
		   nic->instance, nic->hostname, nic->network, nic->index, nic->number,
		   mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
		   inet_ntop(AF_INET, &nic->ipv4, ipv4, sizeof(ipv4)), inet_ntop(AF_INET6, &nic->ipv6, ipv6, sizeof(ipv6)));
	if (nic->kind == FABRIC_VETH)
		str_append(&text, "kind veth\n");
	for (size_t i = 0; i < nic->publish_count; i++) {
		const struct fabric_publish *publish = &nic->publish[i];

		str_printf(&text, "publish %d %s %u %u\n", publish->protocol,
			   inet_ntop(AF_INET6, &publish->host_address, ipv6, sizeof(ipv6)), publish->host_port, publish->guest_port);
	}
	return save(driver, "nics", bridge_tap_ifname(driver, nic->number, ifname), str_text(&text), err);
}

/* Null when it is not a record of this version. */
static struct fabric_network *parse_network(const char *text)
{
	char uid[64], name[64], domain[256], ipv4[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN];
	struct fabric_network network = { 0 };
	int has_nat, has_dhcp;
	struct err ignored;

	if (sscanf(text, "network 1 %63s %63s %255s %u %15s %u %45s %u %d %d %u", uid, name, domain, &network.index,
		   ipv4, &network.ipv4_prefix, ipv6, &network.ipv6_prefix, &has_nat, &has_dhcp, &network.mtu) != 11 ||
	    inet_pton(AF_INET, ipv4, &network.ipv4) != 1 || inet_pton(AF_INET6, ipv6, &network.ipv6) != 1)
		return NULL;
	network.uid = uid;
	network.name = name;
	network.domain = text_equal(domain, "-") ? NULL : domain;
	network.has_nat = has_nat;
	network.has_dhcp = has_dhcp;
	return fabric_check_network(&network, &ignored) == 0 ? fabric_network_copy(&network) : NULL;
}

struct publishes { VEC(struct fabric_publish) items; };

/* The lines after the first. */
static bool parse_rest(const char *text, struct fabric_nic *nic, struct publishes *publishes)
{
	for (const char *line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
		struct fabric_publish publish = { 0 };
		char address[INET6_ADDRSTRLEN];
		unsigned protocol;

		if (text_starts_with(line + 1, "kind veth\n")) {
			nic->kind = FABRIC_VETH;
			continue;
		}

		if (sscanf(line + 1, "publish %u %45s %hu %hu", &protocol, address, &publish.host_port, &publish.guest_port) != 4 ||
		    protocol > FABRIC_UDP || inet_pton(AF_INET6, address, &publish.host_address) != 1)
			return false;
		publish.protocol = protocol;
		*vec_push(&publishes->items) = publish;
	}
	return true;
}

static struct fabric_nic *parse_nic(const char *text)
{
	char instance[64], hostname[64], network[64], ipv4[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN];
	struct fabric_nic nic = { .instance = instance, .hostname = hostname, .network = network }, *copy = NULL;
	struct publishes publishes = { 0 };
	uint8_t *mac = nic.mac;
	struct err ignored;

	if (sscanf(text, "nic 1 %63s %63s %63s %u %u %hhx:%hhx:%hhx:%hhx:%hhx:%hhx %15s %45s", instance, hostname, network,
		   &nic.index, &nic.number, &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5], ipv4, ipv6) != 13 ||
	    inet_pton(AF_INET, ipv4, &nic.ipv4) != 1 || inet_pton(AF_INET6, ipv6, &nic.ipv6) != 1)
		return NULL;
	if (parse_rest(text, &nic, &publishes)) {
		nic.publish = publishes.items.items;
		nic.publish_count = publishes.items.count;
		if (fabric_check_nic(&nic, &ignored) == 0)
			copy = fabric_nic_copy(&nic);
	}
	vec_done(&publishes.items);
	return copy;
}

/*
 * ---- Loading ----
 */

/* Returns whether the record says what its name says. A network is kept without its bridge: a dnsmasq may be left. */
static bool load_network(struct bridge_driver *driver, const char *ifname, const char *text)
{
	struct fabric_network *network = parse_network(text);
	char expected[IFNAMSIZ];

	if (!network || !text_equal(bridge_ifname(driver, network->index, expected), ifname)) {
		fabric_network_free(network);
		return false;
	}
	fabric_network_free(map_put(&driver->networks, network->uid, network));
	return true;
}

static bool load_nic(struct bridge_driver *driver, const char *ifname, const char *text)
{
	struct fabric_nic *nic = parse_nic(text);
	char expected[IFNAMSIZ], key[FABRIC_KEY_SIZE];

	/* After a restart of the host the tap, or the end of a container its veth, is gone: number and ports are free for others. */
	if (!nic || !text_equal(bridge_tap_ifname(driver, nic->number, expected), ifname) || !if_nametoindex(ifname)) {
		fabric_nic_free(nic);
		return false;
	}
	fabric_nic_free(map_put(&driver->nics, fabric_nic_key(nic->instance, nic->index, key), nic));
	return true;
}

typedef bool load_fn(struct bridge_driver *driver, const char *ifname, const char *text);

static void load_one(struct bridge_driver *driver, const char *folder, const char *ifname, load_fn *fn)
{
	auto_free char *path = text_format("%s/%s", folder, ifname);
	auto_str struct str text = { 0 };
	struct err ignored;

	if (file_read_all(path, RECORD_MAX_BYTES, &text, &ignored) < 0 || !fn(driver, ifname, str_text(&text)))
		unlink(path);
}

static int load(struct bridge_driver *driver, const char *kind, load_fn *fn, struct err *err)
{
	auto_free char *folder = text_format("%s/%s", driver->directory, kind);
	struct dirent *entry;
	DIR *dir;
	int r;

	if ((r = file_make_dirs(folder, 0711, err)) < 0)
		return r;
	if (!(dir = opendir(folder)))
		return err_set(err, -errno, "read folder %s: %m", folder);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			load_one(driver, folder, entry->d_name, fn);
	closedir(dir);
	return 0;
}

int records_load(struct bridge_driver *driver, struct err *err)
{
	int r;

	if ((r = load(driver, "networks", load_network, err)) < 0)
		return r;
	return load(driver, "nics", load_nic, err);
}

static void remove_record(const struct bridge_driver *driver, const char *kind, const char *ifname)
{
	auto_free char *path = text_format("%s/%s/%s", driver->directory, kind, ifname);

	unlink(path);
}

void records_remove_network(const struct bridge_driver *driver, const struct fabric_network *network)
{
	char ifname[IFNAMSIZ];

	remove_record(driver, "networks", bridge_ifname(driver, network->index, ifname));
}

void records_remove_nic(const struct bridge_driver *driver, const struct fabric_nic *nic)
{
	char ifname[IFNAMSIZ];

	remove_record(driver, "nics", bridge_tap_ifname(driver, nic->number, ifname));
}

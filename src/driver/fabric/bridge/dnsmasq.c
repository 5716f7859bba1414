#include "driver/fabric/bridge/dnsmasq.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/fabric/bridge/helper.h"
#include "driver/fabric/bridge/leases.h"
#include "driver/fabric/bridge/records.h"

enum { ACCOUNT_BUFFER_BYTES = 4096 };

/* Where everything of one network's dnsmasq is. */
struct place {
	struct helper helper;
	char *folder, *cgroup, *hosts, *names;
	char ifname[IFNAMSIZ];		/* The bridge. */
};

static void place_init(const struct bridge_driver *driver, const char *ifname, struct place *place)
{
	*place = (struct place){ .folder = text_format("%s/dnsmasq/%s", driver->directory, ifname) };
	place->hosts = text_format("%s/hosts", place->folder);
	place->names = text_format("%s/names", place->folder);
	if (driver->cgroup)
		place->cgroup = text_format("%s/dnsmasq-%s", driver->cgroup, ifname);
	snprintf(place->ifname, sizeof(place->ifname), "%s", ifname);
	place->helper = (struct helper){ .folder = place->folder, .cgroup = place->cgroup };
}

static void place_done(struct place *place)
{
	free(place->folder);
	free(place->cgroup);
	free(place->hosts);
	free(place->names);
}

#define auto_place __attribute__((cleanup(place_done)))

static void place_of_network(const struct bridge_driver *driver, const struct fabric_network *network, struct place *place)
{
	char ifname[IFNAMSIZ];

	place_init(driver, bridge_ifname(driver, network->index, ifname), place);
}

/*
 * ---- The configuration ----
 */

/* dnsmasq wants names; the package "dnsmasq-base" makes the account, "nobody" is always there. */
static void write_account(struct str *out)
{
	char buffer[ACCOUNT_BUFFER_BYTES];
	struct passwd account, *found = NULL;
	struct group group, *found_group = NULL;

	if (getpwnam_r("dnsmasq", &account, buffer, sizeof(buffer), &found) != 0 || !found) {
		str_append(out, "user=nobody\n");
		return;
	}
	str_append(out, "user=dnsmasq\n");
	if (getgrgid_r(account.pw_gid, &group, buffer, sizeof(buffer), &found_group) == 0 && found_group)
		str_printf(out, "group=%s\n", group.gr_name);
}

/*
 * Only nics we know get addresses ("static"), names come from us alone (a guest must not
 * call itself something else), and a lease belongs to a MAC, whatever client id a boot loader,
 * an initramfs and the system each make up.
 */
static void write_dhcp(const struct fabric_network *network, struct str *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr mask = { htonl((uint32_t)(UINT64_C(0xffffffff) << (32 - network->ipv4_prefix))) };

	str_printf(out, "dhcp-authoritative\ndhcp-ignore-clid\ndhcp-ignore-names\nno-ping\ndhcp-lease-max=%d\n", LIMIT_INSTANCES_PER_NODE);
	if (network->ipv4.s_addr) {
		str_printf(out, "dhcp-range=%s,static,", inet_ntop(AF_INET, &network->ipv4, text, sizeof(text)));
		str_printf(out, "%s,12h\n", inet_ntop(AF_INET, &mask, text, sizeof(text)));
	}
	if (network->ipv4.s_addr && network->mtu && network->mtu != BRIDGE_DEFAULT_MTU)
		str_printf(out, "dhcp-option=option:mtu,%u\n", network->mtu);
	/* The router says "managed", so that a guest asks DHCPv6 for its address and makes up none that the filter would stop. */
	if (fabric_address_is_set(&network->ipv6))
		str_printf(out, "dhcp-range=%s,static,%u,12h\nenable-ra\n",
			   inet_ntop(AF_INET6, &network->ipv6, text, sizeof(text)), network->ipv6_prefix);
}

static void write_config(const struct fabric_network *network, const struct place *place, struct str *out)
{
	char domain[FABRIC_DOMAIN_SIZE];

	fabric_domain(network, domain);
	str_printf(out, "interface=%s\nexcept-interface=lo\nbind-dynamic\n", place->ifname);
	write_account(out);
	str_printf(out, "pid-file=%s/pid\ndhcp-leasefile=%s/leases\ndhcp-hostsdir=%s\nhostsdir=%s\n",
		   place->folder, place->folder, place->hosts, place->names);
	str_printf(out, "domain=%s\nlocal=/%s/\nno-hosts\ndomain-needed\nbogus-priv\n", domain, domain);
	str_append(out, "quiet-dhcp\nquiet-dhcp6\nquiet-ra\n");
	write_dhcp(network, out);
}

static char *config_path(const struct place *place, const struct str *config)
{
	static const uint64_t seed[2] = { 0 };		/* The same on every run. */

	return text_format("%s/conf.%016llx", place->folder,
			   (unsigned long long)map_hash(seed, config->data, config->size));
}

/*
 * ---- The files of a nic ----
 */

/* One line of dhcp-hostsdir, or nothing for a nic without addresses. */
static void write_host(const struct fabric_nic *nic, struct str *out)
{
	const uint8_t *mac = nic->mac;
	char text[INET6_ADDRSTRLEN];

	if (!nic->ipv4.s_addr && !fabric_address_is_set(&nic->ipv6))
		return;
	str_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	if (nic->ipv4.s_addr)
		str_printf(out, ",%s", inet_ntop(AF_INET, &nic->ipv4, text, sizeof(text)));
	if (fabric_address_is_set(&nic->ipv6))
		str_printf(out, ",[%s]", inet_ntop(AF_INET6, &nic->ipv6, text, sizeof(text)));
	str_printf(out, ",%s\n", nic->hostname);
}

/* Lines as in hosts(5). */
static void write_names(const struct fabric_network *network, const struct fabric_nic *nic, struct str *out)
{
	char domain[FABRIC_DOMAIN_SIZE], text[INET6_ADDRSTRLEN];

	fabric_domain(network, domain);
	if (nic->ipv4.s_addr)
		str_printf(out, "%s %s.%s %s\n", inet_ntop(AF_INET, &nic->ipv4, text, sizeof(text)),
			   nic->hostname, domain, nic->hostname);
	if (fabric_address_is_set(&nic->ipv6))
		str_printf(out, "%s %s.%s %s\n", inet_ntop(AF_INET6, &nic->ipv6, text, sizeof(text)),
			   nic->hostname, domain, nic->hostname);
}

/* '*changed' becomes true when dnsmasq must be told, which sees new files by itself but keeps what old ones said. */
static int put_nic(const struct bridge_driver *driver, const struct place *place, const struct fabric_network *network,
		   const struct fabric_nic *nic, bool *changed, struct err *err)
{
	auto_str struct str host = { 0 }, names = { 0 };
	enum records_change host_change, names_change;
	char ifname[IFNAMSIZ];
	int r;

	write_host(nic, &host);
	write_names(network, nic, &names);
	bridge_tap_ifname(driver, nic->number, ifname);
	if ((r = records_put_file(place->hosts, ifname, str_text(&host), 0644, &host_change, err)) < 0 ||
	    (r = records_put_file(place->names, ifname, str_text(&names), 0644, &names_change, err)) < 0)
		return r;
	*changed |= host_change == RECORDS_CHANGED || names_change == RECORDS_CHANGED;
	return 0;
}

static struct leases leases_of(const struct place *place, const struct fabric_network *network)
{
	return (struct leases){ place->folder, place->ifname, network->ipv4 };
}

static bool has_other_lease(const struct fabric_nic *old, const struct fabric_nic *nic)
{
	return old->ipv4.s_addr != nic->ipv4.s_addr || !IN6_ARE_ADDR_EQUAL(&old->ipv6, &nic->ipv6) ||
	       memcmp(old->mac, nic->mac, sizeof(nic->mac)) != 0;
}

int dnsmasq_put_nic(const struct bridge_driver *driver, const struct fabric_network *network, const struct fabric_nic *old,
		    const struct fabric_nic *nic, struct err *err)
{
	auto_place struct place place;
	struct leases leases;
	bool changed = false;
	int r;

	place_of_network(driver, network, &place);
	leases = leases_of(&place, network);
	if (old && has_other_lease(old, nic))
		leases_release(&leases, old);
	if ((r = put_nic(driver, &place, network, nic, &changed, err)) < 0)
		return r;
	if (changed)
		helper_signal(&place.helper, SIGHUP);
	return 0;
}

static bool remove_file(const char *folder, const char *name)
{
	auto_free char *path = text_format("%s/%s", folder, name);

	return unlink(path) == 0;
}

void dnsmasq_remove_nic(const struct bridge_driver *driver, const struct fabric_network *network, const struct fabric_nic *nic)
{
	auto_place struct place place;
	char ifname[IFNAMSIZ];
	struct leases leases;
	bool removed;

	place_of_network(driver, network, &place);
	bridge_tap_ifname(driver, nic->number, ifname);
	removed = remove_file(place.hosts, ifname);
	removed |= remove_file(place.names, ifname);
	if (!removed)
		return;
	leases = leases_of(&place, network);
	leases_release(&leases, nic);
	helper_signal(&place.helper, SIGHUP);
}

/*
 * ---- The process ----
 */

/* Its user must be able to pass every folder on the way to its own. */
static int check_reachable(const char *folder, struct err *err)
{
	auto_free char *path = text_copy(folder);
	struct stat st;

	for (char *slash = strrchr(path, '/'); slash && slash != path; slash = strrchr(path, '/')) {
		*slash = '\0';
		if (stat(path, &st) == 0 && !(st.st_mode & S_IXOTH))
			return err_set(err, -EACCES, "dnsmasq's user cannot enter '%s', which holds its files: chmod o+x '%s'",
				       shown(path), shown(path));
	}
	return 0;
}

/* Does a nic of this network have this tap? */
static bool has_nic(const struct bridge_driver *driver, const struct fabric_network *network, const char *ifname)
{
	for (size_t i = 0; i < driver->nics.count; i++) {
		const struct fabric_nic *nic = driver->nics.entries[i].value;
		char name[IFNAMSIZ];

		if (text_equal(nic->network, network->uid) && text_equal(bridge_tap_ifname(driver, nic->number, name), ifname))
			return true;
	}
	return false;
}

static bool remove_strangers(const struct bridge_driver *driver, const struct fabric_network *network, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool removed = false;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !has_nic(driver, network, entry->d_name))
			removed |= remove_file(folder, entry->d_name);
	if (dir)
		closedir(dir);
	return removed;
}

/* The folders hold the driver's nics and no others. */
static int put_nics(const struct bridge_driver *driver, const struct place *place, const struct fabric_network *network,
		    bool *changed, struct err *err)
{
	int r;

	*changed |= remove_strangers(driver, network, place->hosts);
	*changed |= remove_strangers(driver, network, place->names);
	for (size_t i = 0; i < driver->nics.count; i++) {
		const struct fabric_nic *nic = driver->nics.entries[i].value;

		if (text_equal(nic->network, network->uid) &&
		    (r = put_nic(driver, place, network, nic, changed, err)) < 0)
			return r;
	}
	return 0;
}

static void remove_other_configs(const char *folder, const char *config)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (text_starts_with(entry->d_name, "conf.") && !text_equal(entry->d_name, strrchr(config, '/') + 1))
			remove_file(folder, entry->d_name);
	if (dir)
		closedir(dir);
}

struct owners { const struct bridge_driver *driver; const struct fabric_network *network; };

/* Is it the lease of a nic that is there? */
static bool has_owner(const void *data, const struct lease *lease)
{
	const struct owners *owners = data;

	for (size_t i = 0; i < owners->driver->nics.count; i++) {
		const struct fabric_nic *nic = owners->driver->nics.entries[i].value;

		if (!text_equal(nic->network, owners->network->uid))
			continue;
		if (IN6_IS_ADDR_V4MAPPED(&lease->address) ?
		    !memcmp(&lease->address.s6_addr[12], &nic->ipv4, sizeof(nic->ipv4)) && !memcmp(lease->mac, nic->mac, sizeof(nic->mac)) :
		    IN6_ARE_ADDR_EQUAL(&lease->address, &nic->ipv6))
			return true;
	}
	return false;
}

static int restart(const struct bridge_driver *driver, const struct place *place, const struct fabric_network *network,
		   const char *config, const char *text, struct err *err)
{
	struct leases leases = leases_of(place, network);
	int r;

	if ((r = helper_stop(&place->helper, err)) < 0)
		return r;
	remove_other_configs(place->folder, config);
	if ((r = records_put_file(place->folder, strrchr(config, '/') + 1, text, 0644, NULL, err)) < 0 ||
	    (r = leases_prune(&leases, has_owner, &(struct owners){ driver, network }, err)) < 0)
		return r;
	return helper_start(&place->helper, config, err);
}

int dnsmasq_up(const struct bridge_driver *driver, const struct fabric_network *network, struct err *err)
{
	auto_free char *path = NULL;
	auto_str struct str config = { 0 };
	auto_place struct place place;
	bool changed = false;
	int r;

	place_of_network(driver, network, &place);
	if ((r = file_make_dirs(place.hosts, 0755, err)) < 0 || (r = file_make_dirs(place.names, 0755, err)) < 0 ||
	    (r = check_reachable(place.hosts, err)) < 0 ||
	    (r = put_nics(driver, &place, network, &changed, err)) < 0)
		return r;
	write_config(network, &place, &config);
	path = config_path(&place, &config);
	if (!helper_runs(&place.helper, path))
		return restart(driver, &place, network, path, str_text(&config), err);
	if (changed)
		helper_signal(&place.helper, SIGHUP);
	return 0;
}

int dnsmasq_down(const struct bridge_driver *driver, const char *ifname, struct err *err)
{
	auto_place struct place place;
	int r;

	place_init(driver, ifname, &place);
	if ((r = helper_stop(&place.helper, err)) < 0)
		return r;
	return file_remove_tree(place.folder, err);
}

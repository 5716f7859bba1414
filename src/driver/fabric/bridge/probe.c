#include "driver/fabric/bridge/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "driver/fabric/bridge/link.h"
#include "driver/fabric/bridge/nft.h"

enum { PROBE_INDEX = 9999, PROGRAM_TIMEOUT_MS = 10000 };

static int check_capability(struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return err_set(err, -errno, "read capabilities: %m");
	if (!(data[0].effective & (1U << CAP_NET_ADMIN)))
		return err_set(err, -EPERM, "networks need CAP_NET_ADMIN: run stratad as root");
	return 0;
}

static int check_tun(struct err *err)
{
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	return fd < 0 ? err_set(err, -errno, "open /dev/net/tun: %m: modprobe tun") : 0;
}

static int check_program(const char *name, const char *package, struct err *err)
{
	struct spawn_params params = { .argv = (const char *const[]){ name, "--version", NULL } };
	int r = spawn_run(&params, &(struct spawn_io){ .timeout_ms = PROGRAM_TIMEOUT_MS }, err);

	if (r == -ENOENT)
		return err_set(err, r, "%s is not installed: apt-get install %s", name, package);
	return r;
}

static int check_bridge(struct bridge_driver *driver, struct err *err)
{
	static const uint8_t mac[6] = { 0x02 };
	char ifname[IFNAMSIZ];
	int r;

	bridge_ifname(driver, PROBE_INDEX, ifname);
	if ((r = link_add_bridge(&driver->netlink, ifname, mac, err)) < 0)
		return r == -EOPNOTSUPP ? err_set(err, r, "the kernel has no bridges: modprobe bridge") : r;
	return link_remove(&driver->netlink, ifname, err);
}

/* Everything the rules use, in a table that nft only checks. */
static int check_nft_features(const struct bridge_driver *driver, struct err *err)
{
	auto_free char *rules = text_format(
		"add table inet strata_%s_probe\n"
		"add chain inet strata_%s_probe nat { type nat hook postrouting priority srcnat; }\n"
		"add rule inet strata_%s_probe nat fib daddr type local masquerade\n"
		"add table bridge strata_%s_probe\n"
		"add set bridge strata_%s_probe macs { type ifname . ether_addr; }\n"
		"delete table inet strata_%s_probe\n"
		"delete table bridge strata_%s_probe\n",
		driver->tag, driver->tag, driver->tag, driver->tag, driver->tag, driver->tag, driver->tag);

	if (nft_apply(rules, err) < 0)
		return err_set(err, -EOPNOTSUPP, "the kernel's packet filter lacks NAT, fib or bridge support: "
			       "modprobe -a nft_chain_nat nft_masq nft_fib_inet nf_tables");
	return 0;
}

/* Copies the next "table <family> <name>" whose forward hook drops by policy; moves '*at' behind it. */
static bool next_dropping_table(const char **at, char family[16], char name[64])
{
	char *drop = strstr(*at, "policy drop");

	for (; drop; drop = strstr(drop + 1, "policy drop")) {
		const char *line = drop, *table = NULL;

		while (line > *at && line[-1] != '\n')
			line--;
		if (!memmem(line, (size_t)(drop - line), "hook forward", strlen("hook forward")))
			continue;
		for (const char *p = *at; (p = strstr(p, "table ")) && p < drop; p++)
			table = p;
		*at = drop + 1;
		return table && sscanf(table, "table %15s %63s", family, name) == 2;
	}
	return false;
}

/*
 * A policy of another table (Docker's, ufw's) stands whatever ours accepts, unless that table has
 * rules for our bridges.
 */
static int check_other_firewalls(const struct bridge_driver *driver, struct err *err)
{
	auto_str struct str chains = { 0 };
	auto_free char *ours = text_format("s%sb", driver->tag);
	char family[16], name[64];
	const char *at;
	int r;

	if ((r = nft_query((const char *const[]){ "list", "chains", NULL }, &chains, err)) < 0)
		return r;
	at = str_text(&chains);
	while (next_dropping_table(&at, family, name)) {
		auto_str struct str table = { 0 };

		if ((r = nft_query((const char *const[]){ "list", "table", family, name, NULL }, &table, err)) < 0)
			return r;
		if (!strstr(str_text(&table), ours))
			return err_set(err, -EPERM, "table '%s %s' of the host's firewall drops what guests send: "
				       "iptables -I FORWARD -i %s+ -j ACCEPT; iptables -I FORWARD -o %s+ -j ACCEPT",
				       shown(family), shown(name), ours, ours);
	}
	return 0;
}

int probe_host(struct bridge_driver *driver, struct err *err)
{
	int r;

	if ((r = check_capability(err)) < 0 ||
	    (r = check_tun(err)) < 0 ||
	    (r = check_program("dnsmasq", "dnsmasq-base", err)) < 0 ||
	    (r = check_program("nft", "nftables", err)) < 0 ||
	    (r = check_bridge(driver, err)) < 0 ||
	    (r = check_nft_features(driver, err)) < 0)
		return r;
	return check_other_firewalls(driver, err);
}

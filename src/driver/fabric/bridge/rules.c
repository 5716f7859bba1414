#include "driver/fabric/bridge/rules.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"

static struct in_addr unmap(const struct in6_addr *mapped)
{
	struct in_addr address;

	memcpy(&address, &mapped->s6_addr[12], sizeof(address));
	return address;
}

void rules_bridge_mac(const struct fabric_network *network, uint8_t mac[6])
{
	static const uint64_t seed[2] = { 0 };		/* The same on every run: it is not a hash table. */
	uint64_t hash = map_hash(seed, network->uid, strlen(network->uid));

	memcpy(mac, &hash, 6);
	mac[0] = 0x02;					/* Locally administered. */
}

struct in6_addr rules_link_local(const uint8_t mac[6])
{
	return (struct in6_addr){ .s6_addr = {
		0xfe, 0x80, [8] = mac[0] ^ 0x02, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5],
	} };
}

/*
 * ---- What every network shares ----
 *
 * Protocols are numbers (6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6): for their names nft would need /etc/protocols.
 */

/*
 * '@th,64,128' is the target of a neighbour advertisement (RFC 4861, 4.4), '@nh,64,128' the source of an
 * IPv6 packet; both are raw, so that one set serves both. 0x3fa is fe80::/10: a guest makes its
 * link-local address by itself, but must not take the gateway's.
 */
static void write_bridge_table(const struct bridge_driver *driver, struct str *out)
{
	str_printf(out, "table bridge strata_%s {\n"
		"	set macs { type ifname . ether_addr; }\n"
		"	set sources4 { type ifname . ipv4_addr; }\n"
		"	set sources6 { typeof meta iifname . @nh,64,128; }\n"
		"	set gateways6 { typeof @nh,64,128; }\n"
		"	chain arp_of_guest {\n"
		"		iifname . arp saddr ether != @macs drop\n"
		"		iifname . arp saddr ip @sources4 accept\n"
		"		arp saddr ip 0.0.0.0 accept\n"	/* RFC 5227 probe. */
		"		drop\n"
		"	}\n"
		"	chain ipv4_of_guest {\n"
		"		udp sport 67 drop\n"
		"		iifname . ip saddr @sources4 accept\n"
		"		ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept\n"
		"		drop\n"
		"	}\n"
		"	chain ipv6_of_guest {\n"
		"		icmpv6 type { nd-router-advert, nd-redirect } drop\n"
		"		udp sport 547 drop\n"
		"		@nh,64,128 @gateways6 drop\n"
		"		icmpv6 type nd-neighbor-advert @th,64,128 @gateways6 drop\n"
		"		icmpv6 type nd-neighbor-advert @th,64,10 != 0x3fa iifname . @th,64,128 != @sources6 drop\n"
		"		ip6 saddr fe80::/10 accept\n"
		"		iifname . @nh,64,128 @sources6 accept\n"
		"		ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld2-listener-report } accept\n"
		"		drop\n"
		"	}\n"
		"	chain prerouting {\n"
		"		type filter hook prerouting priority -300; policy accept;\n"
		"		iifname != \"s%st*\" accept\n"
		"		iifname . ether saddr != @macs drop\n"
		"		ether type vmap { arp : jump arp_of_guest, ip : jump ipv4_of_guest, ip6 : jump ipv6_of_guest }\n"
		"		drop\n"
		"	}\n"
		"}\n", driver->tag, driver->tag);
}

static void write_sets(struct str *out)
{
	str_append(out,
		"	set inside { type ifname . ifname; }\n"
		"	set masqueraded4 { type ipv4_addr; flags interval; }\n"
		"	set masqueraded6 { type ipv6_addr; flags interval; }\n"
		"	map publish4 { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
		"	map publish4_at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
		"	map publish6 { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
		"	map publish6_at { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }\n");
}

/* What is not allowed is refused, not ignored, so that nobody waits: TCP by a reset, which ends an attempt at once. */
static void write_filter_chains(const struct bridge_driver *driver, struct str *out)
{
	const char *tag = driver->tag;

	/* Published ports need route_localnet, which without this would show guests the host's 127.0.0.0/8. */
	str_printf(out,
		"	chain guard {\n"
		"		type filter hook prerouting priority raw; policy accept;\n"
		"		iifname \"s%sb*\" ip daddr 127.0.0.0/8 drop\n"
		"		iifname \"s%sb*\" ip saddr 127.0.0.0/8 drop\n"
		"	}\n", tag, tag);
	str_printf(out,
		"	chain input {\n"
		"		type filter hook input priority filter; policy accept;\n"
		"		iifname != \"s%sb*\" accept\n"
		"		ct state established,related accept\n"
		"		fib daddr . iif type { local, multicast, broadcast } meta l4proto . th dport "
				"{ 17 . 53, 6 . 53, 17 . 67, 17 . 547 } accept\n"
		"		fib daddr . iif type { local, multicast } meta l4proto { 1, 58 } accept\n"
		"		meta l4proto 6 reject with tcp reset\n"
		"		reject with icmpx admin-prohibited\n"
		"	}\n", tag);
	/* With br_netfilter what stays within a bridge passes here too: 'inside'. */
	str_printf(out,
		"	chain forward {\n"
		"		type filter hook forward priority filter; policy accept;\n"
		"		oifname != \"s%sb*\" accept\n"
		"		ct state established,related accept\n"
		"		ct status dnat accept\n"
		"		iifname . oifname @inside accept\n"
		"		meta l4proto 6 reject with tcp reset\n"
		"		reject with icmpx admin-prohibited\n"
		"	}\n", tag);
}

/*
 * What goes to an address of the host and a published port goes to the guest; 'output' is for the host's own
 * programs. IPv6 has no route_localnet: ::1 refuses at once, and whoever said "localhost" tries 127.0.0.1.
 */
static void write_nat_chains(const struct bridge_driver *driver, struct str *out)
{
	const char *tag = driver->tag;

	str_append(out,
		"	chain publish {\n"
		"		meta l4proto { 6, 17 } dnat ip to ip daddr . meta l4proto . th dport map @publish4_at\n"
		"		meta l4proto { 6, 17 } dnat ip to meta l4proto . th dport map @publish4\n"
		"		meta l4proto { 6, 17 } dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish6_at\n"
		"		meta l4proto { 6, 17 } dnat ip6 to meta l4proto . th dport map @publish6\n"
		"	}\n"
		"	chain prerouting {\n"
		"		type nat hook prerouting priority -100; policy accept;\n"
		"		fib daddr type local jump publish\n"
		"	}\n"
		"	chain output {\n"
		"		type nat hook output priority -100; policy accept;\n"
		"		ip6 daddr ::1 accept\n"
		"		fib daddr type local jump publish\n"
		"	}\n");
	/* Answers must come back through here: of loopback addresses, and of a guest's own network to itself. */
	str_printf(out,
		"	chain postrouting {\n"
		"		type nat hook postrouting priority srcnat; policy accept;\n"
		"		oifname != \"s%sb*\" ip saddr @masqueraded4 masquerade\n"
		"		oifname != \"s%sb*\" ip6 saddr @masqueraded6 masquerade\n"
		"		oifname != \"s%sb*\" accept\n"
		"		ip saddr 127.0.0.0/8 masquerade\n"
		"		ct status dnat iifname . oifname @inside masquerade\n"
		"	}\n", tag, tag, tag);
}

static void write_network_elements(const struct bridge_driver *driver, const struct fabric_network *network, struct str *out)
{
	char ifname[IFNAMSIZ], ipv4[INET_ADDRSTRLEN], ipv6[INET6_ADDRSTRLEN];
	struct element_value link_local = { .size = 0 }, gateway = { .size = 0 };
	const char *tag = driver->tag;
	struct in6_addr address;
	uint8_t mac[6];

	rules_bridge_mac(network, mac);
	address = rules_link_local(mac);
	element_put_number(&link_local, &address);
	bridge_ifname(driver, network->index, ifname);
	str_printf(out, "add element inet strata_%s inside { %s . %s }\n", tag, ifname, ifname);
	str_printf(out, "add element bridge strata_%s gateways6 { %s }\n", tag, link_local.text);
	if (network->has_nat && network->ipv4.s_addr)
		str_printf(out, "add element inet strata_%s masqueraded4 { %s/%u }\n", tag,
			   inet_ntop(AF_INET, &network->ipv4, ipv4, sizeof(ipv4)), network->ipv4_prefix);
	if (!fabric_address_is_set(&network->ipv6))
		return;
	element_put_number(&gateway, &network->ipv6);
	str_printf(out, "add element bridge strata_%s gateways6 { %s }\n", tag, gateway.text);
	if (network->has_nat)
		str_printf(out, "add element inet strata_%s masqueraded6 { %s/%u }\n", tag,
			   inet_ntop(AF_INET6, &network->ipv6, ipv6, sizeof(ipv6)), network->ipv6_prefix);
}

/*
 * ---- What a nic adds ----
 */

static struct element *push_element(struct elements *elements, int family, const char *set)
{
	struct element *element = vec_push(&elements->items);

	element->family = family;
	element->set = set;
	return element;
}

static void push_publish_ipv4(const struct fabric_nic *nic, const struct fabric_publish *publish, struct elements *elements)
{
	struct in_addr at = IN6_IS_ADDR_V4MAPPED(&publish->host_address) ? unmap(&publish->host_address) : (struct in_addr){ 0 };
	struct element *element = push_element(elements, NFPROTO_INET, at.s_addr ? "publish4_at" : "publish4");

	if (at.s_addr)
		element_put_ipv4(&element->key, at);
	element_put_protocol(&element->key, publish->protocol == FABRIC_TCP);
	element_put_port(&element->key, publish->host_port);
	element_put_ipv4(&element->value, nic->ipv4);
	element_put_port(&element->value, publish->guest_port);
}

static void push_publish_ipv6(const struct fabric_nic *nic, const struct fabric_publish *publish, struct elements *elements)
{
	bool has_address = fabric_address_is_set(&publish->host_address);
	struct element *element = push_element(elements, NFPROTO_INET, has_address ? "publish6_at" : "publish6");

	if (has_address)
		element_put_ipv6(&element->key, &publish->host_address);
	element_put_protocol(&element->key, publish->protocol == FABRIC_TCP);
	element_put_port(&element->key, publish->host_port);
	element_put_ipv6(&element->value, &nic->ipv6);
	element_put_port(&element->value, publish->guest_port);
}

static void push_source(const char *ifname, const struct fabric_nic *nic, struct elements *elements)
{
	struct element *element = push_element(elements, NFPROTO_BRIDGE, "macs");

	element_put_ifname(&element->key, ifname);
	element_put_mac(&element->key, nic->mac);
	if (nic->ipv4.s_addr) {
		element = push_element(elements, NFPROTO_BRIDGE, "sources4");
		element_put_ifname(&element->key, ifname);
		element_put_ipv4(&element->key, nic->ipv4);
	}
	if (fabric_address_is_set(&nic->ipv6)) {
		element = push_element(elements, NFPROTO_BRIDGE, "sources6");
		element_put_ifname(&element->key, ifname);
		element_put_number(&element->key, &nic->ipv6);
	}
}

void rules_push_nic(const struct bridge_driver *driver, const struct fabric_nic *nic, struct elements *elements)
{
	char ifname[IFNAMSIZ];

	push_source(bridge_tap_ifname(driver, nic->number, ifname), nic, elements);
	for (size_t i = 0; i < nic->publish_count; i++) {
		const struct fabric_publish *publish = &nic->publish[i];
		bool is_for_ipv4 = IN6_IS_ADDR_V4MAPPED(&publish->host_address);

		if (nic->ipv4.s_addr && (is_for_ipv4 || !fabric_address_is_set(&publish->host_address)))
			push_publish_ipv4(nic, publish, elements);
		if (fabric_address_is_set(&nic->ipv6) && !is_for_ipv4)
			push_publish_ipv6(nic, publish, elements);
	}
}

const char *rules_table(const struct bridge_driver *driver, char name[RULES_TABLE_SIZE])
{
	snprintf(name, RULES_TABLE_SIZE, "strata_%s", driver->tag);
	return name;
}

void rules_write_networks(const struct bridge_driver *driver, struct str *out)
{
	/* nft 1.0.6 cannot delete what may be absent; adding first makes it present. */
	for (const char *const *family = (const char *const[]){ "inet", "bridge", NULL }; *family; family++)
		str_printf(out, "add table %s strata_%s\ndelete table %s strata_%s\n", *family, driver->tag, *family, driver->tag);
	if (!driver->networks.count && !driver->nics.count)
		return;
	write_bridge_table(driver, out);
	str_printf(out, "table inet strata_%s {\n", driver->tag);
	write_sets(out);
	write_filter_chains(driver, out);
	write_nat_chains(driver, out);
	str_append(out, "}\n");
	for (size_t i = 0; i < driver->networks.count; i++)
		write_network_elements(driver, driver->networks.entries[i].value, out);
}

void rules_write_nics(const struct bridge_driver *driver, struct str *out)
{
	struct elements elements = { 0 };
	char table[RULES_TABLE_SIZE];

	rules_table(driver, table);
	for (size_t i = 0; i < driver->nics.count; i++)
		rules_push_nic(driver, driver->nics.entries[i].value, &elements);
	for (size_t i = 0; i < elements.items.count; i++)
		element_write(&elements.items.items[i], table, out);
	vec_done(&elements.items);
}

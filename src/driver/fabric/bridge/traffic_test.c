/* What packets do: a guest in a namespace of its own gets addresses and names, reaches out, is reached, and is kept honest. */
#include "driver/fabric/bridge/testbed.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>

enum { DHCP_OFFER = 2, DHCP_ACK = 5, WEB_PORT = 80, PUBLISHED_PORT = 28080 };

/* ---- Guests and the outside ---- */

struct guest {
	struct fabric_nic nic;
	int ns;
};

static void write_setting(const char *path, const char *value)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, value, strlen(value)), strlen(value));
}

/* Makes the nic, and a cable of the tap's name in the place of the tap, so that the guest is a network stack. */
static struct guest add_guest(struct testbed *bed, const struct fabric_nic *nic)
{
	struct guest guest = { *nic, new_namespace(bed->host_ns) };
	auto_free char *mac = text_format("52:54:00:00:00:%02x", nic->mac[5]), *alias = text_format("strata:%s:0", nic->instance);
	char ifname[IFNAMSIZ];

	assert_ok(fabric_bridge.nic_up(bed->driver, nic, ifname, &err));
	RUN("ip", "link", "del", ifname);
	add_cable(ifname, "eth0", guest.ns);
	RUN("ip", "link", "set", ifname, "alias", alias);
	RUN("ip", "link", "set", ifname, "master", "s1a2bb0", "up");
	enter(guest.ns);
	write_setting("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0");
	write_setting("/proc/sys/net/ipv6/conf/eth0/accept_ra", "0");
	RUN("ip", "link", "set", "eth0", "address", mac, "up");
	enter(bed->host_ns);
	return guest;
}

/* What a DHCP client would have set. */
static void configure(struct testbed *bed, const struct guest *guest)
{
	char v4[INET_ADDRSTRLEN], v6[INET6_ADDRSTRLEN];
	auto_free char *prefix4 = text_format("%s/24", inet_ntop(AF_INET, &guest->nic.ipv4, v4, sizeof(v4)));
	auto_free char *prefix6 = text_format("%s/64", inet_ntop(AF_INET6, &guest->nic.ipv6, v6, sizeof(v6)));

	enter(guest->ns);
	RUN("ip", "addr", "add", prefix4, "dev", "eth0");
	RUN("ip", "addr", "add", prefix6, "dev", "eth0");
	RUN("ip", "route", "add", "default", "via", "10.231.0.1");
	RUN("ip", "-6", "route", "add", "default", "via", "fd23:1::1");
	enter(bed->host_ns);
}

/* A neighbour of the host: 192.0.2.2 and 2001:db8::2; the host is 192.0.2.1 and 2001:db8::1. */
static int add_outside(struct testbed *bed)
{
	int ns = new_namespace(bed->host_ns);

	add_cable("up0", "eth0", ns);
	RUN("ip", "addr", "add", "192.0.2.1/24", "dev", "up0");
	RUN("ip", "addr", "add", "2001:db8::1/64", "dev", "up0", "nodad");
	RUN("ip", "link", "set", "up0", "up");
	enter(ns);
	RUN("ip", "addr", "add", "192.0.2.2/24", "dev", "eth0");
	RUN("ip", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad");
	RUN("ip", "link", "set", "eth0", "up");
	RUN("ip", "route", "add", "10.231.0.0/24", "via", "192.0.2.1");
	enter(bed->host_ns);
	return ns;
}

/* ---- Sockets: v4 addresses as ::ffff:a.b.c.d ---- */

static struct sockaddr_in6 endpoint(const char *address, uint16_t port)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = ipv6(address) };
}

static int open_socket(struct testbed *bed, int ns, int type, const char *address, uint16_t port)
{
	struct sockaddr_in6 local = endpoint(address, port);
	int fd, off = 0, on = 1;

	enter(ns);
	fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	enter(bed->host_ns);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	if (type == SOCK_STREAM && port)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* 0, or the errno of a connection attempt. */
static int try_connect(struct testbed *bed, int ns, const char *address, uint16_t port)
{
	auto_close int fd = open_socket(bed, ns, SOCK_STREAM, "::", 0);
	struct sockaddr_in6 remote = endpoint(address, port);
	struct timeval limit = { .tv_sec = 2 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	return connect(fd, (struct sockaddr *)&remote, sizeof(remote)) == 0 ? 0 : errno;
}

static void assert_connects(struct testbed *bed, int ns, const char *address, uint16_t port, int listener)
{
	auto_close int accepted = -1;
	int r = try_connect(bed, ns, address, port);

	if (r)
		fail_msg("connect to %s port %u: %s", address, port, strerror(r));
	wait_readable(listener);
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(accepted >= 0);
}

static void send_text(int fd, const char *address, uint16_t port, const char *text)
{
	struct sockaddr_in6 to = endpoint(address, port);

	assert_int_equal(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)), strlen(text));
}

/* The next datagram must be 'text'; says who sent it. */
static struct sockaddr_in6 expect_text(int fd, const char *text)
{
	struct sockaddr_in6 from = { 0 };
	socklen_t size = sizeof(from);
	char got[64] = { 0 };

	wait_readable(fd);
	assert_true(recvfrom(fd, got, sizeof(got) - 1, 0, (struct sockaddr *)&from, &size) > 0);
	assert_string_equal(got, text);
	return from;
}

/* ---- DHCP, DHCPv6, DNS clients: just enough ---- */

struct packet { uint8_t data[1500]; size_t size; };

static const uint8_t *find_option(const struct packet *packet, uint8_t code)
{
	for (size_t at = 240; at + 1 < packet->size && packet->data[at] != 255; at += 2u + packet->data[at + 1])
		if (packet->data[at] == code)
			return &packet->data[at + 2];
	return NULL;
}

static void dhcp_send(int fd, const struct guest *guest, uint8_t type, struct in_addr wanted)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = INADDR_BROADCAST };
	uint8_t message[300] = { [0] = 1, [1] = 1, [2] = 6, [4] = 7, [10] = 0x80, [236] = 0x63, 0x82, 0x53, 0x63, 53, 1, type,
				 50, 4, [249] = 55, 5, 1, 3, 6, 12, 15, 12, 4, 'e', 'v', 'i', 'l', 255 };

	memcpy(&message[28], guest->nic.mac, 6);
	memcpy(&message[245], &wanted, 4);
	assert_int_equal(sendto(fd, message, sizeof(message), 0, (struct sockaddr *)&server, sizeof(server)), sizeof(message));
}

static struct in_addr dhcp_receive(int fd, uint8_t type, struct packet *packet)
{
	struct in_addr address;

	wait_readable(fd);
	packet->size = (size_t)recv(fd, packet->data, sizeof(packet->data), 0);
	assert_non_null(find_option(packet, 53));
	assert_int_equal(*find_option(packet, 53), type);
	memcpy(&address, &packet->data[16], 4);
	return address;
}

/* The address that DHCP gives this guest; the acknowledgement is left in 'packet'. */
static struct in_addr dhcp(struct testbed *bed, const struct guest *guest, struct packet *packet)
{
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_port = htons(68) };
	struct in_addr address;
	auto_close int fd = -1;
	int on = 1;

	enter(guest->ns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	enter(bed->host_ns);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	dhcp_send(fd, guest, 1, (struct in_addr){ 0 });
	address = dhcp_receive(fd, DHCP_OFFER, packet);
	dhcp_send(fd, guest, 3, address);
	return dhcp_receive(fd, DHCP_ACK, packet);
}

static struct packet exchange6(struct testbed *bed, const struct guest *guest, const uint8_t *message, size_t size)
{
	auto_close int fd = open_socket(bed, guest->ns, SOCK_DGRAM, "::", 546);
	struct sockaddr_in6 server = endpoint("ff02::1:2", 547);
	struct packet answer;

	enter(guest->ns);
	server.sin6_scope_id = if_nametoindex("eth0");
	enter(bed->host_ns);
	assert_int_equal(sendto(fd, message, size, 0, (struct sockaddr *)&server, sizeof(server)), size);
	wait_readable(fd);
	answer.size = (size_t)recv(fd, answer.data, sizeof(answer.data), 0);
	return answer;
}

/* SOLICIT with rapid commit: the answer is the REPLY. Does it give the guest its address? */
static bool dhcpv6_gives_address(struct testbed *bed, const struct guest *guest)
{
	const uint8_t *mac = guest->nic.mac;
	const uint8_t solicit[] = {
		1, 1, 2, 3,
		0, 1, 0, 10, 0, 3, 0, 1, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],	/* Client: DUID-LL. */
		0, 3, 0, 12, 0, 0, 0, mac[5], 0, 0, 0, 0, 0, 0, 0, 0,			/* IA_NA */
		0, 8, 0, 2, 0, 0, 0, 14, 0, 0,						/* Elapsed time, rapid commit. */
	};
	struct packet answer = exchange6(bed, guest, solicit, sizeof(solicit));

	assert_int_equal(answer.data[0], 7);
	return memmem(answer.data, answer.size, &guest->nic.ipv6, sizeof(guest->nic.ipv6));
}

/* The first A record of a name, 0.0.0.0 when there is none ("no such name"). */
static struct in_addr resolve(int fd, const char *name)
{
	uint8_t query[300] = { 0x12, 0x34, 1, 0, 0, 1 };
	struct sockaddr_in6 server = endpoint("::ffff:10.231.0.1", 53);
	struct in_addr address = { 0 };
	uint8_t answer[512];
	size_t size = 12;
	ssize_t got;

	for (const char *label = name; *label; label += query[size] + (label[query[size]] == '.'), size += 1u + query[size]) {
		query[size] = (uint8_t)strcspn(label, ".");
		memcpy(&query[size + 1], label, query[size]);
	}
	query[size + 2] = query[size + 4] = 1;		/* A, IN */
	size += 5;
	assert_int_equal(sendto(fd, query, size, 0, (struct sockaddr *)&server, sizeof(server)), size);
	wait_readable(fd);
	got = recv(fd, answer, sizeof(answer), 0);
	assert_true(got >= (ssize_t)size);
	if (answer[7])				/* One answer: its last four bytes. */
		memcpy(&address, &answer[size + 12], 4);
	return address;
}

/* dnsmasq learns from files and signals a moment later: asks until it says so. */
static void expect_resolves(int fd, const char *name, const char *address)
{
	struct in_addr expected = ipv4(address), got = { 0 };

	for (int i = 0; i < 10000; i++)
		if ((got = resolve(fd, name)).s_addr == expected.s_addr)
			return;
	fail_msg("%s is %s instead of %s", name, inet_ntoa(got), address);
}

static void network_up(struct testbed *bed)
{
	assert_ok(fabric_bridge.network_up(bed->driver, &bed->network, &err));
}

/* ---- Tests ---- */

static void test_dhcp(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	struct in_addr gateway = ipv4("10.231.0.1");
	struct packet ack;

	bed->network.mtu = 1400;
	network_up(bed);
	struct guest guest = add_guest(bed, &nic);
	assert_int_equal(dhcp(bed, &guest, &ack).s_addr, nic.ipv4.s_addr);
	assert_memory_equal(find_option(&ack, 3), &gateway, 4);
	assert_memory_equal(find_option(&ack, 6), &gateway, 4);
	assert_memory_equal(find_option(&ack, 12), "web", 3);
	assert_memory_equal(find_option(&ack, 15), "blue.internal", 13);
	assert_true(dhcpv6_gives_address(bed, &guest));
	close(guest.ns);
}

/* The advertisement says "managed" and does not let guests make up addresses that the filter would stop. */
static void test_router_advertisement(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	struct nd_router_solicit solicit = { .nd_rs_type = ND_ROUTER_SOLICIT };
	struct icmp6_filter only_advertisements;
	struct packet answer = { .size = 0 };
	auto_close int fd = -1;

	network_up(bed);
	struct guest guest = add_guest(bed, &nic);
	struct sockaddr_in6 routers = endpoint("ff02::2", 0);
	enter(guest.ns);
	fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	routers.sin6_scope_id = if_nametoindex("eth0");
	enter(bed->host_ns);
	ICMP6_FILTER_SETBLOCKALL(&only_advertisements);
	ICMP6_FILTER_SETPASS(ND_ROUTER_ADVERT, &only_advertisements);
	assert_int_equal(setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &only_advertisements, sizeof(only_advertisements)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &(int){ 255 }, sizeof(int)), 0);
	assert_int_equal(sendto(fd, &solicit, sizeof(solicit), 0, (struct sockaddr *)&routers, sizeof(routers)), sizeof(solicit));
	wait_readable(fd);
	answer.size = (size_t)recv(fd, answer.data, sizeof(answer.data), 0);
	assert_true(answer.data[5] & ND_RA_FLAG_MANAGED);
	for (size_t at = sizeof(struct nd_router_advert); at + 8 < answer.size; at += answer.data[at + 1] * 8u)
		if (answer.data[at] == ND_OPT_PREFIX_INFORMATION)
			assert_false(answer.data[at + 3] & ND_OPT_PI_FLAG_AUTO);
	close(guest.ns);
}

static void test_dns(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic web = testbed_nic("web", 5), db = testbed_nic("db", 6);
	char ifname[IFNAMSIZ];

	network_up(bed);
	struct guest guest = add_guest(bed, &web);
	configure(bed, &guest);
	auto_close int fd = open_socket(bed, guest.ns, SOCK_DGRAM, "::", 0);
	expect_resolves(fd, "web", "10.231.0.5");
	expect_resolves(fd, "web.blue.internal", "10.231.0.5");
	expect_resolves(fd, "db", "0.0.0.0");
	assert_ok(fabric_bridge.nic_up(bed->driver, &db, ifname, &err));
	expect_resolves(fd, "db.blue.internal", "10.231.0.6");
	db.hostname = "sql";
	assert_ok(fabric_bridge.nic_up(bed->driver, &db, ifname, &err));
	expect_resolves(fd, "sql", "10.231.0.6");
	expect_resolves(fd, "db", "0.0.0.0");
	assert_ok(fabric_bridge.nic_down(bed->driver, "db", 0, &err));
	expect_resolves(fd, "sql", "0.0.0.0");
	close(guest.ns);
}

/* An address whose guest was killed can be given to the next one at once. */
static void test_address_is_reused(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic web = testbed_nic("web", 5), db = testbed_nic("db", 6);
	struct packet ack;

	network_up(bed);
	struct guest first = add_guest(bed, &web);
	assert_int_equal(dhcp(bed, &first, &ack).s_addr, web.ipv4.s_addr);
	assert_true(dhcpv6_gives_address(bed, &first));
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	db.ipv4 = web.ipv4;
	db.ipv6 = web.ipv6;
	struct guest second = add_guest(bed, &db);
	assert_int_equal(dhcp(bed, &second, &ack).s_addr, web.ipv4.s_addr);
	assert_true(dhcpv6_gives_address(bed, &second));
	close(first.ns);
	close(second.ns);
}

static void test_masquerade(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	struct in6_addr host4 = ipv6("::ffff:192.0.2.1"), host6 = ipv6("2001:db8::1");

	network_up(bed);
	struct guest guest = add_guest(bed, &nic);
	configure(bed, &guest);
	int outside = add_outside(bed);
	auto_close int inner = open_socket(bed, guest.ns, SOCK_DGRAM, "::", 0);
	auto_close int outer = open_socket(bed, outside, SOCK_DGRAM, "::", 999);
	send_text(inner, "::ffff:192.0.2.2", 999, "hello");
	struct sockaddr_in6 from = expect_text(outer, "hello");
	assert_memory_equal(&from.sin6_addr, &host4, sizeof(host4));
	assert_int_equal(sendto(outer, "back", 4, 0, (struct sockaddr *)&from, sizeof(from)), 4);
	expect_text(inner, "back");
	send_text(inner, "2001:db8::2", 999, "hello6");
	from = expect_text(outer, "hello6");
	assert_memory_equal(&from.sin6_addr, &host6, sizeof(host6));
	close(guest.ns);
	close(outside);
}

static void test_published_tcp(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_publish publish = { .protocol = FABRIC_TCP, .host_port = PUBLISHED_PORT, .guest_port = WEB_PORT };
	struct fabric_nic nic = testbed_nic("web", 5), other = testbed_nic("db", 6);
	char ifname[IFNAMSIZ];

	network_up(bed);
	nic.publish = &publish;
	nic.publish_count = 1;
	struct guest guest = add_guest(bed, &nic), neighbour = add_guest(bed, &other);
	configure(bed, &guest);
	configure(bed, &neighbour);
	int outside = add_outside(bed);
	auto_close int web = open_socket(bed, guest.ns, SOCK_STREAM, "::", WEB_PORT);
	assert_connects(bed, bed->host_ns, "::ffff:127.0.0.1", PUBLISHED_PORT, web);
	assert_connects(bed, bed->host_ns, "::ffff:192.0.2.1", PUBLISHED_PORT, web);
	assert_connects(bed, bed->host_ns, "2001:db8::1", PUBLISHED_PORT, web);
	assert_connects(bed, outside, "::ffff:192.0.2.1", PUBLISHED_PORT, web);
	assert_connects(bed, outside, "2001:db8::1", PUBLISHED_PORT, web);
	assert_connects(bed, neighbour.ns, "::ffff:192.0.2.1", PUBLISHED_PORT, web);
	assert_connects(bed, neighbour.ns, "::ffff:10.231.0.1", PUBLISHED_PORT, web);
	fprintf(stderr, "NEIGH OK\n");
	assert_connects(bed, guest.ns, "::ffff:192.0.2.1", PUBLISHED_PORT, web);
	assert_connects(bed, guest.ns, "::ffff:10.231.0.1", PUBLISHED_PORT, web);
	assert_int_equal(try_connect(bed, outside, "::ffff:10.231.0.5", WEB_PORT), EHOSTUNREACH);

	nic.publish_count = 0;
	assert_ok(fabric_bridge.nic_up(bed->driver, &other, ifname, &err));
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	assert_int_equal(try_connect(bed, outside, "::ffff:192.0.2.1", PUBLISHED_PORT), ECONNREFUSED);
	close(guest.ns);
	close(neighbour.ns);
	close(outside);
}

/* One address of the host only; another protocol; many addresses, one port. */
static void test_published_udp_on_one_address(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_publish publish = { .protocol = FABRIC_UDP, .host_port = 28053, .guest_port = 53,
					  .host_address = ipv6("::ffff:192.0.2.1") };
	struct fabric_nic nic = testbed_nic("web", 5);

	network_up(bed);
	int outside = add_outside(bed);
	nic.publish = &publish;
	nic.publish_count = 1;
	struct guest guest = add_guest(bed, &nic);
	configure(bed, &guest);
	auto_close int server = open_socket(bed, guest.ns, SOCK_DGRAM, "::", 53);
	auto_close int host = open_socket(bed, bed->host_ns, SOCK_DGRAM, "::ffff:127.0.0.1", 28053);
	auto_close int client = open_socket(bed, outside, SOCK_DGRAM, "::", 0);
	auto_close int local = open_socket(bed, bed->host_ns, SOCK_DGRAM, "::", 0);
	send_text(client, "::ffff:192.0.2.1", 28053, "question");
	struct sockaddr_in6 from = expect_text(server, "question");
	assert_int_equal(sendto(server, "answer", 6, 0, (struct sockaddr *)&from, sizeof(from)), 6);
	expect_text(client, "answer");
	send_text(local, "::ffff:127.0.0.1", 28053, "not published");
	expect_text(host, "not published");
	close(guest.ns);
	close(outside);
}

/* Of the host a guest sees ping, DNS and DHCP; other networks of ours it does not see at all. */
static void test_host_is_closed_to_guests(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_network green = { .uid = "green", .name = "green", .index = 1, .ipv4 = ipv4("10.231.1.1"), .ipv4_prefix = 24 };
	struct fabric_nic nic = testbed_nic("web", 5);

	network_up(bed);
	assert_ok(fabric_bridge.network_up(bed->driver, &green, &err));
	struct guest guest = add_guest(bed, &nic);
	configure(bed, &guest);
	auto_close int ssh = open_socket(bed, bed->host_ns, SOCK_STREAM, "::", 22);
	assert_connects(bed, bed->host_ns, "::ffff:10.231.0.1", 22, ssh);
	assert_int_equal(try_connect(bed, guest.ns, "::ffff:10.231.0.1", 22), EHOSTUNREACH);
	assert_int_equal(try_connect(bed, guest.ns, "fd23:1::1", 22), EACCES);
	assert_int_equal(try_connect(bed, guest.ns, "::ffff:10.231.1.1", 22), EHOSTUNREACH);
	assert_int_equal(try_connect(bed, guest.ns, "::ffff:10.231.1.7", 22), EHOSTUNREACH);
	assert_int_equal(try_connect(bed, guest.ns, "::ffff:10.231.0.1", 53), 0);
	close(guest.ns);
}

/* ---- Frames a guest forges ---- */

struct frame { uint8_t data[128]; size_t size; };

static const uint8_t own_mac[6] = { 0x52, 0x54, 0, 0, 0, 5 }, other_mac[6] = { 0x52, 0x54, 0, 0, 0, 6 };

static struct frame frame_new(const uint8_t source[6], uint16_t type, const void *body, size_t size)
{
	struct frame frame = { .data = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, .size = 14 + size };

	memcpy(&frame.data[6], source, 6);
	memcpy(&frame.data[12], &(uint16_t){ htons(type) }, 2);
	memcpy(&frame.data[14], body, size);
	return frame;
}

static struct frame udp4_frame(const uint8_t mac[6], const char *source, const char *destination, uint16_t from, uint16_t to)
{
	struct { struct iphdr ip; struct udphdr udp; char text[4]; } __attribute__((packed)) packet = {
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = htons(sizeof(packet)) },
		.udp = { .source = htons(from), .dest = htons(to), .len = htons(12) }, .text = "spy",
	};
	uint32_t sum = 0;

	packet.ip.saddr = ipv4(source).s_addr;
	packet.ip.daddr = ipv4(destination).s_addr;
	for (size_t i = 0; i < sizeof(packet.ip); i += 2) {
		uint16_t word;

		memcpy(&word, (char *)&packet.ip + i, 2);
		sum += word;
	}
	packet.ip.check = (uint16_t)~(sum % 0xffff);
	return frame_new(mac, ETHERTYPE_IP, &packet, sizeof(packet));
}

static struct frame arp_frame(const uint8_t mac[6], const uint8_t sender[6], const char *address)
{
	uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, 2 };
	struct in_addr claimed = ipv4(address);

	memcpy(&arp[8], sender, 6);
	memcpy(&arp[14], &claimed, 4);
	return frame_new(mac, ETHERTYPE_ARP, arp, sizeof(arp));
}

static struct frame icmp6_frame(const char *source, uint8_t type, const char *target)
{
	struct { struct ip6_hdr ip; uint8_t type, code; uint16_t check; uint32_t flags; struct in6_addr target; } __attribute__((packed)) packet = {
		.ip = { .ip6_src = ipv6(source), .ip6_dst = ipv6("ff02::1") }, .type = type, .target = ipv6(target),
	};

	packet.ip.ip6_flow = htonl(6u << 28);
	packet.ip.ip6_nxt = IPPROTO_ICMPV6;
	packet.ip.ip6_hlim = 255;
	packet.ip.ip6_plen = htons(24);
	return frame_new(own_mac, ETHERTYPE_IPV6, &packet, sizeof(packet));
}

/* In the present namespace. */
static int open_packets(const char *ifname, uint16_t type)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(type), .sll_ifindex = (int)if_nametoindex(ifname) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool arrives(int bridge, int guest, const struct frame *frame)
{
	/* What comes last and is allowed: when it is there, the frame before it is there or was stopped. */
	struct frame last = udp4_frame(own_mac, "10.231.0.5", "10.231.0.255", 4000, 4000), got;
	bool came = false;

	assert_int_equal(send(guest, frame->data, frame->size, 0), frame->size);
	assert_int_equal(send(guest, last.data, last.size, 0), last.size);
	do {
		wait_readable(bridge);
		got.size = (size_t)recv(bridge, got.data, sizeof(got.data), MSG_TRUNC);
		came |= got.size == frame->size && memcmp(got.data, frame->data, got.size) == 0;
	} while (got.size != last.size || memcmp(got.data, last.data, last.size) != 0);
	return came;
}

static void test_guests_are_kept_honest(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);

	network_up(bed);
	struct guest guest = add_guest(bed, &nic);
	auto_close int bridge = open_packets("s1a2bb0", ETH_P_ALL);
	enter(guest.ns);
	auto_close int fd = open_packets("eth0", 0);
	enter(bed->host_ns);

	const struct frame allowed[] = {
		udp4_frame(own_mac, "10.231.0.5", "10.231.0.255", 1, 2),
		udp4_frame(own_mac, "0.0.0.0", "255.255.255.255", 68, 67),
		arp_frame(own_mac, own_mac, "10.231.0.5"),
		arp_frame(own_mac, own_mac, "0.0.0.0"),
		icmp6_frame("fd23:1::5", ICMP6_ECHO_REQUEST, "::"),
		icmp6_frame("fd23:1::5", ND_NEIGHBOR_ADVERT, "fd23:1::5"),
		icmp6_frame("fe80::5", ND_NEIGHBOR_ADVERT, "fe80::5"),
		icmp6_frame("::", ND_NEIGHBOR_SOLICIT, "fd23:1::5"),
	}, forged[] = {
		udp4_frame(other_mac, "10.231.0.5", "10.231.0.255", 1, 2),
		udp4_frame(own_mac, "10.231.0.6", "10.231.0.255", 1, 2),
		udp4_frame(own_mac, "10.231.0.1", "10.231.0.255", 1, 2),
		udp4_frame(own_mac, "10.231.0.5", "255.255.255.255", 67, 68),	/* A DHCP server. */
		arp_frame(own_mac, own_mac, "10.231.0.1"),
		arp_frame(own_mac, other_mac, "10.231.0.5"),
		icmp6_frame("fd23:1::6", ICMP6_ECHO_REQUEST, "::"),
		icmp6_frame("fd23:1::5", ND_ROUTER_ADVERT, "::"),
		icmp6_frame("fe80::5", ND_REDIRECT, "fd23:1::1"),
		icmp6_frame("fe80::5", ND_NEIGHBOR_ADVERT, "fd23:1::6"),
		icmp6_frame("fe80::5", ND_NEIGHBOR_ADVERT, "fd23:1::1"),
		icmp6_frame("fd23:1::1", ICMP6_ECHO_REQUEST, "::"),
		icmp6_frame("::", ICMP6_ECHO_REQUEST, "::"),
		frame_new(own_mac, ETHERTYPE_VLAN, "\0\1\x08\0....", 8),
		frame_new(own_mac, ETHERTYPE_LOOPBACK, "....", 4),
	};
	for (size_t i = 0; i < ARRAY_COUNT(allowed); i++)
		if (!arrives(bridge, fd, &allowed[i]))
			fail_msg("allowed frame %zu was stopped", i);
	for (size_t i = 0; i < ARRAY_COUNT(forged); i++)
		if (arrives(bridge, fd, &forged[i]))
			fail_msg("forged frame %zu came through", i);
	close(guest.ns);
}

/* route_localnet is on for published ports; the host's loopback services are hidden all the same. */
static void test_loopback_is_hidden(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	struct frame frame = udp4_frame(own_mac, "10.231.0.5", "127.0.0.1", 1, 999);

	network_up(bed);
	struct guest guest = add_guest(bed, &nic);
	auto_close int service = open_socket(bed, bed->host_ns, SOCK_DGRAM, "::ffff:127.0.0.1", 999);
	auto_close int client = open_socket(bed, bed->host_ns, SOCK_DGRAM, "::", 0);
	auto_close int bridge = open_packets("s1a2bb0", ETH_P_ALL);
	enter(guest.ns);
	auto_close int fd = open_packets("eth0", 0);
	enter(bed->host_ns);
	(void)!system("nft list table bridge strata_1a2b >&2");
	assert_true(arrives(bridge, fd, &frame));
	send_text(client, "::ffff:127.0.0.1", 999, "local");
	expect_text(service, "local");
	close(guest.ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dhcp, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_router_advertisement, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_dns, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_address_is_reused, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_masquerade, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_published_tcp, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_published_udp_on_one_address, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_host_is_closed_to_guests, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_guests_are_kept_honest, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_loopback_is_hidden, testbed_up, testbed_down),
	};

	return cmocka_run_group_tests_name("fabric traffic", tests, NULL, NULL);
}

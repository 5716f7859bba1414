/* What a guest is told: addresses by DHCP and DHCPv6, its router, names. With a real dnsmasq and a client of our own. */
#include "driver/fabric/bridge/testguest.h"

#include <netinet/icmp6.h>
#include <signal.h>
#include <sys/pidfd.h>

enum { DHCP_DISCOVER = 1, DHCP_OFFER = 2, DHCP_REQUEST = 3, DHCP_ACK = 5 };

/* ---- DHCP, DHCPv6, DNS clients: just enough ---- */

static const uint8_t *find_option(const struct packet *packet, uint8_t code)
{
	for (size_t at = 240; at + 1 < packet->size && packet->data[at] != 255; at += 2u + packet->data[at + 1])
		if (packet->data[at] == code)
			return &packet->data[at + 2];
	return NULL;
}

/* Sends one kind of message and returns the answer of the kind that belongs to it. */
static struct packet dhcp_ask(int fd, const struct guest *guest, uint8_t type, struct in_addr wanted, uint8_t answer_type)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = INADDR_BROADCAST };
	uint8_t message[300] = { [0] = 1, [1] = 1, [2] = 6, [4] = 7, [10] = 0x80, [236] = 0x63, 0x82, 0x53, 0x63, 53, 1, type,
				 50, 4, [249] = 55, 5, 1, 3, 6, 12, 15, 12, 4, 'e', 'v', 'i', 'l', 255 };
	struct packet answer;

	memcpy(&message[28], guest->nic.mac, 6);
	memcpy(&message[245], &wanted, 4);
	do {
		answer = ask(fd, message, sizeof(message), &server, sizeof(server));
		assert_non_null(find_option(&answer, 53));
	} while (*find_option(&answer, 53) != answer_type);
	return answer;
}

/* The address that DHCP gives this guest; the acknowledgement is left in 'packet'. */
static struct in_addr dhcp(struct testbed *bed, const struct guest *guest, struct packet *packet)
{
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_port = htons(68) };
	struct in_addr address = { 0 };
	auto_close int fd = -1;
	int on = 1;

	enter(guest->ns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	enter(bed->host_ns);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	*packet = dhcp_ask(fd, guest, DHCP_DISCOVER, address, DHCP_OFFER);
	memcpy(&address, &packet->data[16], 4);
	*packet = dhcp_ask(fd, guest, DHCP_REQUEST, address, DHCP_ACK);
	memcpy(&address, &packet->data[16], 4);
	return address;
}

static struct packet exchange6(struct testbed *bed, const struct guest *guest, const uint8_t *message, size_t size)
{
	auto_close int fd = open_socket(bed, guest->ns, SOCK_DGRAM, "::", 546);
	struct sockaddr_in6 server = endpoint("ff02::1:2", 547);

	enter(guest->ns);
	server.sin6_scope_id = if_nametoindex("eth0");
	enter(bed->host_ns);
	return ask(fd, message, size, &server, sizeof(server));
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
	struct packet answer;
	size_t size = 12;

	for (const char *label = name; *label; label += query[size] + (label[query[size]] == '.'), size += 1u + query[size]) {
		query[size] = (uint8_t)strcspn(label, ".");
		memcpy(&query[size + 1], label, query[size]);
	}
	query[size + 2] = query[size + 4] = 1;		/* A, IN */
	size += 5;
	answer = ask(fd, query, size, &server, sizeof(server));
	assert_true(answer.size >= size);
	if (answer.data[7])			/* One answer: its last four bytes. */
		memcpy(&address, &answer.data[size + 12], 4);
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
	struct packet answer;
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
	answer = ask(fd, &solicit, sizeof(solicit), &routers, sizeof(routers));
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
	/* dnsmasq notes a DHCPv6 lease after its reply, and before it answers anything else. */
	configure(bed, &first);
	auto_close int fd = open_socket(bed, first.ns, SOCK_DGRAM, "::", 0);
	expect_resolves(fd, "web", "10.231.0.5");
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	db.ipv4 = web.ipv4;
	db.ipv6 = web.ipv6;
	struct guest second = add_guest(bed, &db);
	assert_int_equal(dhcp(bed, &second, &ack).s_addr, web.ipv4.s_addr);
	assert_true(dhcpv6_gives_address(bed, &second));
	close(first.ns);
	close(second.ns);
}

/* The same when dnsmasq was dead as the first guest went: its file is cleaned before it starts. */
static void test_address_is_reused_after_restart(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic web = testbed_nic("web", 5), db = testbed_nic("db", 6);
	int pidfd;
	struct packet ack;

	network_up(bed);
	struct guest first = add_guest(bed, &web);
	assert_int_equal(dhcp(bed, &first, &ack).s_addr, web.ipv4.s_addr);
	pidfd = pidfd_open(dnsmasq_pid(bed), 0);
	assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
	wait_readable(pidfd);
	close(pidfd);
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	network_up(bed);
	db.ipv4 = web.ipv4;
	struct guest second = add_guest(bed, &db);
	assert_int_equal(dhcp(bed, &second, &ack).s_addr, web.ipv4.s_addr);
	close(first.ns);
	close(second.ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dhcp, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_router_advertisement, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_dns, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_address_is_reused, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_address_is_reused_after_restart, testbed_up, testbed_down),
	};

	return cmocka_run_group_tests_name("fabric dnsmasq", tests, NULL, NULL);
}

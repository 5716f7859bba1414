/* What packets do: a guest reaches out, is reached, and is kept honest. */
#include "driver/fabric/bridge/testguest.h"

#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>

enum { WEB_PORT = 80, PUBLISHED_PORT = 28080 };

#define BRIDGE_NETFILTER "/proc/sys/net/bridge/bridge-nf-call-iptables"

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
	assert_int_equal(try_connect(bed, bed->host_ns, "::1", PUBLISHED_PORT), ECONNREFUSED);
	assert_connects(bed, outside, "::ffff:192.0.2.1", PUBLISHED_PORT, web);
	assert_connects(bed, outside, "2001:db8::1", PUBLISHED_PORT, web);
	assert_connects(bed, neighbour.ns, "::ffff:192.0.2.1", PUBLISHED_PORT, web);
	/* With br_netfilter the bridge itself would have to send the packet back out of the port it came from. */
	if (access(BRIDGE_NETFILTER, W_OK) == 0)
		write_setting(BRIDGE_NETFILTER, "0");
	assert_connects(bed, guest.ns, "::ffff:10.231.0.1", PUBLISHED_PORT, web);
	assert_int_equal(try_connect(bed, outside, "::ffff:10.231.0.5", WEB_PORT), ECONNREFUSED);

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
	assert_int_equal(try_connect(bed, guest.ns, "::ffff:10.231.0.1", 22), ECONNREFUSED);
	assert_int_equal(try_connect(bed, guest.ns, "fd23:1::1", 22), ECONNREFUSED);
	assert_int_equal(try_connect(bed, guest.ns, "::ffff:10.231.1.1", 22), ECONNREFUSED);
	assert_int_equal(try_connect(bed, guest.ns, "::ffff:10.231.1.7", 22), ECONNREFUSED);
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
	arrives(bridge, fd, &frame);		/* The bridge may show it or not; it waits until the frame is dealt with. */
	send_text(client, "::ffff:127.0.0.1", 999, "local");
	expect_text(service, "local");
	close(guest.ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_masquerade, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_published_tcp, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_published_udp_on_one_address, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_host_is_closed_to_guests, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_guests_are_kept_honest, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_loopback_is_hidden, testbed_up, testbed_down),
	};

	return cmocka_run_group_tests_name("fabric traffic", tests, NULL, NULL);
}

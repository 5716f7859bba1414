/*
 * testguest.h - guests for the tests of this folder: namespaces on cables that are plugged in where a
 * machine's tap would be, a neighbour of the host, and sockets in either.
 *
 * Everything returns with the process in the host's namespace.
 */
#ifndef DRIVER_FABRIC_BRIDGE_TESTGUEST_H
#define DRIVER_FABRIC_BRIDGE_TESTGUEST_H

#include "driver/fabric/bridge/testbed.h"

#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>

/* ---- Guests and the outside ---- */

struct guest {
	struct fabric_nic nic;
	int ns;
};

static inline void write_setting(const char *path, const char *value)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, value, strlen(value)), strlen(value));
}

/* A socket that tells of new IPv6 addresses in the present namespace. */
static inline int open_address_news(void)
{
	struct sockaddr_nl groups = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV6_IFADDR };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_int_equal(bind(fd, (struct sockaddr *)&groups, sizeof(groups)), 0);
	return fd;
}

/* A bridge forwards for a port a moment after its cable is plugged in: asks for the gateway until it answers. */
static inline void wait_for_bridge(const uint8_t mac[6])
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = (int)if_nametoindex("eth0") };
	auto_close int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	uint8_t request[42] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, [38] = 10, 231, 0, 1 };

	memcpy(&request[6], mac, 6);
	memcpy(&request[22], mac, 6);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(send(fd, request, sizeof(request), 0), sizeof(request));
		if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10) == 1)
			return;
	}
	fail_msg("the gateway does not answer");
}

/* The kernel makes an IPv6 address usable some time after it was asked to, and says so. */
static inline void wait_for_address(int news, const char *ifname, unsigned scope)
{
	struct { struct nlmsghdr header; struct ifaddrmsg address; char rest[1024]; } message;

	do {
		wait_readable(news);
		assert_true(recv(news, &message, sizeof(message), 0) > 0);
	} while (message.header.nlmsg_type != RTM_NEWADDR || message.address.ifa_index != if_nametoindex(ifname) ||
		 message.address.ifa_scope != scope || (message.address.ifa_flags & IFA_F_TENTATIVE));
}

/* Brings one end of a cable up, the other being up; returns when it works and has its link-local address. */
static inline void plug_in(const char *ifname)
{
	auto_free char *accept_dad = text_format("/proc/sys/net/ipv6/conf/%s/accept_dad", ifname);
	auto_close int news = open_address_news();

	write_setting(accept_dad, "0");
	RUN("ip", "link", "set", ifname, "up");
	wait_for_address(news, ifname, RT_SCOPE_LINK);
}

static inline void add_address6(const char *ifname, const char *address_and_prefix)
{
	auto_close int news = open_address_news();

	RUN("ip", "addr", "add", address_and_prefix, "dev", ifname);
	wait_for_address(news, ifname, RT_SCOPE_UNIVERSE);
}

/* Makes the nic, and a cable of the tap's name in the place of the tap, so that the guest is a network stack. */
static inline struct guest add_guest(struct testbed *bed, const struct fabric_nic *nic)
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
	write_setting("/proc/sys/net/ipv6/conf/eth0/accept_ra", "0");
	RUN("ip", "link", "set", "eth0", "address", mac);
	plug_in("eth0");
	wait_for_bridge(nic->mac);
	enter(bed->host_ns);
	return guest;
}

/* What a DHCP client would have set. */
static inline void configure(struct testbed *bed, const struct guest *guest)
{
	char v4[INET_ADDRSTRLEN], v6[INET6_ADDRSTRLEN];
	auto_free char *prefix4 = text_format("%s/24", inet_ntop(AF_INET, &guest->nic.ipv4, v4, sizeof(v4)));
	auto_free char *prefix6 = text_format("%s/64", inet_ntop(AF_INET6, &guest->nic.ipv6, v6, sizeof(v6)));

	enter(guest->ns);
	RUN("ip", "addr", "add", prefix4, "dev", "eth0");
	add_address6("eth0", prefix6);
	RUN("ip", "route", "add", "default", "via", "10.231.0.1");
	RUN("ip", "-6", "route", "add", "default", "via", "fd23:1::1");
	enter(bed->host_ns);
}

/* A neighbour of the host: 192.0.2.2 and 2001:db8::2; the host is 192.0.2.1 and 2001:db8::1. */
static inline int add_outside(struct testbed *bed)
{
	int ns = new_namespace(bed->host_ns);

	add_cable("up0", "eth0", ns);
	RUN("ip", "link", "set", "up0", "up");
	enter(ns);
	plug_in("eth0");
	RUN("ip", "addr", "add", "192.0.2.2/24", "dev", "eth0");
	add_address6("eth0", "2001:db8::2/64");
	RUN("ip", "route", "add", "10.231.0.0/24", "via", "192.0.2.1");
	enter(bed->host_ns);
	RUN("ip", "link", "set", "up0", "down");
	plug_in("up0");
	RUN("ip", "addr", "add", "192.0.2.1/24", "dev", "up0");
	add_address6("up0", "2001:db8::1/64");
	return ns;
}

/* ---- Sockets: v4 addresses as ::ffff:a.b.c.d ---- */

static inline struct sockaddr_in6 endpoint(const char *address, uint16_t port)
{
	return (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = ipv6(address) };
}

static inline int open_socket(struct testbed *bed, int ns, int type, const char *address, uint16_t port)
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
static inline int try_connect(struct testbed *bed, int ns, const char *address, uint16_t port)
{
	auto_close int fd = open_socket(bed, ns, SOCK_STREAM, "::", 0);
	struct sockaddr_in6 remote = endpoint(address, port);
	struct timeval limit = { .tv_sec = 2 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	return connect(fd, (struct sockaddr *)&remote, sizeof(remote)) == 0 ? 0 : errno;
}

static inline void assert_connects(struct testbed *bed, int ns, const char *address, uint16_t port, int listener)
{
	auto_close int accepted = -1;
	int r = try_connect(bed, ns, address, port);

	if (r)
		fail_msg("connect to %s port %u: %s", address, port, strerror(r));
	wait_readable(listener);
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(accepted >= 0);
}

struct packet { uint8_t data[1500]; size_t size; };

/* Asks until somebody answers, as every client of a datagram service must. */
static inline struct packet ask(int fd, const void *question, size_t size, const void *server, socklen_t server_size)
{
	struct packet answer = { .size = 0 };
	bool has_answer = false;

	for (int i = 0; i < 20 && !has_answer; i++) {
		assert_int_equal(sendto(fd, question, size, 0, server, server_size), size);
		has_answer = poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 500) == 1;
	}
	assert_true(has_answer);
	answer.size = (size_t)recv(fd, answer.data, sizeof(answer.data), 0);
	return answer;
}

static inline void send_text(int fd, const char *address, uint16_t port, const char *text)
{
	struct sockaddr_in6 to = endpoint(address, port);

	assert_int_equal(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)), strlen(text));
}

/* The next datagram must be 'text'; says who sent it. */
static inline struct sockaddr_in6 expect_text(int fd, const char *text)
{
	struct sockaddr_in6 from = { 0 };
	socklen_t size = sizeof(from);
	char got[64] = { 0 };

	wait_readable(fd);
	assert_true(recvfrom(fd, got, sizeof(got) - 1, 0, (struct sockaddr *)&from, &size) > 0);
	assert_string_equal(got, text);
	return from;
}

static inline void network_up(struct testbed *bed)
{
	assert_ok(fabric_bridge.network_up(bed->driver, &bed->network, &err));
}

#endif

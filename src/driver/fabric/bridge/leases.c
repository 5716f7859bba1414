#include "driver/fabric/bridge/leases.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/fabric/bridge/records.h"

enum {
	FILE_MAX_BYTES = 16 << 20,
	DUID_MAX_BYTES = 130,			/* RFC 8415, 11.1. */
	DHCP_SERVER_PORT = 67,
	DHCPV6_SERVER_PORT = 547,
	READ_ATTEMPTS = 10,
	READ_AGAIN_MS = 1,
};

struct bytes { uint8_t data[512]; size_t size; };

static void put(struct bytes *bytes, const void *data, size_t size)
{
	if (size <= sizeof(bytes->data) - bytes->size) {
		memcpy(bytes->data + bytes->size, data, size);
		bytes->size += size;
	}
}

static void put_u16(struct bytes *bytes, size_t number)
{
	put(bytes, &(uint16_t){ htons((uint16_t)number) }, 2);
}

static void put_option6(struct bytes *bytes, uint16_t code, const void *data, size_t size)
{
	put_u16(bytes, code);
	put_u16(bytes, size);
	put(bytes, data, size);
}

static void send_to(const struct leases *leases, const struct sockaddr *address, socklen_t size, const struct bytes *message)
{
	auto_close int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* Bound to the bridge the packet seems to come in there although it never leaves the host. */
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, leases->ifname, (socklen_t)strlen(leases->ifname) + 1) == 0)
		(void)!sendto(fd, message->data, message->size, MSG_DONTWAIT, address, size);
}

static void release_ipv4(const struct leases *leases, struct in_addr address, const uint8_t mac[6])
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(DHCP_SERVER_PORT), .sin_addr = leases->server };
	static const uint8_t magic[] = { 0x63, 0x82, 0x53, 0x63 }, is_release[] = { 53, 1, 7 }, end[] = { 255 };
	uint8_t fixed[236] = { [0] = 1, [1] = 1, [2] = 6 };	/* BOOTREQUEST, Ethernet. */
	struct bytes message = { 0 };

	if (getrandom(&fixed[4], 4, 0) != 4)			/* xid */
		return;
	memcpy(&fixed[12], &address, 4);			/* ciaddr */
	memcpy(&fixed[28], mac, 6);				/* chaddr */
	put(&message, fixed, sizeof(fixed));
	put(&message, magic, sizeof(magic));
	put(&message, is_release, sizeof(is_release));
	put(&message, (const uint8_t[]){ 54, 4 }, 2);		/* Server identifier. */
	put(&message, &leases->server, 4);
	put(&message, end, sizeof(end));
	send_to(leases, (const struct sockaddr *)&server, sizeof(server), &message);
}

struct duid { uint8_t data[DUID_MAX_BYTES]; size_t size; };

/* "00:01:00:..." */
static bool parse_duid(const char *text, struct duid *duid)
{
	unsigned byte;
	int length;

	for (duid->size = 0; sscanf(text, "%2x%n", &byte, &length) == 1; text += length + 1) {
		if (duid->size == sizeof(duid->data))
			return false;
		duid->data[duid->size++] = (uint8_t)byte;
		if (text[length] != ':')
			return true;
	}
	return false;
}

static void release_ipv6(const struct leases *leases, const struct in6_addr *address, uint32_t iaid,
			 const struct duid *client, const struct duid *server)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(DHCPV6_SERVER_PORT),
				   .sin6_scope_id = if_nametoindex(leases->ifname) };
	struct bytes message = { 0 }, association = { 0 };
	uint8_t head[4] = { 8 }, lifetimes[8] = { 0 };		/* RELEASE; 0: preferred, valid, T1, T2. */

	if (getrandom(&head[1], 3, 0) != 3 || inet_pton(AF_INET6, "ff02::1:2", &to.sin6_addr) != 1)
		return;
	put(&association, &(uint32_t){ htonl(iaid) }, 4);
	put(&association, lifetimes, sizeof(lifetimes));
	put_u16(&association, 5);				/* OPTION_IAADDR */
	put_u16(&association, sizeof(*address) + sizeof(lifetimes));
	put(&association, address, sizeof(*address));
	put(&association, lifetimes, sizeof(lifetimes));
	put(&message, head, sizeof(head));
	put_option6(&message, 1, client->data, client->size);	/* OPTION_CLIENTID */
	put_option6(&message, 2, server->data, server->size);	/* OPTION_SERVERID */
	put_option6(&message, 3, association.data, association.size);	/* OPTION_IA_NA */
	send_to(leases, (const struct sockaddr *)&to, sizeof(to), &message);
}

/*
 * ---- The file ----
 *
 * "<expiry> <mac> <address> <name> <client id>" for IPv4; then, when IPv6 is served, "duid <the server's>" and
 * "<expiry> <iaid> <address> <name> <client's duid>".
 */

struct line {
	struct lease lease;
	uint32_t iaid;
	struct duid client;
};

static bool parse_line(const char *text, struct line *line)
{
	uint8_t *mac = line->lease.mac, *ipv4 = &line->lease.address.s6_addr[12];
	char key[64], address[64], client[400];

	*line = (struct line){ .lease.address.s6_addr = { [10] = 0xff, [11] = 0xff } };
	if (sscanf(text, "%*s %63s %63s %*s %399s", key, address, client) != 3)
		return false;
	if (inet_pton(AF_INET, address, ipv4) == 1)
		return sscanf(key, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6;
	line->iaid = (uint32_t)strtoul(key, NULL, 10);
	return inet_pton(AF_INET6, address, &line->lease.address) == 1 && parse_duid(client, &line->client);
}

static char *file_path(const struct leases *leases)
{
	return text_format("%s/leases", leases->folder);
}

/* dnsmasq writes its file anew in place, so for a moment it is empty or ends in the middle. */
static bool read_whole(const struct leases *leases, struct str *text)
{
	auto_free char *path = file_path(leases);
	struct err ignored;

	for (int i = 0; i < READ_ATTEMPTS; i++) {
		str_clear(text);
		if (file_read_all(path, FILE_MAX_BYTES, text, &ignored) < 0)
			return false;
		if (strstr(str_text(text), "duid ") && text->data[text->size - 1] == '\n')
			return true;
		poll(NULL, 0, READ_AGAIN_MS);
	}
	return false;
}

static void release_ipv6_leases(const struct leases *leases, const struct in6_addr *address)
{
	auto_str struct str text = { 0 };
	struct duid server = { .size = 0 };
	char *rest = NULL, id[400];

	if (!read_whole(leases, &text))
		return;
	for (char *at = strtok_r(text.data, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
		struct line line;

		if (sscanf(at, "duid %399s", id) == 1 && !parse_duid(id, &server))
			return;
		if (server.size && parse_line(at, &line) && IN6_ARE_ADDR_EQUAL(&line.lease.address, address))
			release_ipv6(leases, address, line.iaid, &line.client, &server);
	}
}

void leases_release(const struct leases *leases, const struct fabric_nic *nic)
{
	if (nic->ipv4.s_addr)
		release_ipv4(leases, nic->ipv4, nic->mac);
	if (fabric_address_is_set(&nic->ipv6))
		release_ipv6_leases(leases, &nic->ipv6);
}

int leases_prune(const struct leases *leases, lease_fn *is_wanted, const void *data, struct err *err)
{
	auto_free char *path = file_path(leases);
	auto_str struct str text = { 0 }, kept = { 0 };
	struct err ignored;
	char *rest = NULL;

	if (file_read_all(path, FILE_MAX_BYTES, &text, &ignored) < 0 || !text.size)
		return 0;
	for (char *at = strtok_r(text.data, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
		struct line line;

		if (text_starts_with(at, "duid ") || (parse_line(at, &line) && is_wanted(data, &line.lease)))
			str_printf(&kept, "%s\n", at);
	}
	return records_put_file(leases->folder, "leases", str_text(&kept), 0644, NULL, err);
}

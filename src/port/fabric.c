#include "port/fabric.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

enum {
	MTU_MIN_IPV4 = 576,		/* RFC 791. */
	MTU_MIN_IPV6 = 1280,		/* RFC 8200. */
	MTU_MAX = 65521,		/* The largest a tap takes. */
	DHCP_PREFIX_MIN = 8,
	DHCP_PREFIX_MAX = 30,
};

void fabric_inventory_done(struct fabric_inventory *inventory)
{
	for (size_t i = 0; i < inventory->networks.count; i++)
		free(inventory->networks.items[i].uid);
	for (size_t i = 0; i < inventory->nics.count; i++)
		free(inventory->nics.items[i].uid);
	vec_done(&inventory->networks);
	vec_done(&inventory->nics);
}

/* Letters, digits, '-', '_' and '.', not first: safe in paths, aliases and configuration files. */
static int check_uid(const char *field, const char *uid, struct err *err)
{
	if (!uid || !uid[0])
		return err_set(err, -EINVAL, "%s: is missing: give the uid", field);
	if (strlen(uid) > FABRIC_UID_LENGTH)
		return err_set(err, -EINVAL, "%s: '%s' is longer than %d bytes: use a UUID", field, shown(uid), FABRIC_UID_LENGTH);
	for (const char *p = uid; *p; p++)
		if (!isalnum((unsigned char)*p) && (p == uid || !strchr("-_.", *p)))
			return err_set(err, -EINVAL, "%s: '%s' has characters that are not allowed: use letters, digits and '-'",
				       field, shown(uid));
	return 0;
}

static size_t label_length(const char *text)
{
	size_t length = 0;

	while (isalnum((unsigned char)text[length]) || (text[length] == '-' && length > 0))
		length++;
	return length && text[length - 1] != '-' ? length : 0;
}

/* RFC 1123 labels with dots between them; at most 'max_labels'. */
static int check_name(const char *field, const char *name, size_t max_labels, struct err *err)
{
	const char *p = name ? name : "";

	for (size_t labels = 1; labels <= max_labels; labels++) {
		size_t length = label_length(p);

		if (!length || length > LIMIT_NAME_LENGTH)
			break;
		p += length;
		if (!*p && p - name < FABRIC_DOMAIN_SIZE - LIMIT_NAME_LENGTH - 2)
			return 0;
		if (*p++ != '.')
			break;
	}
	return err_set(err, -EINVAL, "%s: '%s' is not a DNS name: use letters, digits and '-', at most %d in a row",
		       field, shown(name ? name : ""), LIMIT_NAME_LENGTH);
}

static int check_network_ipv4(const struct fabric_network *network, struct err *err)
{
	char text[INET_ADDRSTRLEN];
	uint32_t host = ntohl(network->ipv4.s_addr), mask;

	if (!host)
		return 0;
	inet_ntop(AF_INET, &network->ipv4, text, sizeof(text));
	if (network->ipv4_prefix < DHCP_PREFIX_MIN || network->ipv4_prefix > DHCP_PREFIX_MAX)
		return err_set(err, -EINVAL, "ipv4: prefix %u of %s is out of range: use %d to %d",
			       network->ipv4_prefix, text, DHCP_PREFIX_MIN, DHCP_PREFIX_MAX);
	mask = UINT32_MAX >> network->ipv4_prefix;
	if ((host & mask) == 0 || (host & mask) == mask)
		return err_set(err, -EINVAL, "ipv4: %s/%u is not an address of a host: use the subnet's first one",
			       text, network->ipv4_prefix);
	return 0;
}

int fabric_check_network(const struct fabric_network *network, struct err *err)
{
	bool has_ipv6 = fabric_address_is_set(&network->ipv6);
	unsigned mtu_min = has_ipv6 ? MTU_MIN_IPV6 : MTU_MIN_IPV4;
	int r;

	if ((r = check_uid("network uid", network->uid, err)) < 0 ||
	    (r = check_name("network name", network->name, 1, err)) < 0 ||
	    (network->domain && (r = check_name("domain", network->domain, 127, err)) < 0) ||
	    (r = check_network_ipv4(network, err)) < 0)
		return r;
	if (has_ipv6 && (network->ipv6_prefix < 8 || network->ipv6_prefix > 126))
		return err_set(err, -EINVAL, "ipv6: prefix %u is out of range: use 64", network->ipv6_prefix);
	if (network->mtu && (network->mtu < mtu_min || network->mtu > MTU_MAX))
		return err_set(err, -EINVAL, "mtu: %u is out of range: use %u to %d", network->mtu, mtu_min, MTU_MAX);
	if (network->index > 9999)
		return err_set(err, -EINVAL, "network index %u is out of range: use 0 to 9999", network->index);
	return 0;
}

int fabric_check_nic(const struct fabric_nic *nic, struct err *err)
{
	static const uint8_t no_mac[6];
	int r;

	if ((r = check_uid("instance uid", nic->instance, err)) < 0 ||
	    (r = check_uid("network uid", nic->network, err)) < 0 ||
	    (r = check_name("hostname", nic->hostname, 1, err)) < 0)
		return r;
	if ((nic->mac[0] & 1) || !memcmp(nic->mac, no_mac, sizeof(no_mac)))
		return err_set(err, -EINVAL, "mac: %02x:%02x:%02x:%02x:%02x:%02x is not the address of one machine: use 52:54:00:...",
			       nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
	if (nic->number > FABRIC_NIC_NUMBER_MAX)
		return err_set(err, -EINVAL, "nic number %u is out of range: use 0 to %d", nic->number, FABRIC_NIC_NUMBER_MAX);
	if (nic->publish_count > LIMIT_PUBLISHED_PORTS)
		return err_set(err, -E2BIG, "%zu published ports are too many: use at most %d", nic->publish_count, LIMIT_PUBLISHED_PORTS);
	for (size_t i = 0; i < nic->publish_count; i++)
		if (!nic->publish[i].host_port || !nic->publish[i].guest_port)
			return err_set(err, -EINVAL, "publish: port 0 cannot be published: use 1 to 65535");
	return 0;
}

struct fabric_network *fabric_network_copy(const struct fabric_network *network)
{
	struct fabric_network *copy = alloc(sizeof(*copy));

	*copy = *network;
	copy->uid = text_copy(network->uid);
	copy->name = text_copy(network->name);
	copy->domain = text_copy(network->domain);
	return copy;
}

void fabric_network_free(struct fabric_network *network)
{
	if (!network)
		return;
	free((char *)network->uid);
	free((char *)network->name);
	free((char *)network->domain);
	free(network);
}

struct fabric_nic *fabric_nic_copy(const struct fabric_nic *nic)
{
	struct fabric_nic *copy = alloc(sizeof(*copy));
	struct fabric_publish *publish = NULL;

	if (nic->publish_count) {
		publish = alloc_array(NULL, nic->publish_count, sizeof(*publish));
		memcpy(publish, nic->publish, nic->publish_count * sizeof(*publish));
	}
	*copy = *nic;
	copy->instance = text_copy(nic->instance);
	copy->hostname = text_copy(nic->hostname);
	copy->network = text_copy(nic->network);
	copy->publish = publish;
	return copy;
}

void fabric_nic_free(struct fabric_nic *nic)
{
	if (!nic)
		return;
	free((char *)nic->instance);
	free((char *)nic->hostname);
	free((char *)nic->network);
	free((struct fabric_publish *)nic->publish);
	free(nic);
}

const char *fabric_nic_key(const char *instance, unsigned index, char buffer[FABRIC_KEY_SIZE])
{
	snprintf(buffer, FABRIC_KEY_SIZE, "%s:%u", instance, index);
	return buffer;
}

const char *fabric_domain(const struct fabric_network *network, char buffer[FABRIC_DOMAIN_SIZE])
{
	if (network->domain)
		snprintf(buffer, FABRIC_DOMAIN_SIZE, "%s", network->domain);
	else
		snprintf(buffer, FABRIC_DOMAIN_SIZE, "%s.internal", network->name);
	return buffer;
}

const char *fabric_protocol_name(enum fabric_protocol protocol)
{
	return protocol == FABRIC_TCP ? "tcp" : "udp";
}

bool fabric_address_is_set(const struct in6_addr *address)
{
	return !IN6_IS_ADDR_UNSPECIFIED(address);
}

/* Every address of its family, or of both. */
static bool is_any(const struct in6_addr *address)
{
	static const struct in6_addr any_ipv4 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	return IN6_IS_ADDR_UNSPECIFIED(address) || IN6_ARE_ADDR_EQUAL(address, &any_ipv4);
}

bool fabric_publish_overlaps(const struct fabric_publish *a, const struct fabric_publish *b)
{
	const struct in6_addr *x = &a->host_address, *y = &b->host_address;

	if (a->protocol != b->protocol || a->host_port != b->host_port)
		return false;
	if (IN6_IS_ADDR_UNSPECIFIED(x) || IN6_IS_ADDR_UNSPECIFIED(y) || IN6_ARE_ADDR_EQUAL(x, y))
		return true;
	return IN6_IS_ADDR_V4MAPPED(x) && IN6_IS_ADDR_V4MAPPED(y) && (is_any(x) || is_any(y));
}

bool fabric_subnets_overlap(struct in_addr a, unsigned a_prefix, struct in_addr b, unsigned b_prefix)
{
	unsigned shorter = a_prefix < b_prefix ? a_prefix : b_prefix;
	uint32_t difference = ntohl(a.s_addr) ^ ntohl(b.s_addr);

	assert(a_prefix <= 32 && b_prefix <= 32);
	return shorter == 0 || difference >> (32 - shorter) == 0;
}

#include "model/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

const char *const network_state_names[] = { "pending", "ready", "deleting", "failed", NULL };

/* "ADDRESS/PREFIX" with PREFIX in min..max, or "none". */
static int cidr_check(const char *text, int family, long min, long max, const char *example, struct err *err)
{
	char address[64];
	unsigned char binary[16];
	const char *slash = strchr(text, '/');
	char *end;
	long prefix;

	if (text_equal(text, "none"))
		return 0;
	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return err_set(err, -EINVAL, "'%s' is not an address with a prefix: use one like %s, or none", shown(text), example);
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	prefix = strtol(slash + 1, &end, 10);
	if (inet_pton(family, address, binary) != 1 || *end || end == slash + 1)
		return err_set(err, -EINVAL, "'%s' is not an address with a prefix: use one like %s, or none", shown(text), example);
	if (prefix < min || prefix > max)
		return err_set(err, -EINVAL, "'%s': the prefix must be %ld to %ld", shown(text), min, max);
	return 0;
}

static int ipv4_check(const void *value, struct err *err)
{
	return cidr_check(value, AF_INET, 8, 29, "10.1.2.1/24", err);
}

static int ipv6_check(const void *value, struct err *err)
{
	return cidr_check(value, AF_INET6, 48, 120, "fd12:3456:789a:1::1/64", err);
}

static int domain_check(const void *value, struct err *err)
{
	const char *text = value;

	for (const char *c = text; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || ((*c == '.' || *c == '-') && c != text)))
			return err_set(err, -EINVAL, "'%s' is not a DNS domain: use one like lab.internal", shown(text));
	return 0;
}

FIELD_TABLE(network_spec_table, network_spec, "What a network should be.",
	FIELD(STRING, network_spec, ipv4, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .check = ipv4_check,
	      .doc = "The host's IPv4 address in it (the gateway) and the prefix; none; a free subnet is chosen when not given."),
	FIELD(STRING, network_spec, ipv6, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .check = ipv6_check,
	      .doc = "Likewise for IPv6; a unique local prefix (RFC 4193) when not given."),
	FIELD(BOOL, network_spec, nat, .fallback = "true", .doc = "Instances reach the outside through the host's address."),
	FIELD(BOOL, network_spec, dhcp, .fallback = "true", .doc = "DHCP, router advertisements and DNS in it."),
	FIELD(STRING, network_spec, domain, .flags = FIELD_OMIT_EMPTY, .max = 200, .check = domain_check,
	      .doc = "DNS domain of its instances; NAME.internal when not given."),
	FIELD(INT, network_spec, mtu, .fallback = "1500", .min = 1280, .max = 9000, .unit = "bytes", .doc = "Largest packet."),
	FIELD(INT, network_spec, index, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "Number of the bridge on the node."),
);

FIELD_TABLE(network_status_table, network_status, "What a network is now.",
	FIELD(ENUM, network_status, state, .choices = network_state_names, .doc = "Only a ready network carries packets."),
	FIELD(STRING, network_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
);

/*
 * instance_fill.c - what a new instance did not say: its node, addresses, numbers.
 *
 * What is chosen here is written into spec and claimed in the same transaction (model/claim.h).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "4-service/service.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

enum { FIRST_HOST = 10, NIC_NUMBERS = 1 << 20, SEARCH_MAX = 1 << 16 };

struct subnet4 { uint32_t gateway, network, broadcast; unsigned prefix; };

static bool parse_subnet4(const char *text, struct subnet4 *ret_subnet)
{
	char address[32];
	struct in_addr gateway;
	unsigned prefix;
	uint32_t mask;

	if (!text || sscanf(text, "%31[0-9.]/%u", address, &prefix) != 2 || inet_pton(AF_INET, address, &gateway) != 1 || prefix > 30)
		return false;
	mask = 0xffffffffu << (32 - prefix);
	*ret_subnet = (struct subnet4){ .gateway = ntohl(gateway.s_addr), .prefix = prefix };
	ret_subnet->network = ret_subnet->gateway & mask;
	ret_subnet->broadcast = ret_subnet->network | ~mask;
	return true;
}

static char *format4(uint32_t address)
{
	struct in_addr in = { .s_addr = htonl(address) };
	char text[INET_ADDRSTRLEN];

	return text_copy(inet_ntop(AF_INET, &in, text, sizeof(text)));
}

static bool address_is_free(struct core *core, const struct network *network, const char *address)
{
	auto_free char *key = text_format("claim/address/%s/%s", network->meta.uid, address);

	return claim_is_free(core, key);
}

/*
 * The search goes on behind the address given last, so that it does not pass all that are taken again and
 * again, and an address that was given back rests a while.
 */
static int choose_ipv4(struct core *core, const struct network *network, struct instance_nic *nic, uint32_t *ret_host, struct err *err)
{
	struct subnet4 subnet;
	uint32_t first, count, start;

	if (!parse_subnet4(network->spec.ipv4, &subnet))
		return 0;			/* A network without IPv4. */
	first = subnet.broadcast - subnet.network > 2 * FIRST_HOST ? FIRST_HOST : 1;
	count = subnet.broadcast - subnet.network - first;
	if (count > SEARCH_MAX)
		count = SEARCH_MAX;
	start = (uint32_t)(uintptr_t)map_get(&core->next_hosts, network->meta.uid);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t host = first + (start + i) % count;
		auto_free char *text = format4(subnet.network + host);

		if (subnet.network + host == subnet.gateway || !address_is_free(core, network, text))
			continue;
		nic->ipv4 = take(text);
		*ret_host = host;
		map_put(&core->next_hosts, network->meta.uid, (void *)(uintptr_t)(host - first + 1));
		return 0;
	}
	return err_set(err, -ENOSPC, "network '%s' (%s) has no free address: use a larger network", network->meta.name, network->spec.ipv4);
}

static int check_ipv4(const struct network *network, const char *address, struct err *err)
{
	struct subnet4 subnet;
	struct in_addr in;

	if (!parse_subnet4(network->spec.ipv4, &subnet))
		return err_set(err, -EINVAL, "spec.nics.ipv4: network '%s' has no IPv4: leave the address out", network->meta.name);
	inet_pton(AF_INET, address, &in);
	if (ntohl(in.s_addr) <= subnet.network || ntohl(in.s_addr) >= subnet.broadcast)
		return err_set(err, -EINVAL, "spec.nics.ipv4: %s is not in network '%s' (%s): use one that is", address,
			       network->meta.name, network->spec.ipv4);
	if (ntohl(in.s_addr) == subnet.gateway)
		return err_set(err, -EINVAL, "spec.nics.ipv4: %s is the gateway of network '%s': use another one", address, network->meta.name);
	return 0;
}

static bool parse_subnet6(const char *text, struct in6_addr *ret_gateway, unsigned *ret_prefix)
{
	char address[64];

	return text && sscanf(text, "%63[0-9a-fA-F:]/%u", address, ret_prefix) == 2 && inet_pton(AF_INET6, address, ret_gateway) == 1;
}

/* The last 16 bits of the prefix's address space are enough for a node. Best is the number that the IPv4 address has. */
static int choose_ipv6(struct core *core, const struct network *network, struct instance_nic *nic, uint32_t host, struct err *err)
{
	struct in6_addr address;
	unsigned prefix, count;

	if (!parse_subnet6(network->spec.ipv6, &address, &prefix))
		return 0;
	count = (prefix > 112 ? 1u << (128 - prefix) : 0x10000u) - 1;
	for (unsigned i = 0; i < count; i++, host++) {
		char text[INET6_ADDRSTRLEN];
		struct in6_addr candidate = address;

		host = host < 1 || host >= count ? 1 : host;
		candidate.s6_addr[14] = (uint8_t)((address.s6_addr[14] & (prefix > 112 ? 0xff : 0)) | (host >> 8));
		candidate.s6_addr[15] = (uint8_t)((address.s6_addr[15] & (prefix > 120 ? 0xffu << (128 - prefix) : 0)) | host);
		inet_ntop(AF_INET6, &candidate, text, sizeof(text));
		if (memcmp(&candidate, &address, sizeof(address)) == 0 || !address_is_free(core, network, text))
			continue;
		nic->ipv6 = text_copy(text);
		return 0;
	}
	return err_set(err, -ENOSPC, "network '%s' (%s) has no free IPv6 address: use a larger network", network->meta.name,
		       network->spec.ipv6);
}

static int check_ipv6(const struct network *network, const char *address, struct err *err)
{
	struct in6_addr gateway, own;
	unsigned prefix;

	if (!parse_subnet6(network->spec.ipv6, &gateway, &prefix))
		return err_set(err, -EINVAL, "spec.nics.ipv6: network '%s' has no IPv6: leave the address out", network->meta.name);
	inet_pton(AF_INET6, address, &own);
	for (unsigned bit = 0; bit < prefix; bit++)
		if ((own.s6_addr[bit / 8] ^ gateway.s6_addr[bit / 8]) & (0x80 >> (bit % 8)))
			return err_set(err, -EINVAL, "spec.nics.ipv6: %s is not in network '%s' (%s): use one that is", address,
				       network->meta.name, network->spec.ipv6);
	return 0;
}

static void choose_mac(struct core *core, const struct network *network, struct instance_nic *nic)
{
	for (;;) {
		uint64_t random = rng_next(core->params.rng);
		auto_free char *mac = text_format("52:54:00:%02x:%02x:%02x", (unsigned)random & 0xff, (unsigned)(random >> 8) & 0xff,
						  (unsigned)(random >> 16) & 0xff);
		auto_free char *key = text_format("claim/mac/%s/%s", network->meta.uid, mac);

		if (!claim_is_free(core, key))
			continue;
		nic->mac = take(mac);
		return;
	}
}

static void choose_number(struct core *core, struct instance_nic *nic)
{
	for (;;) {
		int64_t number = core->next_nic = core->next_nic % NIC_NUMBERS + 1;
		auto_free char *key = text_format("claim/nic/%" PRId64, number);

		if (!claim_is_free(core, key))
			continue;
		nic->number = number;
		return;
	}
}

static void lower_case(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'F')
			*text = (char)(*text + 'a' - 'A');
}

/* Claims are texts: one address must have one text (RFC 5952). */
static void make_canonical(struct instance_nic *nic)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (nic->ipv6 && inet_pton(AF_INET6, nic->ipv6, &address) == 1)
		text_replace(&nic->ipv6, inet_ntop(AF_INET6, &address, text, sizeof(text)));
}

static int fill_nic(struct core *core, struct instance_nic *nic, struct err *err)
{
	uint32_t host = FIRST_HOST;
	struct network *network;
	void *found;
	int r = find_object(core, KIND_NETWORK, nic->network, &found, err);

	if (r < 0)
		return err_prefix(err, "spec.nics.network");
	network = found;
	if (network->meta.deleted_at)
		return err_set(err, -EBUSY, "spec.nics.network: network '%s' is being deleted: use another one", nic->network);
	text_replace(&nic->network_uid, network->meta.uid);
	r = nic->ipv4 ? check_ipv4(network, nic->ipv4, err) : choose_ipv4(core, network, nic, &host, err);
	if (r == 0)
		r = nic->ipv6 ? check_ipv6(network, nic->ipv6, err) : choose_ipv6(core, network, nic, host, err);
	if (r < 0)
		return r;
	make_canonical(nic);
	if (nic->mac)
		lower_case(nic->mac);
	else
		choose_mac(core, network, nic);
	choose_number(core, nic);
	return 0;
}

int instance_fill(struct core *core, struct instance *instance, struct err *err)
{
	const struct image *image = objects_find(core->objects, KIND_IMAGE, NULL, instance->spec.image);
	int r = pool_find(core, instance->spec.pool, &instance->spec.pool_uid, err);

	if (r < 0)
		return err_prefix(err, "spec.pool");
	r = instance_place(core, instance, err);
	text_replace(&instance->spec.image_uid, image ? image->meta.uid : NULL);
	for (size_t i = 0; i < instance->spec.nics.count && r == 0; i++)
		r = fill_nic(core, field_list_at(&instance->spec.nics, struct instance_nic, i), err);
	if (r == 0)
		r = instance_fill_volumes(core, instance, err);
	if (r == 0)
		r = instance_fill_mounts(core, instance, err);
	return r;
}

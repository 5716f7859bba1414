#include "port/pages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

/* Crystals differ by 100 parts in a million at most: 3 ms in such a time. */
#define WINDOW_NS 30000000000ull

/* "[HOST]:PORT" and "HOST:PORT" without brackets; a single ':' tells a port from an IPv6 address. */
static int split(const char *text, char host[64], const char **ret_port)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	bool has_brackets = text[0] == '[';

	*ret_port = NULL;
	if (has_brackets) {
		text++;
		end = strchr(text, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return -EINVAL;
		*ret_port = end[1] == ':' ? end + 2 : NULL;
	} else if (colon && strchr(text, ':') == colon) {
		end = colon;
		*ret_port = colon + 1;
	}
	if ((size_t)(end - text) >= 64)
		return -EINVAL;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	return 0;
}

static int parse_port(const char *text, in_port_t *ret_port)
{
	unsigned long port = PAGES_PORT;
	char *end;

	if (text) {
		errno = 0;
		port = strtoul(text, &end, 10);
		if (*text < '0' || *text > '9' || *end != '\0' || errno || port < 1 || port > 65535)
			return -EINVAL;
	}
	*ret_port = htons((in_port_t)port);
	return 0;
}

int pages_address_parse(const char *text, union pages_address *ret_address, struct err *err)
{
	union pages_address address = { 0 };
	const char *port_text;
	char host[64];
	in_port_t port;

	if (split(text, host, &port_text) < 0 || parse_port(port_text, &port) < 0)
		return err_set(err, -EINVAL, "'%s' is no address: it should look like 10.0.0.1:%d or [fd00::1]:%d", shown(text), PAGES_PORT, PAGES_PORT);
	if (inet_pton(AF_INET, host, &address.ipv4.sin_addr) == 1) {
		address.ipv4.sin_family = AF_INET;
		address.ipv4.sin_port = port;
	} else if (inet_pton(AF_INET6, host, &address.ipv6.sin6_addr) == 1) {
		address.ipv6.sin6_family = AF_INET6;
		address.ipv6.sin6_port = port;
	} else {
		return err_set(err, -EINVAL, "'%s' is no IPv4 or IPv6 address: names are not looked up here", shown(host));
	}
	*ret_address = address;
	return 0;
}

socklen_t pages_address_size(const union pages_address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->ipv4) : sizeof(address->ipv6);
}

static bool is_group(const union pages_address *address)
{
	return address->any.sa_family == AF_INET ? IN_MULTICAST(ntohl(address->ipv4.sin_addr.s_addr)) :
						   IN6_IS_ADDR_MULTICAST(&address->ipv6.sin6_addr);
}

int pages_check_count(size_t count, struct err *err)
{
	if (count > PAGES_PEERS_MAX)
		return err_set(err, -E2BIG, "telemetry: %zu hosts are more than %d", count, PAGES_PEERS_MAX);
	return 0;
}

int pages_check_params(const struct pages_params *params, struct err *err)
{
	static const uint8_t none[PAGES_KEY_BYTES];
	sa_family_t family = params->bind.any.sa_family, group = params->group.any.sa_family;

	assert(params->own);
	if (memcmp(params->node, none, PAGE_UID_BYTES) == 0)
		return err_set(err, -EINVAL, "telemetry: the node's uid is empty");
	if (memcmp(params->key, none, PAGES_KEY_BYTES) == 0)
		return err_set(err, -EINVAL, "telemetry: the cluster's key is empty");
	if (family != AF_INET && family != AF_INET6)
		return err_set(err, -EINVAL, "telemetry: an IPv4 or IPv6 address to listen at is needed");
	if (group == AF_UNSPEC)
		return 0;
	if (group != family || !is_group(&params->group))
		return err_set(err, -EINVAL, "telemetry: the group is no multicast address of the same family as the address to listen at: "
			       "use one of 239.0.0.0/8 or ff00::/8");
	return 0;
}

int pages_unknown(const uint8_t node[PAGE_UID_BYTES], struct err *err)
{
	char text[PAGE_UID_TEXT_SIZE];

	return err_set(err, -ENOENT, "telemetry: nothing came from node %s", page_uid_text(node, text));
}

void pages_clock_note(struct pages_clock *clock, uint64_t now_ns, uint64_t stamp_ns)
{
	int64_t difference = (int64_t)(now_ns - stamp_ns);

	if (clock->has_least && now_ns - clock->window_begin_ns >= WINDOW_NS) {
		clock->previous_least_ns = clock->least_ns;
		/* After a long silence nothing that was seen is of late. */
		clock->has_previous = now_ns - clock->window_begin_ns < 2 * WINDOW_NS;
		clock->has_least = false;
	}
	if (!clock->has_least)
		clock->window_begin_ns = now_ns;
	if (!clock->has_least || difference < clock->least_ns)
		clock->least_ns = difference;
	clock->has_least = true;
}

uint64_t pages_clock_age_ns(const struct pages_clock *clock, uint64_t now_ns, uint64_t stamp_ns)
{
	int64_t least = clock->has_previous && clock->previous_least_ns < clock->least_ns ? clock->previous_least_ns : clock->least_ns;
	int64_t age = (int64_t)(now_ns - stamp_ns - (uint64_t)least);	/* Others' stamps may be anything. */

	return age > 0 ? (uint64_t)age : 0;
}

uint64_t pages_now_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

bool pages_is_later(const struct page_host *host, const struct page_host *old)
{
	if (memcmp(host->boot, old->boot, sizeof(host->boot)) == 0)
		return host->stamp_ns > old->stamp_ns;
	return host->wall_ms > old->wall_ms;
}

void pages_mac(const uint8_t key[PAGES_KEY_BYTES], const void *bytes, size_t size, uint8_t ret_mac[PAGES_MAC_BYTES])
{
	unsigned length = PAGES_MAC_BYTES;

	if (!HMAC(EVP_sha256(), key, PAGES_KEY_BYTES, bytes, size, ret_mac, &length))
		abort();	/* Only memory can lack. */
}

bool pages_mac_is(const uint8_t key[PAGES_KEY_BYTES], const void *bytes, size_t size, const uint8_t mac[PAGES_MAC_BYTES])
{
	uint8_t right[PAGES_MAC_BYTES];

	pages_mac(key, bytes, size, right);
	return CRYPTO_memcmp(right, mac, sizeof(right)) == 0;
}

/* The addresses of an interface: brought to exactly what is asked for; and its default routes. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <string.h>

#include "base/vec.h"
#include "driver/fabric/bridge/link.h"

struct addresses {
	unsigned index;			/* Of the interface. */
	VEC(struct link_address) items;
};

static struct in6_addr map_ipv4(const void *ipv4)
{
	struct in6_addr address = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(&address.s6_addr[12], ipv4, sizeof(struct in_addr));
	return address;
}

static int collect(void *data, const struct nlmsghdr *header, struct err *err)
{
	const struct ifaddrmsg *info = NLMSG_DATA(header);
	const struct rtattr *attributes[IFA_MAX + 1], *local;
	struct addresses *addresses = data;
	struct link_address *address;

	(void)err;
	if (header->nlmsg_type != RTM_NEWADDR || info->ifa_index != addresses->index)
		return 0;
	netlink_attributes(header, sizeof(*info), attributes, ARRAY_COUNT(attributes));
	local = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
	if (!local)
		return 0;
	address = vec_push(&addresses->items);
	*address = (struct link_address){ .family = info->ifa_family, .prefix = info->ifa_prefixlen };
	if (info->ifa_family == AF_INET)
		address->address = map_ipv4(RTA_DATA(local));
	else
		memcpy(&address->address, RTA_DATA(local), sizeof(address->address));
	return 0;
}

static void put_broadcast(struct netlink_message *message, const struct link_address *address)
{
	struct in_addr broadcast;

	memcpy(&broadcast, &address->address.s6_addr[12], sizeof(broadcast));
	broadcast.s_addr |= htonl(UINT32_MAX >> address->prefix);
	netlink_put(message, IFA_BROADCAST, &broadcast, sizeof(broadcast));
}

static int change(struct netlink *netlink, uint16_t type, uint16_t flags, unsigned index,
		  const struct link_address *address, struct err *err)
{
	/* No duplicate address detection: a bridge without ports would wait for it for ever. */
	struct ifaddrmsg info = {
		.ifa_family = (uint8_t)address->family, .ifa_prefixlen = (uint8_t)address->prefix,
		.ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0, .ifa_index = index,
	};
	size_t skipped = address->family == AF_INET ? 12 : 0;
	struct netlink_message message;

	netlink_begin(&message, type, flags, &info, sizeof(info));
	netlink_put(&message, IFA_LOCAL, &address->address.s6_addr[skipped], 16 - skipped);
	netlink_put(&message, IFA_ADDRESS, &address->address.s6_addr[skipped], 16 - skipped);
	if (address->has_broadcast)
		put_broadcast(&message, address);
	return netlink_request(netlink, &message, err);
}

static bool has_address(const struct link_address *addresses, size_t count, const struct link_address *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (addresses[i].family == wanted->family && addresses[i].prefix == wanted->prefix &&
		    IN6_ARE_ADDR_EQUAL(&addresses[i].address, &wanted->address))
			return true;
	return false;
}

static int reconcile(struct netlink *netlink, const struct addresses *present, const struct link_address *addresses,
		     size_t count, struct err *err)
{
	for (size_t i = 0; i < present->items.count; i++) {
		const struct link_address *old = &present->items.items[i];
		int r = has_address(addresses, count, old) ? 0 : change(netlink, RTM_DELADDR, 0, present->index, old, err);

		/* Removing an address takes the secondary ones of its subnet with it. */
		if (r < 0 && r != -EADDRNOTAVAIL)
			return r;
	}
	for (size_t i = 0; i < count; i++) {
		int r = change(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, present->index, &addresses[i], err);

		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

int link_set_addresses(struct netlink *netlink, const char *name, const struct link_address *addresses, size_t count,
		       struct err *err)
{
	struct addresses present = { 0 };
	struct netlink_message message;
	struct link link;
	int r;

	if ((r = link_get(netlink, name, &link, err)) < 0)
		return r;
	present.index = link.index;
	netlink_begin(&message, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){ 0 }, sizeof(struct ifaddrmsg));
	r = netlink_query(netlink, &message, collect, &present, err);
	if (r == 0)
		r = reconcile(netlink, &present, addresses, count, err);
	vec_done(&present.items);
	return r < 0 ? err_prefix(err, "addresses of %s", name) : 0;
}

int link_set_default_route(struct netlink *netlink, const char *name, const struct in6_addr *gateway, unsigned metric,
			   struct err *err)
{
	bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(gateway);
	struct rtmsg info = {
		.rtm_family = is_ipv4 ? AF_INET : AF_INET6, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST,
	};
	size_t skipped = is_ipv4 ? 12 : 0;
	struct netlink_message message;
	struct link link;
	int r;

	if ((r = link_get(netlink, name, &link, err)) < 0)
		return r;
	netlink_begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &info, sizeof(info));
	netlink_put_u32(&message, RTA_OIF, link.index);
	netlink_put(&message, RTA_GATEWAY, &gateway->s6_addr[skipped], 16 - skipped);
	netlink_put_u32(&message, RTA_PRIORITY, metric);
	return netlink_request(netlink, &message, err) < 0 ? err_prefix(err, "default route of %s", name) : 0;
}

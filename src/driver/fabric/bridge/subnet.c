#include "driver/fabric/bridge/subnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <string.h>

#include "base/mem.h"
#include "port/fabric.h"

struct wanted { struct in_addr address; unsigned prefix; };

static struct in_addr read_ipv4(const struct rtattr *attribute)
{
	struct in_addr address = { 0 };

	if (attribute && RTA_PAYLOAD(attribute) >= sizeof(address))
		memcpy(&address, RTA_DATA(attribute), sizeof(address));
	return address;
}

static int compare(const struct wanted *wanted, const char *what, struct in_addr address, unsigned prefix,
		   unsigned index, struct err *err)
{
	char ours[INET_ADDRSTRLEN], theirs[INET_ADDRSTRLEN], ifname[IFNAMSIZ] = "?";

	if (!fabric_subnets_overlap(wanted->address, wanted->prefix, address, prefix))
		return 0;
	if_indextoname(index, ifname);
	return err_set(err, -EBUSY, "subnet %s/%u overlaps the host's %s %s/%u on %s: choose another one",
		       inet_ntop(AF_INET, &wanted->address, ours, sizeof(ours)), wanted->prefix, what,
		       inet_ntop(AF_INET, &address, theirs, sizeof(theirs)), prefix, ifname);
}

static int compare_address(void *data, const struct nlmsghdr *header, struct err *err)
{
	const struct ifaddrmsg *info = NLMSG_DATA(header);
	const struct rtattr *attributes[IFA_MAX + 1];

	netlink_attributes(header, sizeof(*info), attributes, ARRAY_COUNT(attributes));
	if (header->nlmsg_type != RTM_NEWADDR || info->ifa_family != AF_INET)
		return 0;
	return compare(data, "address", read_ipv4(attributes[IFA_LOCAL]), info->ifa_prefixlen, info->ifa_index, err);
}

/* A default route, or its two halves as VPNs set them, is in nobody's way; local ones belong to addresses. */
static int compare_route(void *data, const struct nlmsghdr *header, struct err *err)
{
	const struct rtmsg *info = NLMSG_DATA(header);
	const struct rtattr *attributes[RTA_MAX + 1];

	netlink_attributes(header, sizeof(*info), attributes, ARRAY_COUNT(attributes));
	if (header->nlmsg_type != RTM_NEWROUTE || info->rtm_family != AF_INET || info->rtm_dst_len <= 1 ||
	    info->rtm_type != RTN_UNICAST || (info->rtm_flags & RTM_F_CLONED))
		return 0;
	return compare(data, "route", read_ipv4(attributes[RTA_DST]), info->rtm_dst_len, netlink_u32(attributes[RTA_OIF]), err);
}

int subnet_check_free(struct netlink *netlink, struct in_addr address, unsigned prefix, struct err *err)
{
	struct wanted wanted = { address, prefix };
	struct netlink_message message;
	int r;

	netlink_begin(&message, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){ .ifa_family = AF_INET }, sizeof(struct ifaddrmsg));
	if ((r = netlink_query(netlink, &message, compare_address, &wanted, err)) < 0)
		return r;
	netlink_begin(&message, RTM_GETROUTE, NLM_F_DUMP, &(struct rtmsg){ .rtm_family = AF_INET }, sizeof(struct rtmsg));
	return netlink_query(netlink, &message, compare_route, &wanted, err);
}

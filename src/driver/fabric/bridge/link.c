#include "driver/fabric/bridge/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/net_namespace.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/mem.h"
#include "base/str.h"

static void read_link(const struct nlmsghdr *header, struct link *ret_link)
{
	const struct ifinfomsg *info = NLMSG_DATA(header);
	const struct rtattr *attributes[IFLA_MAX + 1];

	netlink_attributes(header, sizeof(*info), attributes, ARRAY_COUNT(attributes));
	*ret_link = (struct link){ .index = (unsigned)info->ifi_index, .master = netlink_u32(attributes[IFLA_MASTER]),
				   .peer_namespace = LINK_NO_NAMESPACE };
	if (attributes[IFLA_LINK_NETNSID])
		ret_link->peer_namespace = (int)netlink_u32(attributes[IFLA_LINK_NETNSID]);
	snprintf(ret_link->name, sizeof(ret_link->name), "%s", netlink_text(attributes[IFLA_IFNAME]));
	snprintf(ret_link->alias, sizeof(ret_link->alias), "%s", netlink_text(attributes[IFLA_IFALIAS]));
}

static int take_link(void *data, const struct nlmsghdr *header, struct err *err)
{
	(void)err;
	read_link(header, data);
	return 0;
}

/* Statistics are most of an answer and not wanted here. */
static void begin_question(struct netlink_message *message, uint16_t flags)
{
	netlink_begin(message, RTM_GETLINK, flags, &(struct ifinfomsg){ 0 }, sizeof(struct ifinfomsg));
	netlink_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

int link_get(struct netlink *netlink, const char *name, struct link *ret_link, struct err *err)
{
	struct netlink_message message;
	int r;

	begin_question(&message, 0);
	netlink_put_text(&message, IFLA_IFNAME, name);
	r = netlink_query(netlink, &message, take_link, ret_link, err);
	if (r == -ENODEV)
		return err_set(err, -ENOENT, "interface %s does not exist", name);
	return r < 0 ? err_prefix(err, "look up %s", name) : 0;
}

struct listing { link_fn *fn; void *data; };

static int list_one(void *data, const struct nlmsghdr *header, struct err *err)
{
	struct listing *listing = data;
	struct link link;

	if (header->nlmsg_type != RTM_NEWLINK)
		return 0;
	read_link(header, &link);
	return listing->fn(listing->data, &link, err);
}

int link_list(struct netlink *netlink, link_fn *fn, void *data, struct err *err)
{
	struct netlink_message message;

	begin_question(&message, NLM_F_DUMP);
	return netlink_query(netlink, &message, list_one, &(struct listing){ fn, data }, err);
}

int link_add_bridge(struct netlink *netlink, const char *name, const uint8_t mac[6], struct err *err)
{
	struct netlink_message message;
	struct rtattr *info, *data;
	int r;

	netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &(struct ifinfomsg){ 0 }, sizeof(struct ifinfomsg));
	netlink_put_text(&message, IFLA_IFNAME, name);
	netlink_put(&message, IFLA_ADDRESS, mac, 6);
	info = netlink_nest(&message, IFLA_LINKINFO);
	netlink_put_text(&message, IFLA_INFO_KIND, "bridge");
	data = netlink_nest(&message, IFLA_INFO_DATA);
	netlink_put_u32(&message, IFLA_BR_STP_STATE, 0);
	netlink_put_u32(&message, IFLA_BR_FORWARD_DELAY, 0);
	netlink_nest_end(&message, data);
	netlink_nest_end(&message, info);
	r = netlink_request(netlink, &message, err);
	if (r < 0 && r != -EEXIST)
		return err_prefix(err, "make bridge %s", name);
	return 0;
}

int link_add_tap(const char *name, struct err *err)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "open /dev/net/tun: %m: load it with 'modprobe tun'");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	/* Busy means a machine has it open: then it exists, as it should. */
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return errno == EBUSY ? 0 : err_set(err, -errno, "make tap %s: %m", name);
	if (ioctl(fd, TUNSETPERSIST, 1) < 0)
		return err_set(err, -errno, "keep tap %s: %m", name);
	return 0;
}

/* A pair whose ends have to be moved apart first would wait for every reader of the lists of interfaces, twice. */
int link_add_veth(struct netlink *netlink, const struct link_veth *veth, struct err *err)
{
	struct netlink_message message;
	struct rtattr *info, *data, *peer;

	netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &(struct ifinfomsg){ 0 }, sizeof(struct ifinfomsg));
	netlink_put_text(&message, IFLA_IFNAME, veth->name);
	netlink_put_u32(&message, IFLA_MTU, veth->mtu);
	info = netlink_nest(&message, IFLA_LINKINFO);
	netlink_put_text(&message, IFLA_INFO_KIND, "veth");
	data = netlink_nest(&message, IFLA_INFO_DATA);
	peer = netlink_nest(&message, VETH_INFO_PEER);
	netlink_put_raw(&message, &(struct ifinfomsg){ 0 }, sizeof(struct ifinfomsg));
	netlink_put_text(&message, IFLA_IFNAME, veth->peer_name);
	netlink_put(&message, IFLA_ADDRESS, veth->peer_mac, 6);
	netlink_put_u32(&message, IFLA_MTU, veth->mtu);
	netlink_put_u32(&message, IFLA_NET_NS_FD, (uint32_t)veth->peer_namespace_fd);
	netlink_nest_end(&message, peer);
	netlink_nest_end(&message, data);
	netlink_nest_end(&message, info);
	return netlink_request(netlink, &message, err) < 0 ? err_prefix(err, "make veth pair %s, %s", veth->name, veth->peer_name) : 0;
}

static int take_namespace(void *data, const struct nlmsghdr *header, struct err *err)
{
	const struct rtattr *attributes[NETNSA_MAX + 1];

	(void)err;
	netlink_attributes(header, sizeof(struct rtgenmsg), attributes, ARRAY_COUNT(attributes));
	if (attributes[NETNSA_NSID])
		*(int *)data = (int)netlink_u32(attributes[NETNSA_NSID]);
	return 0;
}

int link_namespace(struct netlink *netlink, int namespace_fd, int *ret_namespace, struct err *err)
{
	struct netlink_message message;
	int number = NETNSA_NSID_NOT_ASSIGNED, r;

	netlink_begin(&message, RTM_GETNSID, 0, &(struct rtgenmsg){ 0 }, sizeof(struct rtgenmsg));
	netlink_put_u32(&message, NETNSA_FD, (uint32_t)namespace_fd);
	r = netlink_query(netlink, &message, take_namespace, &number, err);
	if (r == 0)
		*ret_namespace = number;
	return r < 0 ? err_prefix(err, "look up a network namespace") : 0;
}

int link_remove(struct netlink *netlink, const char *name, struct err *err)
{
	struct netlink_message message;
	int r;

	netlink_begin(&message, RTM_DELLINK, 0, &(struct ifinfomsg){ 0 }, sizeof(struct ifinfomsg));
	netlink_put_text(&message, IFLA_IFNAME, name);
	r = netlink_request(netlink, &message, err);
	return r < 0 && r != -ENODEV ? err_prefix(err, "remove %s", name) : 0;
}

int link_remove_group(struct netlink *netlink, uint32_t group, struct err *err)
{
	struct netlink_message message;
	int r;

	netlink_begin(&message, RTM_DELLINK, 0, &(struct ifinfomsg){ 0 }, sizeof(struct ifinfomsg));
	netlink_put_u32(&message, IFLA_GROUP, group);
	r = netlink_request(netlink, &message, err);
	return r < 0 && r != -ENODEV ? err_prefix(err, "remove interfaces of group %u", group) : 0;
}

/* What the kernel would add by itself (a link-local address) would listen beside ours. */
static void put_no_automatic_addresses(struct netlink_message *message)
{
	struct rtattr *families = netlink_nest(message, IFLA_AF_SPEC);
	struct rtattr *ipv6 = netlink_nest(message, AF_INET6);
	uint8_t none = IN6_ADDR_GEN_MODE_NONE;

	netlink_put(message, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
	netlink_nest_end(message, ipv6);
	netlink_nest_end(message, families);
}

int link_stop_automatic_addresses(struct netlink *netlink, const char *name, struct err *err)
{
	struct netlink_message message;

	if (access("/proc/sys/net/ipv6", F_OK) < 0)
		return 0;
	netlink_begin(&message, RTM_NEWLINK, 0, &(struct ifinfomsg){ 0 }, sizeof(struct ifinfomsg));
	netlink_put_text(&message, IFLA_IFNAME, name);
	put_no_automatic_addresses(&message);
	return netlink_request(netlink, &message, err) < 0 ? err_prefix(err, "set up %s", name) : 0;
}

int link_set_up(struct netlink *netlink, const char *name, struct err *err)
{
	struct ifinfomsg up = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWLINK, 0, &up, sizeof(up));
	netlink_put_text(&message, IFLA_IFNAME, name);
	return netlink_request(netlink, &message, err) < 0 ? err_prefix(err, "set up %s", name) : 0;
}

int link_set(struct netlink *netlink, const char *name, const struct link_settings *settings, struct err *err)
{
	struct ifinfomsg up = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWLINK, 0, &up, sizeof(up));
	netlink_put_text(&message, IFLA_IFNAME, name);
	if (settings->alias)
		netlink_put(&message, IFLA_IFALIAS, settings->alias, strlen(settings->alias));
	netlink_put_u32(&message, IFLA_MTU, settings->mtu);
	netlink_put_u32(&message, IFLA_GROUP, settings->group);
	if (settings->mac)
		netlink_put(&message, IFLA_ADDRESS, settings->mac, 6);
	if (settings->master)
		netlink_put_u32(&message, IFLA_MASTER, settings->master);
	if (access("/proc/sys/net/ipv6", F_OK) == 0)
		put_no_automatic_addresses(&message);
	return netlink_request(netlink, &message, err) < 0 ? err_prefix(err, "set up %s", name) : 0;
}

#include "driver/fabric/bridge/element.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void put(struct element_value *value, const char *text, const void *bytes, size_t size)
{
	size_t length = strlen(value->text), padded = (size + 3) & ~(size_t)3;

	assert(value->size + padded <= sizeof(value->bytes));
	snprintf(value->text + length, sizeof(value->text) - length, "%s%s", length ? " . " : "", text);
	memcpy(value->bytes + value->size, bytes, size);
	value->size += padded;
}

void element_put_ifname(struct element_value *value, const char *ifname)
{
	char bytes[IFNAMSIZ] = { 0 };

	snprintf(bytes, sizeof(bytes), "%s", ifname);
	put(value, ifname, bytes, sizeof(bytes));
}

void element_put_mac(struct element_value *value, const uint8_t mac[6])
{
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	put(value, text, mac, 6);
}

void element_put_ipv4(struct element_value *value, struct in_addr address)
{
	char text[INET_ADDRSTRLEN];

	put(value, inet_ntop(AF_INET, &address, text, sizeof(text)), &address, sizeof(address));
}

void element_put_ipv6(struct element_value *value, const struct in6_addr *address)
{
	char text[INET6_ADDRSTRLEN];

	put(value, inet_ntop(AF_INET6, address, text, sizeof(text)), address, sizeof(*address));
}

void element_put_number(struct element_value *value, const struct in6_addr *address)
{
	char text[2 + 2 * sizeof(*address) + 1] = "0x";

	for (size_t i = 0; i < sizeof(*address); i++)
		snprintf(text + 2 + 2 * i, 3, "%02x", address->s6_addr[i]);
	put(value, text, address, sizeof(*address));
}

void element_put_protocol(struct element_value *value, bool is_tcp)
{
	uint8_t number = is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
	char text[4];

	snprintf(text, sizeof(text), "%u", number);
	put(value, text, &number, sizeof(number));
}

void element_put_port(struct element_value *value, uint16_t port)
{
	uint16_t bytes = htons(port);
	char text[6];

	snprintf(text, sizeof(text), "%u", port);
	put(value, text, &bytes, sizeof(bytes));
}

bool element_equal(const struct element *a, const struct element *b)
{
	return a->family == b->family && text_equal(a->set, b->set) &&
	       text_equal(a->key.text, b->key.text) && text_equal(a->value.text, b->value.text);
}

void element_write(const struct element *element, const char *table, struct str *out)
{
	str_printf(out, "add element %s %s %s { %s", element->family == NFPROTO_INET ? "inet" : "bridge", table,
		   element->set, element->key.text);
	if (element->value.size)
		str_printf(out, " : %s", element->value.text);
	str_append(out, " }\n");
}

/*
 * ---- nfnetlink ----
 */

static uint16_t message_type(unsigned type)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

static void push(struct str *batch, struct netlink_message *message)
{
	str_append_bytes(batch, netlink_header(message), message->size);
}

/* NFNL_MSG_BATCH_BEGIN or _END around the messages of one transaction. */
static void push_bracket(struct str *batch, uint16_t type)
{
	struct nfgenmsg head = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };
	struct netlink_message message;

	netlink_begin(&message, type, 0, &head, sizeof(head));
	push(batch, &message);
}

static void put_value(struct netlink_message *message, uint16_t type, const struct element_value *value)
{
	struct rtattr *nest = netlink_nest(message, NLA_F_NESTED | type);

	netlink_put(message, NFTA_DATA_VALUE, value->bytes, value->size);
	netlink_nest_end(message, nest);
}

static void push_element(struct str *batch, unsigned type, uint16_t flags, const char *table, const struct element *element)
{
	struct nfgenmsg head = { .nfgen_family = (uint8_t)element->family, .version = NFNETLINK_V0 };
	struct netlink_message message;
	struct rtattr *list, *item;

	netlink_begin(&message, message_type(type), flags, &head, sizeof(head));
	netlink_put_text(&message, NFTA_SET_ELEM_LIST_TABLE, table);
	netlink_put_text(&message, NFTA_SET_ELEM_LIST_SET, element->set);
	list = netlink_nest(&message, NLA_F_NESTED | NFTA_SET_ELEM_LIST_ELEMENTS);
	item = netlink_nest(&message, NLA_F_NESTED | NFTA_LIST_ELEM);
	put_value(&message, NFTA_SET_ELEM_KEY, &element->key);
	if (element->value.size)
		put_value(&message, NFTA_SET_ELEM_DATA, &element->value);
	netlink_nest_end(&message, item);
	netlink_nest_end(&message, list);
	push(batch, &message);
}

int element_apply(struct netlink *netlink, const char *table, const struct elements *deleted, const struct elements *added,
		  struct err *err)
{
	size_t count = deleted->items.count + added->items.count;
	auto_str struct str batch = { 0 };

	if (!count)
		return 0;
	push_bracket(&batch, NFNL_MSG_BATCH_BEGIN);
	/* An acknowledgement of the last one, or an error of an earlier one, is the answer to all. */
	for (size_t i = 0; i < deleted->items.count; i++)
		push_element(&batch, NFT_MSG_DELSETELEM, --count ? 0 : NLM_F_ACK, table, &deleted->items.items[i]);
	for (size_t i = 0; i < added->items.count; i++)
		push_element(&batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE | (--count ? 0 : NLM_F_ACK), table, &added->items.items[i]);
	push_bracket(&batch, NFNL_MSG_BATCH_END);
	return netlink_request_batch(netlink, &batch, err) < 0 ? err_prefix(err, "change rules of %s", table) : 0;
}

static int take_generation(void *data, const struct nlmsghdr *header, struct err *err)
{
	const struct rtattr *attributes[NFTA_GEN_MAX + 1];

	(void)err;
	netlink_attributes(header, sizeof(struct nfgenmsg), attributes, ARRAY_COUNT(attributes));
	*(uint32_t *)data = ntohl(netlink_u32(attributes[NFTA_GEN_ID]));
	return 0;
}

int element_generation(struct netlink *netlink, uint32_t *ret_generation, struct err *err)
{
	struct nfgenmsg head = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 };
	struct netlink_message message;

	netlink_begin(&message, message_type(NFT_MSG_GETGEN), 0, &head, sizeof(head));
	return netlink_query(netlink, &message, take_generation, ret_generation, err);
}

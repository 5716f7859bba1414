#include "driver/fabric/bridge/netlink.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum { TYPE_MASK = NLA_F_NET_BYTEORDER - 1 };	/* NLA_TYPE_MASK is a negative number to C. */

int netlink_open(struct netlink *netlink, int protocol, struct err *err)
{
	static const int on = 1;
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return err_set(err, -errno, "netlink: %m");
	/* Both exist since Linux 4.12; without them errors only have fewer words. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	*netlink = (struct netlink){ .fd = take_fd(fd), .buffer = alloc(NETLINK_REPLY_SIZE) };
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->fd > 0)
		close(netlink->fd);
	free(netlink->buffer);
	*netlink = (struct netlink){ 0 };
}

struct nlmsghdr *netlink_header(struct netlink_message *message)
{
	struct nlmsghdr *header = (struct nlmsghdr *)message->bytes;

	header->nlmsg_len = (uint32_t)message->size;
	return header;
}

void netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	*message = (struct netlink_message){ .size = NLMSG_SPACE(size) };
	*netlink_header(message) = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
	memcpy(message->bytes + NLMSG_HDRLEN, body, size);
}

void netlink_put(struct netlink_message *message, uint16_t type, const void *value, size_t size)
{
	struct rtattr attribute = { .rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(size) };

	assert(size <= sizeof(message->bytes) && message->size + RTA_SPACE(size) <= sizeof(message->bytes));
	memcpy(message->bytes + message->size, &attribute, sizeof(attribute));
	if (size)
		memcpy(message->bytes + message->size + RTA_LENGTH(0), value, size);
	message->size += RTA_SPACE(size);
}

void netlink_put_raw(struct netlink_message *message, const void *value, size_t size)
{
	size_t space = NLMSG_ALIGN(size);

	assert(size <= sizeof(message->bytes) && message->size + space <= sizeof(message->bytes));
	memcpy(message->bytes + message->size, value, size);
	message->size += space;
}

void netlink_put_text(struct netlink_message *message, uint16_t type, const char *text)
{
	netlink_put(message, type, text, strlen(text) + 1);
}

void netlink_put_u32(struct netlink_message *message, uint16_t type, uint32_t value)
{
	netlink_put(message, type, &value, sizeof(value));
}

struct rtattr *netlink_nest(struct netlink_message *message, uint16_t type)
{
	struct rtattr *nest = (struct rtattr *)(message->bytes + message->size);

	netlink_put(message, type, NULL, 0);
	return nest;
}

void netlink_nest_end(struct netlink_message *message, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)(message->bytes + message->size - (char *)nest);
}

/* The kernel's own explanation of an error, or null. */
static const char *extended_ack(const struct nlmsghdr *header)
{
	const struct nlmsgerr *error = NLMSG_DATA(header);
	const struct rtattr *attributes[NLMSGERR_ATTR_MAX + 1];
	/* With NETLINK_CAP_ACK only the header of our message is repeated. */
	size_t fixed = sizeof(*error), size = header->nlmsg_len - NLMSG_LENGTH(0);

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS) || !(header->nlmsg_flags & NLM_F_CAPPED) || size < fixed)
		return NULL;
	netlink_parse((const struct rtattr *)((const char *)error + fixed), size - fixed, attributes, ARRAY_COUNT(attributes));
	return attributes[NLMSGERR_ATTR_MSG] ? netlink_text(attributes[NLMSGERR_ATTR_MSG]) : NULL;
}

static int read_error(const struct nlmsghdr *header, struct err *err)
{
	const struct nlmsgerr *error = NLMSG_DATA(header);
	const char *text;

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return err_set(err, -EPROTO, "netlink: answer cut short");
	if (!error->error)
		return 0;
	text = extended_ack(header);
	return text ? err_set(err, error->error, "%s", text) : err_set(err, error->error, "%m");
}

/* Reads answers until the one that ends them. */
static int receive(struct netlink *netlink, netlink_fn *fn, void *data, struct err *err)
{
	int r = 0;

	for (;;) {
		ssize_t got = recv(netlink->fd, netlink->buffer, NETLINK_REPLY_SIZE, 0);
		const struct nlmsghdr *header;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, -errno, "netlink: %m");
		for (size_t at = 0; at < (size_t)got; at += NLMSG_ALIGN(header->nlmsg_len)) {
			header = (const struct nlmsghdr *)(netlink->buffer + at);
			if (!NLMSG_OK(header, (size_t)got - at))
				return err_set(err, -EPROTO, "netlink: answer cut short");
			if (header->nlmsg_seq != netlink->sequence)
				continue;
			if (header->nlmsg_type == NLMSG_DONE)
				return r;
			if (header->nlmsg_type == NLMSG_ERROR)
				return r < 0 ? r : read_error(header, err);
			if (fn && r == 0)
				r = fn(data, header, err);
		}
	}
}

static int transact(struct netlink *netlink, struct netlink_message *message, netlink_fn *fn, void *data, struct err *err)
{
	netlink_header(message)->nlmsg_seq = ++netlink->sequence;
	if (send(netlink->fd, message->bytes, message->size, 0) < 0)
		return err_set(err, -errno, "netlink: %m");
	return receive(netlink, fn, data, err);
}

int netlink_request(struct netlink *netlink, struct netlink_message *message, struct err *err)
{
	netlink_header(message)->nlmsg_flags |= NLM_F_ACK;
	return transact(netlink, message, NULL, NULL, err);
}

int netlink_request_batch(struct netlink *netlink, struct str *messages, struct err *err)
{
	struct nlmsghdr *header;

	netlink->sequence++;
	for (size_t at = 0; at < messages->size; at += NLMSG_ALIGN(header->nlmsg_len)) {
		header = (struct nlmsghdr *)(messages->data + at);
		header->nlmsg_seq = netlink->sequence;
	}
	if (send(netlink->fd, messages->data, messages->size, 0) < 0)
		return err_set(err, -errno, "netlink: %m");
	return receive(netlink, NULL, NULL, err);
}

int netlink_query(struct netlink *netlink, struct netlink_message *message, netlink_fn *fn, void *data, struct err *err)
{
	/* A question about one object is answered by one message and, because of ACK, an end. */
	if (!(netlink_header(message)->nlmsg_flags & NLM_F_DUMP))
		netlink_header(message)->nlmsg_flags |= NLM_F_ACK;
	return transact(netlink, message, fn, data, err);
}

void netlink_parse(const struct rtattr *first, size_t size, const struct rtattr **attributes, size_t count)
{
	memset(attributes, 0, count * sizeof(*attributes));
	for (size_t at = 0; at + sizeof(*first) <= size; ) {
		const struct rtattr *attribute = (const struct rtattr *)((const char *)first + at);
		size_t type = attribute->rta_type & TYPE_MASK;

		if (attribute->rta_len < sizeof(*attribute) || attribute->rta_len > size - at)
			return;
		if (type < count)
			attributes[type] = attribute;
		at += RTA_ALIGN((size_t)attribute->rta_len);
	}
}

void netlink_attributes(const struct nlmsghdr *header, size_t body_size, const struct rtattr **attributes, size_t count)
{
	size_t fixed = NLMSG_SPACE(body_size);
	bool has_room = header->nlmsg_len >= fixed;

	netlink_parse((const struct rtattr *)((const char *)header + fixed), has_room ? header->nlmsg_len - fixed : 0,
		      attributes, count);
}

const char *netlink_text(const struct rtattr *attribute)
{
	const char *text = attribute ? RTA_DATA(attribute) : NULL;

	return text && memchr(text, 0, RTA_PAYLOAD(attribute)) ? text : "";
}

uint32_t netlink_u32(const struct rtattr *attribute)
{
	uint32_t value = 0;

	if (attribute && RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

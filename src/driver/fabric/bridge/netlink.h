/*
 * netlink.h - netlink requests (RFC 3549, rtnetlink(7)) on one socket.
 *
 *	struct netlink_message message;
 *	netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE, &header, sizeof(header));
 *	netlink_put_text(&message, IFLA_IFNAME, "br0");
 *	r = netlink_request(netlink, &message, err);
 *
 * Errors:  the kernel's -errno; its own words (extended ack) are in the message when it has some.
 * Memory:  a message lives on the caller's stack; too much in it is a programmer's error.
 * Threads: one at a time per socket.
 */
#ifndef DRIVER_FABRIC_BRIDGE_NETLINK_H
#define DRIVER_FABRIC_BRIDGE_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { NETLINK_MESSAGE_SIZE = 2048, NETLINK_REPLY_SIZE = 64 << 10 };

struct netlink {
	int fd;
	uint32_t sequence;
	char *buffer;			/* NETLINK_REPLY_SIZE */
};

struct netlink_message {
	size_t size;
	char bytes[NETLINK_MESSAGE_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));	/* Begins with struct nlmsghdr. */
};

/* 'protocol': NETLINK_ROUTE, NETLINK_NETFILTER. */
int netlink_open(struct netlink *netlink, int protocol, struct err *err);
void netlink_close(struct netlink *netlink);		/* A zeroed one (fd 0 is never used) is fine. */

/* Its length in there is right only after this; the functions below that send it call it. */
struct nlmsghdr *netlink_header(struct netlink_message *message);

/* 'body' is the fixed part after the header (struct ifinfomsg, ...). */
void netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags, const void *body, size_t size);
void netlink_put(struct netlink_message *message, uint16_t type, const void *value, size_t size);
void netlink_put_text(struct netlink_message *message, uint16_t type, const char *text);
void netlink_put_u32(struct netlink_message *message, uint16_t type, uint32_t value);
/* Without a header of its own: a fixed part within a nest. */
void netlink_put_raw(struct netlink_message *message, const void *value, size_t size);
struct rtattr *netlink_nest(struct netlink_message *message, uint16_t type);
void netlink_nest_end(struct netlink_message *message, struct rtattr *nest);

/* Sends and waits for the acknowledgement. */
int netlink_request(struct netlink *netlink, struct netlink_message *message, struct err *err);

/* Several messages at once, of which at least one asks for an acknowledgement; the first answer counts. */
int netlink_request_batch(struct netlink *netlink, struct str *messages, struct err *err);

/* Sends a question; 'fn' sees each answer and returns 0 to go on. */
typedef int netlink_fn(void *data, const struct nlmsghdr *header, struct err *err);
int netlink_query(struct netlink *netlink, struct netlink_message *message, netlink_fn *fn, void *data, struct err *err);

/* Sorts the attributes that begin at 'first' by their type; absent ones are null. */
void netlink_parse(const struct rtattr *first, size_t size, const struct rtattr **attributes, size_t count);
/* Of an answer: what follows its fixed part of 'body_size'. */
void netlink_attributes(const struct nlmsghdr *header, size_t body_size, const struct rtattr **attributes, size_t count);
/* The value as text, "" when absent or not terminated. */
const char *netlink_text(const struct rtattr *attribute);
uint32_t netlink_u32(const struct rtattr *attribute);		/* 0 when absent. */

#endif

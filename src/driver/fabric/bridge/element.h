/*
 * element.h - members of the rules' sets and maps, for nft as text and for the kernel as bytes.
 *
 * The text goes into whole rule sets (rules.h). A change of a few elements goes straight to the
 * kernel over nfnetlink (linux/netfilter/nf_tables.h, "nf_tables set element netlink attributes"), in one
 * transaction: that takes 0.2 ms, where starting nft takes 5.
 *
 * A key or value is a concatenation of parts; each part is padded to 4 bytes (nft(8), "Concatenations").
 *
 * Errors:  -ENOENT the table, set or element is not there; -EEXIST the map has another value for the key.
 * Threads: one at a time per 'struct netlink'.
 */
#ifndef DRIVER_FABRIC_BRIDGE_ELEMENT_H
#define DRIVER_FABRIC_BRIDGE_ELEMENT_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/vec.h"
#include "driver/fabric/bridge/netlink.h"

enum { ELEMENT_TEXT_SIZE = 160, ELEMENT_BYTES_MAX = 64 };

struct element_value {
	char text[ELEMENT_TEXT_SIZE];	/* "6 . 8080" */
	uint8_t bytes[ELEMENT_BYTES_MAX];
	size_t size;			/* 0: a set's element has no value. */
};

struct element {
	int family;			/* NFPROTO_INET, NFPROTO_BRIDGE */
	const char *set;		/* A literal. */
	struct element_value key, value;
};

struct elements { VEC(struct element) items; };

/* Each appends one part. */
void element_put_ifname(struct element_value *value, const char *ifname);
void element_put_mac(struct element_value *value, const uint8_t mac[6]);
void element_put_ipv4(struct element_value *value, struct in_addr address);
void element_put_ipv6(struct element_value *value, const struct in6_addr *address);
void element_put_number(struct element_value *value, const struct in6_addr *address);	/* As raw 128 bits. */
void element_put_protocol(struct element_value *value, bool is_tcp);
void element_put_port(struct element_value *value, uint16_t port);

bool element_equal(const struct element *a, const struct element *b);
/* "add element inet <table> publish4 { 6 . 8080 : 10.0.0.5 . 80 }\n" */
void element_write(const struct element *element, const char *table, struct str *out);

/* Deletes the first and adds the second ones, all or none. 'netlink' is of NETLINK_NETFILTER. */
int element_apply(struct netlink *netlink, const char *table, const struct elements *deleted, const struct elements *added,
		  struct err *err);
/* The number of the last change anybody made to the host's rules. */
int element_generation(struct netlink *netlink, uint32_t *ret_generation, struct err *err);

#endif

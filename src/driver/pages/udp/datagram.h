/*
 * datagram.h - a telemetry page as datagrams.
 *
 * A page that does not fit into one datagram is cut into parts that each stand alone: all have the same head, the first one has the
 * host's part, and each a fixed share of the table of instances, so that a part's place follows from its number. Each is authenticated
 * by HMAC-SHA-256 under the cluster's key. What a receiver has accepted before is the table's business (peers.h).
 *
 *	head (80 bytes) | part 0: struct page_host | struct page_instance ... | MAC (32 bytes) of all before
 *
 * Errors:  -EBADMSG not such a datagram, -EACCES it is not from the cluster.
 * Threads: any.
 */
#ifndef DRIVER_PAGES_UDP_DATAGRAM_H
#define DRIVER_PAGES_UDP_DATAGRAM_H

#include "port/pages.h"

enum {
	DATAGRAM_BYTES = 1400,			/* Fits into Ethernet, also within VXLAN, GENEVE or WireGuard. */
	DATAGRAM_MAGIC = 0x47445453,		/* "STDG" */
};

struct datagram_head {
	uint32_t magic;
	uint16_t version;			/* PAGE_VERSION */
	uint16_t size;				/* With the MAC. */
	uint8_t node[PAGE_UID_BYTES];
	uint8_t boot[PAGE_UID_BYTES];
	uint64_t stamp_ns;			/* Of the page: which parts belong together, and what is newer. */
	int64_t wall_ms;
	uint64_t sent_ns;			/* The sender's CLOCK_BOOTTIME. */
	uint16_t part, instance_count;		/* Which part; instances in all parts together. */
	uint32_t reserved[3];			/* 0 */
};
static_assert(sizeof(struct datagram_head) == 80, "layout of a datagram's head");

enum {
	DATAGRAM_ROOM = DATAGRAM_BYTES - sizeof(struct datagram_head) - PAGES_MAC_BYTES,
	DATAGRAM_FIRST_INSTANCES = (DATAGRAM_ROOM - sizeof(struct page_host)) / sizeof(struct page_instance),
	DATAGRAM_INSTANCES = DATAGRAM_ROOM / sizeof(struct page_instance),
	DATAGRAM_PARTS_MAX = 1 + (PAGE_INSTANCES_MAX - DATAGRAM_FIRST_INSTANCES + DATAGRAM_INSTANCES - 1) / DATAGRAM_INSTANCES,
};
static_assert(DATAGRAM_PARTS_MAX <= 32, "a bit for each part");

unsigned datagram_parts(size_t instance_count);
/* Which instances are in a part: 'ret_first' and how many. */
size_t datagram_share(size_t instance_count, unsigned part, size_t *ret_first);

/* Returns the size. */
size_t datagram_encode(const struct page *page, unsigned part, uint64_t sent_ns, const uint8_t key[PAGES_KEY_BYTES],
		       uint8_t datagram[DATAGRAM_BYTES]);

struct datagram {
	struct datagram_head head;
	bool has_host;
	struct page_host host;
	size_t first, count;
	struct page_instance instances[DATAGRAM_INSTANCES];
};

int datagram_decode(const uint8_t *bytes, size_t size, const uint8_t key[PAGES_KEY_BYTES], struct datagram *ret_datagram, struct err *err);

#endif

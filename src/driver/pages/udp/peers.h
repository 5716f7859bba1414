/*
 * peers.h - the pages of other hosts, put together from datagrams.
 *
 * Only members of the cluster have a place in it. What was accepted is not accepted again, and nothing older: within a boot of
 * the peer stamps must grow, and each part of a stamp comes once; after another boot its wall clock must have grown.
 *
 * Errors:  -ENOENT.
 * Threads: one at a time.
 */
#ifndef DRIVER_PAGES_UDP_PEERS_H
#define DRIVER_PAGES_UDP_PEERS_H

#include "base/vec.h"
#include "driver/pages/udp/datagram.h"

struct peer {
	uint8_t node[PAGE_UID_BYTES];
	struct page_host newest;		/* Only boot, stamp and wall clock: of the newest datagram. */
	struct page_host host;			/* stamp_ns 0: none yet. */
	struct pages_clock clock;
	uint32_t parts_seen;			/* Of the newest page. */
	uint16_t coming_count, count;		/* Instances that come, and those of the last whole table. */
	struct page_instance *coming, *instances;
	bool has_moved;				/* To the next list, where it should be once. */
};

struct peers { VEC(struct peer) list; };	/* Ordered by uid. { 0 } is empty. */

void peers_set(struct peers *peers, const struct pages_peer *wanted, size_t count, const uint8_t own[PAGE_UID_BYTES]);
void peers_done(struct peers *peers);

enum peers_verdict { PEER_TAKEN, PEER_STRANGER, PEER_REPLAYED };
enum peers_verdict peers_take(struct peers *peers, const struct datagram *datagram, uint64_t now_ns);

int peers_read(const struct peers *peers, const uint8_t node[PAGE_UID_BYTES], enum pages_part part, uint64_t now_ns, struct page *ret_page,
	       uint64_t *ret_age_ms, struct err *err);

#endif

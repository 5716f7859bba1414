#include "driver/pages/udp/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	return memcmp(((const struct peer *)a)->node, ((const struct peer *)b)->node, PAGE_UID_BYTES);
}

static struct peer *find(const struct peers *peers, const uint8_t node[PAGE_UID_BYTES])
{
	struct peer key;

	if (!peers->list.count)
		return NULL;
	memcpy(key.node, node, PAGE_UID_BYTES);
	return bsearch(&key, peers->list.items, peers->list.count, sizeof(key), compare);
}

static void forget(struct peer *peer)
{
	free(peer->coming);
	free(peer->instances);
	peer->coming = peer->instances = NULL;
}

void peers_set(struct peers *peers, const struct pages_peer *wanted, size_t count, const uint8_t own[PAGE_UID_BYTES])
{
	struct peers new = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct peer *added, *old = find(peers, wanted[i].node);

		if (memcmp(wanted[i].node, own, PAGE_UID_BYTES) == 0 || (old && old->has_moved))
			continue;
		added = vec_push(&new.list);
		if (old) {
			*added = *old;
			old->has_moved = true;
			old->coming = old->instances = NULL;
		}
		memcpy(added->node, wanted[i].node, PAGE_UID_BYTES);
	}
	if (new.list.count)
		qsort(new.list.items, new.list.count, sizeof(new.list.items[0]), compare);
	peers_done(peers);
	*peers = new;
}

void peers_done(struct peers *peers)
{
	for (size_t i = 0; i < peers->list.count; i++)
		forget(&peers->list.items[i]);
	vec_done(&peers->list);
}

/* A page whose first datagram to come this is. */
static void begin(struct peer *peer, const struct page_host *newest, uint16_t instance_count)
{
	/* Another boot, another clock. */
	if (memcmp(peer->newest.boot, newest->boot, sizeof(newest->boot)) != 0)
		peer->clock = (struct pages_clock){ 0 };
	peer->newest = *newest;
	peer->parts_seen = 0;
	peer->coming_count = instance_count;
	free(peer->coming);
	peer->coming = instance_count ? alloc_array(NULL, instance_count, sizeof(peer->coming[0])) : NULL;
}

static void end_if_whole(struct peer *peer)
{
	if (peer->parts_seen != (uint32_t)((1ull << datagram_parts(peer->coming_count)) - 1))
		return;
	free(peer->instances);
	peer->instances = take(peer->coming);
	peer->count = peer->coming_count;
}

enum peers_verdict peers_take(struct peers *peers, const struct datagram *datagram, uint64_t now_ns)
{
	const struct datagram_head *head = &datagram->head;
	struct peer *peer = find(peers, head->node);
	struct page_host newest = { .stamp_ns = head->stamp_ns, .wall_ms = head->wall_ms };
	uint32_t bit = 1u << head->part;

	if (!peer)
		return PEER_STRANGER;
	memcpy(newest.boot, head->boot, sizeof(newest.boot));
	if (pages_is_later(&newest, &peer->newest))
		begin(peer, &newest, head->instance_count);
	else if (memcmp(newest.boot, peer->newest.boot, sizeof(newest.boot)) != 0 || newest.stamp_ns != peer->newest.stamp_ns ||
		 peer->parts_seen & bit || head->instance_count != peer->coming_count)
		return PEER_REPLAYED;
	peer->parts_seen |= bit;
	pages_clock_note(&peer->clock, now_ns, head->sent_ns);
	if (datagram->has_host)
		peer->host = datagram->host;
	if (datagram->count)
		memcpy(peer->coming + datagram->first, datagram->instances, datagram->count * sizeof(datagram->instances[0]));
	end_if_whole(peer);
	return PEER_TAKEN;
}

int peers_read(const struct peers *peers, const uint8_t node[PAGE_UID_BYTES], enum pages_part part, uint64_t now_ns, struct page *ret_page,
	       uint64_t *ret_age_ms, struct err *err)
{
	const struct peer *peer = find(peers, node);

	if (!peer || !peer->host.stamp_ns)
		return pages_unknown(node, err);
	*ret_age_ms = pages_clock_age_ns(&peer->clock, now_ns, peer->host.stamp_ns) / 1000000;
	ret_page->host = peer->host;
	if (part == PAGES_HOST)
		return 0;
	ret_page->instance_count = peer->count;
	if (peer->count)
		memcpy(ret_page->instances, peer->instances, peer->count * sizeof(peer->instances[0]));
	page_seal(ret_page);
	return 0;
}

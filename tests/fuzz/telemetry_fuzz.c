/*
 * What other hosts send: pages (read by RDMA), datagrams one after another, and hellos. Each part of the input is a byte that says which,
 * two bytes of length, and bytes; MACs and checksums are made right, as those of a host of the cluster would be that has gone mad.
 * Whatever is taken gives whole pages.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "driver/pages/rdma/hello.h"
#include "driver/pages/udp/peers.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[PAGES_KEY_BYTES] = { 1 }, own[PAGE_UID_BYTES] = { 9 };

static void fuzz_page(const uint8_t *bytes, size_t size)
{
	struct page *page = alloc(sizeof(*page));
	struct err err;

	check(page_check(bytes, size, &err) == 0 || err.code == -EBADMSG);
	memcpy(page, bytes, size < sizeof(*page) ? size : sizeof(*page));
	if (page->instance_count <= PAGE_INSTANCES_MAX) {
		page_seal(page);
		check(page_check(page, sizeof(*page), &err) == 0 || err.code == -EBADMSG);
	}
	free(page);
}

static void read_all(const struct peers *peers, uint64_t now)
{
	struct page *page = alloc(sizeof(*page));
	uint64_t age_ms;
	struct err err;

	for (size_t i = 0; i < peers->list.count; i++)
		if (peers_read(peers, peers->list.items[i].node, PAGES_ALL, now, page, &age_ms, &err) == 0)
			check(page_check(page, sizeof(*page), &err) == 0);
	free(page);
}

static void fuzz_datagram(struct peers *peers, const uint8_t *bytes, size_t size, uint64_t now)
{
	uint8_t right[DATAGRAM_BYTES];
	struct datagram datagram;
	struct err err;
	int r;

	check(datagram_decode(bytes, size, key, &datagram, &err) < 0 || size >= PAGES_MAC_BYTES);
	if (size > DATAGRAM_BYTES - PAGES_MAC_BYTES || size < sizeof(datagram.head))
		return;
	memcpy(right, bytes, size);
	((struct datagram_head *)right)->size = (uint16_t)(size + PAGES_MAC_BYTES);
	pages_mac(key, right, size, right + size);
	r = datagram_decode(right, size + PAGES_MAC_BYTES, key, &datagram, &err);
	check(r == 0 || r == -EBADMSG);
	if (r < 0)
		return;
	peers_take(peers, &datagram, now);
	check(peers_take(peers, &datagram, now) != PEER_TAKEN);
	read_all(peers, now);
}

static void fuzz_hello(const uint8_t *bytes, size_t size)
{
	struct hello_question question;
	struct hello_answer answer;
	struct err err;

	check(hello_check_question(bytes, size, key, own, &question, &err) == 0 || err.code == -EBADMSG || err.code == -EACCES);
	memset(&question, 0, sizeof(question));
	check(hello_check_answer(bytes, size, key, &question, &answer, &err) == 0 || err.code == -EBADMSG || err.code == -EACCES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pages_peer wanted[] = { { .node = { 0 } }, { .node = { 1 } }, { .node = { 1, 2 } } };
	struct input input = { data, size };
	struct peers peers = { 0 };
	uint64_t now = 1;

	peers_set(&peers, wanted, ARRAY_COUNT(wanted), own);
	while (input.size) {
		uint8_t kind = byte(&input);
		size_t length = byte(&input) | (size_t)byte(&input) << 8;

		length = length < input.size ? length : input.size;
		switch (kind % 4) {
		case 0: fuzz_page(input.bytes, length); break;
		case 1: fuzz_datagram(&peers, input.bytes, length, now); break;
		case 2: fuzz_hello(input.bytes, length); break;
		case 3: peers_set(&peers, wanted, length % (ARRAY_COUNT(wanted) + 1), own); break;
		}
		now += length * 1000000;
		input.bytes += length;
		input.size -= length;
	}
	peers_done(&peers);
	return 0;
}

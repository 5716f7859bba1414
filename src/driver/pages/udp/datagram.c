#include "driver/pages/udp/datagram.h"

#include <errno.h>
#include <string.h>

unsigned datagram_parts(size_t instance_count)
{
	size_t rest = instance_count > DATAGRAM_FIRST_INSTANCES ? instance_count - DATAGRAM_FIRST_INSTANCES : 0;

	return 1 + (unsigned)((rest + DATAGRAM_INSTANCES - 1) / DATAGRAM_INSTANCES);
}

size_t datagram_share(size_t instance_count, unsigned part, size_t *ret_first)
{
	size_t first = part ? DATAGRAM_FIRST_INSTANCES + (size_t)(part - 1) * DATAGRAM_INSTANCES : 0;
	size_t room = part ? DATAGRAM_INSTANCES : DATAGRAM_FIRST_INSTANCES;

	*ret_first = first;
	return first >= instance_count ? 0 : instance_count - first < room ? instance_count - first : room;
}

static size_t size_of(bool has_host, size_t count)
{
	return sizeof(struct datagram_head) + (has_host ? sizeof(struct page_host) : 0) + count * sizeof(struct page_instance) + PAGES_MAC_BYTES;
}

size_t datagram_encode(const struct page *page, unsigned part, uint64_t sent_ns, const uint8_t key[PAGES_KEY_BYTES],
		       uint8_t datagram[DATAGRAM_BYTES])
{
	size_t first, count = datagram_share(page->instance_count, part, &first), size = size_of(part == 0, count);
	struct datagram_head head = {
		.magic = DATAGRAM_MAGIC, .version = PAGE_VERSION, .size = (uint16_t)size,
		.stamp_ns = page->host.stamp_ns, .wall_ms = page->host.wall_ms, .sent_ns = sent_ns,
		.part = (uint16_t)part, .instance_count = page->instance_count,
	};
	uint8_t *at = datagram;

	memcpy(head.node, page->host.node, sizeof(head.node));
	memcpy(head.boot, page->host.boot, sizeof(head.boot));
	at = mempcpy(at, &head, sizeof(head));
	if (part == 0)
		at = mempcpy(at, &page->host, sizeof(page->host));
	at = mempcpy(at, page->instances + first, count * sizeof(page->instances[0]));
	pages_mac(key, datagram, size - PAGES_MAC_BYTES, at);
	return size;
}

static int bad(struct err *err, const char *what, uint64_t value)
{
	return err_set(err, -EBADMSG, "telemetry datagram: %s %llu is impossible", what, (unsigned long long)value);
}

/* What can be told without the key; it decides how much of the bytes the MAC covers. */
static int check_frame(const struct datagram_head *head, size_t size, struct err *err)
{
	size_t first;

	if (head->magic != DATAGRAM_MAGIC)
		return bad(err, "magic", head->magic);
	if (head->version != PAGE_VERSION)
		return err_set(err, -EBADMSG, "telemetry datagram: version %u, this host reads %d: run the same strata on all hosts", head->version,
			       PAGE_VERSION);
	if (head->instance_count > PAGE_INSTANCES_MAX)
		return bad(err, "number of instances", head->instance_count);
	if (head->part >= datagram_parts(head->instance_count))
		return bad(err, "part", head->part);
	if (head->size != size || size != size_of(head->part == 0, datagram_share(head->instance_count, head->part, &first)))
		return bad(err, "size", head->size);
	return head->reserved[0] || head->reserved[1] || head->reserved[2] ? bad(err, "reserved field", 1) : 0;
}

/* The head says again what is in the host's part. */
static int check_host(const struct datagram *datagram, struct err *err)
{
	const struct datagram_head *head = &datagram->head;
	const struct page_host *host = &datagram->host;

	if (memcmp(head->node, host->node, sizeof(head->node)) != 0 || memcmp(head->boot, host->boot, sizeof(head->boot)) != 0 ||
	    head->stamp_ns != host->stamp_ns || head->wall_ms != host->wall_ms)
		return err_set(err, -EBADMSG, "telemetry datagram: head and host's part disagree");
	return page_check_host(host, err);
}

int datagram_decode(const uint8_t *bytes, size_t size, const uint8_t key[PAGES_KEY_BYTES], struct datagram *ret_datagram, struct err *err)
{
	struct datagram datagram = { 0 };
	const uint8_t *at = bytes + sizeof(datagram.head);
	int r;

	if (size < sizeof(datagram.head) + PAGES_MAC_BYTES || size > DATAGRAM_BYTES)
		return bad(err, "size", size);
	memcpy(&datagram.head, bytes, sizeof(datagram.head));
	r = check_frame(&datagram.head, size, err);
	if (r < 0)
		return r;
	if (!pages_mac_is(key, bytes, size - PAGES_MAC_BYTES, bytes + size - PAGES_MAC_BYTES))
		return err_set(err, -EACCES, "telemetry datagram: not made with the cluster's key");
	datagram.has_host = datagram.head.part == 0;
	if (datagram.has_host) {
		memcpy(&datagram.host, at, sizeof(datagram.host));
		at += sizeof(datagram.host);
		r = check_host(&datagram, err);
		if (r < 0)
			return r;
	}
	datagram.count = datagram_share(datagram.head.instance_count, datagram.head.part, &datagram.first);
	memcpy(datagram.instances, at, datagram.count * sizeof(datagram.instances[0]));
	*ret_datagram = datagram;
	return 0;
}

#include "1-hardware/telemetry/load.h"

#include <errno.h>
#include <string.h>

static int read_own(const struct telemetry *telemetry, enum pages_part part, struct page *ret_page, uint64_t *ret_age_ms, struct err *err)
{
	int r = part == PAGES_HOST ? page_read_host(telemetry->own, &ret_page->host) : page_read(telemetry->own, ret_page);
	uint64_t now;

	if (r < 0)
		return err_set(err, -ENOENT, "telemetry: this host's page is not written: is the sampler running?");
	now = telemetry->now_ns ? telemetry->now_ns(telemetry->data) : pages_now_ns();
	*ret_age_ms = now > ret_page->host.stamp_ns ? (now - ret_page->host.stamp_ns) / 1000000 : 0;
	return 0;
}

static int read_page(const struct telemetry *telemetry, const uint8_t node[PAGE_UID_BYTES], enum pages_part part, struct page *ret_page,
		     uint64_t *ret_age_ms, struct err *err)
{
	if (memcmp(node, telemetry->node, PAGE_UID_BYTES) == 0)
		return read_own(telemetry, part, ret_page, ret_age_ms, err);
	if (!telemetry->pages)
		return pages_unknown(node, err);
	return telemetry->pages->ops->read(telemetry->pages, node, part, ret_page, ret_age_ms, err);
}

int telemetry_load(const struct telemetry *telemetry, const uint8_t node[PAGE_UID_BYTES], struct host_load *ret_load, struct err *err)
{
	struct page page;
	uint64_t age_ms;
	int r = read_page(telemetry, node, PAGES_HOST, &page, &age_ms, err);

	if (r < 0)
		return r;
	*ret_load = (struct host_load){
		.run_queue_milli = (uint32_t)(page.host.run_queue * 1000ull / page.host.cpus),
		.busy_permille = page.host.busy_permille,
		.memory_total_bytes = page.host.memory_total_bytes,
		.memory_available_bytes = page.host.memory_available_bytes,
		.age_ms = age_ms,
		.is_old = age_ms > LOAD_OLD_MS,
	};
	return 0;
}

int telemetry_page(const struct telemetry *telemetry, const uint8_t node[PAGE_UID_BYTES], struct page *ret_page, uint64_t *ret_age_ms,
		   struct err *err)
{
	return read_page(telemetry, node, PAGES_ALL, ret_page, ret_age_ms, err);
}

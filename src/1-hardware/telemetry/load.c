#include "1-hardware/telemetry/load.h"

#include <errno.h>
#include <string.h>

static int read_own(const struct telemetry *telemetry, struct page_host *ret_host, uint64_t *ret_age_ms, struct err *err)
{
	int r = page_read_host(telemetry->own, ret_host);
	uint64_t now;

	if (r < 0)
		return err_set(err, -ENOENT, "telemetry: this host's page is not written: is the sampler running?");
	now = telemetry->now_ns ? telemetry->now_ns(telemetry->data) : pages_now_ns();
	*ret_age_ms = now > ret_host->stamp_ns ? (now - ret_host->stamp_ns) / 1000000 : 0;
	return 0;
}

static int read_other(const struct telemetry *telemetry, const uint8_t node[PAGE_UID_BYTES], struct page_host *ret_host, uint64_t *ret_age_ms,
		      struct err *err)
{
	struct page page;
	int r;

	if (!telemetry->pages)
		return pages_unknown(node, err);
	r = telemetry->pages->ops->read(telemetry->pages, node, PAGES_HOST, &page, ret_age_ms, err);
	if (r == 0)
		*ret_host = page.host;
	return r;
}

int telemetry_load(const struct telemetry *telemetry, const uint8_t node[PAGE_UID_BYTES], struct host_load *ret_load, struct err *err)
{
	bool is_own = memcmp(node, telemetry->node, PAGE_UID_BYTES) == 0;
	struct page_host host;
	uint64_t age_ms;
	int r = is_own ? read_own(telemetry, &host, &age_ms, err) : read_other(telemetry, node, &host, &age_ms, err);

	if (r < 0)
		return r;
	*ret_load = (struct host_load){
		.run_queue_milli = (uint32_t)(host.run_queue * 1000ull / host.cpus),
		.busy_permille = host.busy_permille,
		.memory_available_bytes = host.memory_available_bytes,
		.age_ms = age_ms,
		.is_old = age_ms > LOAD_OLD_MS,
	};
	return 0;
}

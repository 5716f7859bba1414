/* Leases: etcd ends them by itself, to the second; nothing is kept here. */
#include "driver/store/etcd/etcd.h"

#include <errno.h>
#include <inttypes.h>

#include "base/rng.h"
#include "driver/store/etcd/reply.h"
#include "driver/store/etcd/request.h"

int etcd_lease_grant(struct store_driver *driver, uint64_t ttl_ms, int64_t now_ms, uint64_t *ret_lease, struct err *err)
{
	struct etcd *etcd = etcd_of(driver);
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	struct rng rng;
	uint64_t lease;
	int r;

	(void)now_ms;
	rng_init_random(&rng);
	lease = (rng_next(&rng) >> 1) | 1;
	str_printf(&body, "{\"TTL\":\"%" PRIu64 "\",\"ID\":\"%" PRIu64 "\"}", (ttl_ms + 999) / 1000, lease);
	r = etcd_link_call(&etcd->link, "lease/grant", &body, &json, err);
	/* With a number of our own a repeated request is recognized; nobody else has drawn the same of 2^63. */
	if (r < 0 && r != -EEXIST)
		return r;
	*ret_lease = lease;
	return 0;
}

int etcd_lease_renew(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct err *err)
{
	struct etcd *etcd = etcd_of(driver);
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	int r;

	(void)now_ms;
	etcd_request_number("ID", lease, &body);
	r = etcd_link_call(&etcd->link, "lease/keepalive", &body, &json, err);
	if (r == -ENOENT || (r == 0 && !etcd_reply_number(json, "result.TTL")))
		return store_lease_ended(lease, err);
	return r;
}

int etcd_lease_end(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct store_events *events, int64_t *ret_next_ms,
		   struct err *err)
{
	struct etcd *etcd = etcd_of(driver);
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	int r = 0;

	(void)now_ms;
	(void)events;
	if (lease) {
		etcd_request_number("ID", lease, &body);
		r = etcd_link_call(&etcd->link, "lease/revoke", &body, &json, err);
	}
	/* An earlier attempt may have ended it. */
	if (r == -ENOENT && etcd->link.attempts == 1)
		return store_lease_ended(lease, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (ret_next_ms)
		*ret_next_ms = INT64_MAX;
	return 0;
}

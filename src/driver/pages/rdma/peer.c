#include "driver/pages/rdma/peer.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"

enum { RESOLVE_MS = 2000, AGAIN_MS = 500, RETRIES = 3 };

struct rdma_peer *rdma_peer_new(const struct rdma_libraries *lib, const struct pages_params *params, const struct pages_peer *peer)
{
	struct rdma_peer *new = alloc(sizeof(*new));

	*new = (struct rdma_peer){ .lib = lib, .params = params, .peer = *peer };
	/* Shared, so that no child process of ours gets another copy than the device writes to. */
	new->buffer = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (new->buffer == MAP_FAILED)
		abort();
	return new;
}

void rdma_peer_drop(struct rdma_peer *peer)
{
	if (peer->id && peer->id->qp)
		peer->lib->destroy_qp(peer->id);	/* From here on the device does not touch the buffer. */
	if (peer->region)
		peer->lib->dereg_mr(peer->region);
	if (peer->queue)
		peer->lib->destroy_cq(peer->queue);
	if (peer->id)
		peer->lib->destroy_id(peer->id);
	peer->id = NULL;
	peer->queue = NULL;
	peer->region = NULL;
	peer->is_reading = false;
	peer->state = RDMA_IDLE;
	peer->again_ms = clock_monotonic_ms() + AGAIN_MS;
}

void rdma_peer_free(struct rdma_peer *peer)
{
	if (!peer)
		return;
	rdma_peer_drop(peer);
	munmap(peer->buffer, sizeof(struct page));
	free(peer);
}

static int failed(struct rdma_peer *peer, const char *what, struct err *err)
{
	int r = err_set(err, -errno, "telemetry by RDMA: %s: %m", what);

	rdma_peer_drop(peer);
	return r;
}

int rdma_peer_connect(struct rdma_peer *peer, struct rdma_event_channel *channel, struct err *err)
{
	if (peer->lib->create_id(channel, &peer->id, peer, RDMA_PS_TCP) < 0)
		return failed(peer, "create an endpoint", err);
	peer->state = RDMA_ADDRESS;
	if (peer->lib->resolve_addr(peer->id, NULL, &peer->peer.address.any, RESOLVE_MS) < 0)
		return failed(peer, "find a device that leads to the host", err);
	return 0;
}

static int ask(struct rdma_peer *peer, struct err *err)
{
	struct rdma_conn_param param = { .private_data = &peer->question, .private_data_len = sizeof(peer->question), .initiator_depth = 1,
					 .retry_count = RETRIES, .rnr_retry_count = RETRIES };
	int r = hello_ask(peer->params->key, peer->params->node, peer->peer.node, &peer->question, err);

	if (r < 0) {
		rdma_peer_drop(peer);
		return r;
	}
	peer->queue = peer->lib->create_cq(peer->id->verbs, 2, NULL, NULL, 0);
	if (!peer->queue)
		return failed(peer, "create a completion queue", err);
	struct ibv_qp_init_attr attributes = { .send_cq = peer->queue, .recv_cq = peer->queue, .qp_type = IBV_QPT_RC,
					       .cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 } };

	if (peer->lib->create_qp(peer->id, peer->id->pd, &attributes) < 0)
		return failed(peer, "create a queue pair", err);
	peer->region = peer->lib->reg_mr(peer->id->pd, peer->buffer, sizeof(*peer->buffer), IBV_ACCESS_LOCAL_WRITE);
	if (!peer->region)
		return failed(peer, "register memory (see the limit of locked memory)", err);
	peer->state = RDMA_REQUEST;
	return peer->lib->connect(peer->id, &param) < 0 ? failed(peer, "connect", err) : 0;
}

static int become_ready(struct rdma_peer *peer, const void *data, size_t size, struct err *err)
{
	int r = hello_check_answer(data, size, peer->params->key, &peer->question, &peer->answer, err);

	if (r < 0) {
		rdma_peer_drop(peer);
		return r;
	}
	/* Perhaps another boot: its clock, and what was read of the one before has no age by it. */
	peer->last.size = 0;
	peer->clock = (struct pages_clock){ 0 };
	pages_clock_note(&peer->clock, pages_now_ns(), peer->answer.now_ns);
	peer->state = RDMA_READY;
	return 0;
}

int rdma_peer_event(struct rdma_peer *peer, enum rdma_cm_event_type event, const void *data, size_t size, struct err *err)
{
	if (event == RDMA_CM_EVENT_ADDR_RESOLVED && peer->state == RDMA_ADDRESS) {
		peer->state = RDMA_ROUTE;
		return peer->lib->resolve_route(peer->id, RESOLVE_MS) < 0 ? failed(peer, "find a route", err) : 0;
	}
	if (event == RDMA_CM_EVENT_ROUTE_RESOLVED && peer->state == RDMA_ROUTE)
		return ask(peer, err);
	if (event == RDMA_CM_EVENT_ESTABLISHED && peer->state == RDMA_REQUEST)
		return become_ready(peer, data, size, err);
	rdma_peer_drop(peer);
	return err_set(err, -ECONNRESET, "telemetry by RDMA: the connection has ended (event %d)", (int)event);
}

/* Reading */

static int post(struct rdma_peer *peer, struct err *err)
{
	struct ibv_sge place = { .addr = (uintptr_t)peer->buffer, .length = sizeof(*peer->buffer), .lkey = peer->region->lkey };
	struct ibv_send_wr request = { .sg_list = &place, .num_sge = 1, .opcode = IBV_WR_RDMA_READ, .send_flags = IBV_SEND_SIGNALED,
				       .wr.rdma = { .remote_addr = peer->answer.address, .rkey = peer->answer.remote_key } };
	struct ibv_send_wr *refused;
	int r = ibv_post_send(peer->id->qp, &request, &refused);

	if (r != 0) {
		errno = r;
		return failed(peer, "read", err);
	}
	peer->is_reading = true;
	return 0;
}

/* Until the device has written the buffer. */
static int wait_for_device(struct rdma_peer *peer, int64_t deadline_ms, struct err *err)
{
	struct ibv_wc done;
	int count;

	while ((count = ibv_poll_cq(peer->queue, 1, &done)) == 0) {
		if (clock_monotonic_ms() >= deadline_ms)
			return err_set(err, -ETIMEDOUT, "telemetry by RDMA: the host has not answered within %d ms", PAGES_READ_LIMIT_MS);
		sched_yield();
	}
	peer->is_reading = false;
	if (count < 0 || done.status != IBV_WC_SUCCESS) {
		err_set(err, -EIO, "telemetry by RDMA: read: %s", count < 0 ? "the queue is broken" : peer->lib->wc_status_str(done.status));
		rdma_peer_drop(peer);
		return err->code;
	}
	return 0;
}

static int keep(struct rdma_peer *peer, struct err *err)
{
	const struct page *page = peer->buffer;

	if (memcmp(page->host.node, peer->peer.node, PAGE_UID_BYTES) != 0)
		return err_set(err, -EBADMSG, "telemetry by RDMA: the page is of another node");
	page_copy(&peer->last, page);
	pages_clock_note(&peer->clock, pages_now_ns(), page->host.stamp_ns);
	return 0;
}

int rdma_peer_read(struct rdma_peer *peer, struct err *err)
{
	int64_t deadline_ms = clock_monotonic_ms() + PAGES_READ_LIMIT_MS;
	int r;

	/* One that was given up is waited for no longer; what it brought is of then. */
	if (peer->is_reading && (r = wait_for_device(peer, 0, err)) < 0)
		return r;
	do {
		if ((r = post(peer, err)) < 0 || (r = wait_for_device(peer, deadline_ms, err)) < 0)
			return r;
		/* Read while it was written: again. */
		r = page_check(peer->buffer, sizeof(*peer->buffer), err);
	} while (r < 0 && clock_monotonic_ms() < deadline_ms);
	return r < 0 ? r : keep(peer, err);
}

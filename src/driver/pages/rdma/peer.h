/*
 * peer.h - a host whose page is read: the connection to it, and what was read last.
 *
 *	IDLE -> ADDRESS -> ROUTE -> REQUEST -> READY;  from each back to IDLE, which is left again after a while
 *
 * Errors:  of functions that move it on: the reason why it is IDLE again.
 * Threads: one at a time (the driver's mutex).
 */
#ifndef DRIVER_PAGES_RDMA_PEER_H
#define DRIVER_PAGES_RDMA_PEER_H

#include "driver/pages/rdma/hello.h"
#include "driver/pages/rdma/libraries.h"

enum rdma_peer_state { RDMA_IDLE, RDMA_ADDRESS, RDMA_ROUTE, RDMA_REQUEST, RDMA_READY };

struct rdma_peer {
	const struct rdma_libraries *lib;	/* Borrowed, as 'params'. */
	const struct pages_params *params;
	struct pages_peer peer;
	enum rdma_peer_state state;
	int64_t again_ms;			/* IDLE: when to try again (monotonic). */

	struct rdma_cm_id *id;
	struct ibv_cq *queue;
	struct ibv_mr *region;
	struct page *buffer;			/* Where the device writes to: a mapping of its own. */
	bool is_reading;			/* The buffer is the device's. */
	struct hello_question question;
	struct hello_answer answer;		/* Where the page is. */

	struct page last;			/* size 0: none. */
	struct pages_clock clock;
};

struct rdma_peer *rdma_peer_new(const struct rdma_libraries *lib, const struct pages_params *params, const struct pages_peer *peer);
void rdma_peer_free(struct rdma_peer *peer);
void rdma_peer_drop(struct rdma_peer *peer);		/* IDLE, whatever it was. */

int rdma_peer_connect(struct rdma_peer *peer, struct rdma_event_channel *channel, struct err *err);
/* An event of its id, with the private data that came with it. */
int rdma_peer_event(struct rdma_peer *peer, enum rdma_cm_event_type event, const void *data, size_t size, struct err *err);

/*
 * READY: reads the page into 'last', waiting PAGES_READ_LIMIT_MS at most. Returns whether it has come; when it fails 'last' stays what
 * it was.
 */
int rdma_peer_read(struct rdma_peer *peer, struct err *err);

#endif

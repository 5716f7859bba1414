/*
 * Theory of operation.
 *
 * The own page is registered with the device, for reading only, once for each connection that a peer makes; from then on the
 * peer's device reads it without a CPU of ours. To each peer one connection is kept, on which read() posts one RDMA READ and
 * polls for its end. What is read is checked by its checksum: the device may have read while the sampler wrote.
 *
 * One thread drives the connection manager: it accepts, connects, connects again, and reads each page now and then, so that the
 * difference of the clocks is known (pages.h) before somebody asks. All state is behind one mutex; the thread takes it before it
 * fetches an event and acknowledges the event before it gives it back, because an endpoint cannot be destroyed before.
 *
 * Who is on the path between two hosts can read and forge what RDMA carries: it has no encryption of its own. The key keeps out those
 * who are not. Use a network of the cluster's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/vec.h"
#include "driver/pages/rdma/peer.h"

/* Not a multiple of the sampler's period, so that some read finds a page just written. */
enum { SWEEP_MS = 487, BACKLOG = 64, STOP = 1 << 20 };

/* A peer that reads our page. */
struct reader {
	uint8_t node[PAGE_UID_BYTES];
	struct rdma_cm_id *id;
	struct ibv_cq *queue;
	struct ibv_mr *region;
};

struct rdma {
	struct pages_driver base;
	struct pages_params params;
	struct rdma_libraries lib;
	struct rdma_event_channel *channel;
	struct rdma_cm_id *listener;
	int stop;				/* eventfd */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t mutex;
	VEC(struct rdma_peer *) peers;
	VEC(struct reader *) readers;
	int64_t sweep_ms;			/* When to read all the next time. */
	struct pages_counts counts;
};

static struct rdma *rdma_of(struct pages_driver *driver)
{
	return container_of(driver, struct rdma, base);
}

static struct rdma_peer *find_peer(const struct rdma *rdma, const uint8_t node[PAGE_UID_BYTES])
{
	for (size_t i = 0; i < rdma->peers.count; i++)
		if (memcmp(rdma->peers.items[i]->peer.node, node, PAGE_UID_BYTES) == 0)
			return rdma->peers.items[i];
	return NULL;
}

static struct rdma_peer *peer_of_id(const struct rdma *rdma, const struct rdma_cm_id *id)
{
	for (size_t i = 0; i < rdma->peers.count; i++)
		if (rdma->peers.items[i]->id == id)
			return rdma->peers.items[i];
	return NULL;
}

/* Readers */

static void reader_free(struct rdma *rdma, struct reader *reader)
{
	if (reader->id->qp)
		rdma->lib.destroy_qp(reader->id);
	if (reader->region)
		rdma->lib.dereg_mr(reader->region);
	if (reader->queue)
		rdma->lib.destroy_cq(reader->queue);
	rdma->lib.destroy_id(reader->id);
	free(reader);
}

static void remove_reader(struct rdma *rdma, size_t i)
{
	reader_free(rdma, rdma->readers.items[i]);
	vec_remove(&rdma->readers, i);
}

static void remove_reader_of(struct rdma *rdma, const struct rdma_cm_id *id)
{
	for (size_t i = 0; i < rdma->readers.count; i++)
		if (rdma->readers.items[i]->id == id) {
			remove_reader(rdma, i);
			return;
		}
}

/* Each node reads once: of one that crashed and comes again the old connection has not ended. */
static void remove_reader_from(struct rdma *rdma, const uint8_t node[PAGE_UID_BYTES])
{
	for (size_t i = rdma->readers.count; i-- > 0;)
		if (memcmp(rdma->readers.items[i]->node, node, PAGE_UID_BYTES) == 0)
			remove_reader(rdma, i);
}

static int serve(struct rdma *rdma, struct reader *reader, const struct hello_question *question)
{
	struct rdma_cm_id *id = reader->id;
	struct hello_answer answer = { .address = (uintptr_t)rdma->params.own, .now_ns = pages_now_ns() };
	struct rdma_conn_param param = { .private_data = &answer, .private_data_len = sizeof(answer), .responder_resources = 1 };

	reader->queue = rdma->lib.create_cq(id->verbs, 2, NULL, NULL, 0);
	if (!reader->queue)
		return -errno;
	struct ibv_qp_init_attr attributes = { .send_cq = reader->queue, .recv_cq = reader->queue, .qp_type = IBV_QPT_RC,
					       .cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 } };

	if (rdma->lib.create_qp(id, id->pd, &attributes) < 0)
		return -errno;
	reader->region = rdma->lib.reg_mr(id->pd, (void *)(uintptr_t)rdma->params.own, sizeof(struct page), IBV_ACCESS_REMOTE_READ);
	if (!reader->region)
		return -errno;
	answer.remote_key = reader->region->rkey;
	hello_answer(rdma->params.key, question, &answer);
	return rdma->lib.accept(id, &param) < 0 ? -errno : 0;
}

static void on_request(struct rdma *rdma, struct rdma_cm_id *id, const void *data, size_t size)
{
	struct hello_question question;
	struct reader *reader;
	struct err err;
	int r = hello_check_question(data, size, rdma->params.key, rdma->params.node, &question, &err);

	rdma->counts.malformed += r == -EBADMSG;
	rdma->counts.unauthentic += r == -EACCES || (r == 0 && !find_peer(rdma, question.from));
	if (r < 0 || !find_peer(rdma, question.from)) {
		rdma->lib.reject(id, NULL, 0);
		rdma->lib.destroy_id(id);
		return;
	}
	remove_reader_from(rdma, question.from);
	reader = alloc(sizeof(*reader));
	reader->id = id;
	memcpy(reader->node, question.from, sizeof(reader->node));
	*vec_push(&rdma->readers) = reader;
	if (serve(rdma, reader, &question) < 0) {
		rdma->lib.reject(id, NULL, 0);
		remove_reader_of(rdma, id);
	}
}

/* The thread */

enum { PRIVATE_DATA_MAX = 256 };

static void on_event(struct rdma *rdma, enum rdma_cm_event_type event, struct rdma_cm_id *id, const void *data, size_t size)
{
	struct rdma_peer *peer = peer_of_id(rdma, id);
	struct err ignored;			/* The next try may do; read() says what is not known. */

	if (event == RDMA_CM_EVENT_CONNECT_REQUEST) {
		on_request(rdma, id, data, size);
	} else if (peer) {
		rdma->counts.send_failures += rdma_peer_event(peer, event, data, size, &ignored) < 0;
		rdma->counts.sent += peer->state == RDMA_READY;
	} else if (event != RDMA_CM_EVENT_ESTABLISHED) {
		remove_reader_of(rdma, id);
	}
}

/* One event, if there is one. */
static bool handle_event(struct rdma *rdma)
{
	uint8_t data[PRIVATE_DATA_MAX];
	struct rdma_cm_event *event;
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	size_t size;

	if (rdma->lib.get_cm_event(rdma->channel, &event) < 0)
		return false;
	type = event->event;
	id = event->id;
	size = event->param.conn.private_data_len;
	if ((type != RDMA_CM_EVENT_CONNECT_REQUEST && type != RDMA_CM_EVENT_ESTABLISHED) || !event->param.conn.private_data || size > sizeof(data))
		size = 0;
	if (size)
		memcpy(data, event->param.conn.private_data, size);
	rdma->lib.ack_cm_event(event);
	on_event(rdma, type, id, data, size);
	return true;
}

static void connect_idle(struct rdma *rdma, int64_t now_ms)
{
	struct err ignored;

	for (size_t i = 0; i < rdma->peers.count; i++) {
		struct rdma_peer *peer = rdma->peers.items[i];

		if (peer->state == RDMA_IDLE && now_ms >= peer->again_ms)
			rdma_peer_connect(peer, rdma->channel, &ignored);
	}
}

static void sweep(struct rdma *rdma, int64_t now_ms)
{
	struct err ignored;

	if (now_ms < rdma->sweep_ms)
		return;
	rdma->sweep_ms = now_ms + SWEEP_MS;
	for (size_t i = 0; i < rdma->peers.count; i++)
		if (rdma->peers.items[i]->state == RDMA_READY)
			rdma->counts.received += rdma_peer_read(rdma->peers.items[i], &ignored) == 0;
}

static void *run(void *data)
{
	struct rdma *rdma = data;
	struct pollfd fds[] = { { .fd = rdma->stop, .events = POLLIN }, { .fd = rdma->channel->fd, .events = POLLIN } };
	eventfd_t value;
	bool is_stopping = false;

	while (!is_stopping) {
		poll(fds, ARRAY_COUNT(fds), SWEEP_MS);
		pthread_mutex_lock(&rdma->mutex);
		while (handle_event(rdma))
			;
		connect_idle(rdma, clock_monotonic_ms());
		sweep(rdma, clock_monotonic_ms());
		/* 1: a new peer. More: the end. */
		is_stopping = eventfd_read(rdma->stop, &value) == 0 && value >= STOP;
		pthread_mutex_unlock(&rdma->mutex);
	}
	return NULL;
}

/* Opening */

static int check_devices(struct rdma *rdma, struct err *err)
{
	int count = 0;
	struct ibv_context **devices = rdma->lib.get_devices(&count);

	if (devices)
		rdma->lib.free_devices(devices);
	if (count < 1)
		return err_set(err, -ENODEV, "telemetry by RDMA: this host has no RDMA device: use UDP, or make one of an Ethernet device with "
			       "'rdma link add rxe0 type rxe netdev eth0'");
	return 0;
}

static int listen_there(struct rdma *rdma, struct err *err)
{
	union pages_address *address = &rdma->params.bind;

	rdma->channel = rdma->lib.create_event_channel();
	if (!rdma->channel)
		return err_set(err, -ENODEV, "telemetry by RDMA: no connection manager (%m): load the kernel module rdma_ucm");
	if (fcntl(rdma->channel->fd, F_SETFL, O_NONBLOCK) < 0 || rdma->lib.create_id(rdma->channel, &rdma->listener, NULL, RDMA_PS_TCP) < 0)
		return err_set(err, -errno, "telemetry by RDMA: create an endpoint: %m");
	if (rdma->lib.bind_addr(rdma->listener, &address->any) < 0 || rdma->lib.listen(rdma->listener, BACKLOG) < 0)
		return err_set(err, -errno, "telemetry by RDMA: listen at port %u: %m: the address must be one of a network with an RDMA device, "
			       "and the port be free",
			       ntohs(address->ipv4.sin_port));
	return 0;
}

static int start(struct rdma *rdma, struct err *err)
{
	int r = rdma_libraries_load(&rdma->lib, err);

	if (r == 0)
		r = check_devices(rdma, err);
	if (r == 0)
		r = listen_there(rdma, err);
	if (r < 0)
		return r;
	rdma->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rdma->stop < 0)
		return err_set(err, -errno, "telemetry by RDMA: open an eventfd: %m");
	r = thread_start("pages-rdma", run, rdma, &rdma->thread, err);
	rdma->has_thread = r == 0;
	return r;
}

static void rdma_close(struct pages_driver *driver)
{
	struct rdma *rdma = rdma_of(driver);

	if (!driver)
		return;
	if (rdma->has_thread) {
		eventfd_write(rdma->stop, STOP);
		pthread_join(rdma->thread, NULL);
	}
	for (size_t i = 0; i < rdma->peers.count; i++)
		rdma_peer_free(rdma->peers.items[i]);
	while (rdma->readers.count)
		remove_reader(rdma, rdma->readers.count - 1);
	if (rdma->listener)
		rdma->lib.destroy_id(rdma->listener);
	if (rdma->channel)
		rdma->lib.destroy_event_channel(rdma->channel);
	closep(&rdma->stop);
	vec_done(&rdma->peers);
	vec_done(&rdma->readers);
	pthread_mutex_destroy(&rdma->mutex);
	explicit_bzero(&rdma->params, sizeof(rdma->params));
	free(rdma);
}

static int rdma_open(const struct pages_params *params, struct pages_driver **ret_driver, struct err *err)
{
	struct rdma *rdma;
	int r = pages_check_params(params, err);

	if (r < 0)
		return r;
	rdma = alloc(sizeof(*rdma));
	*rdma = (struct rdma){ .base.ops = &pages_rdma, .params = *params, .stop = -1 };
	pthread_mutex_init(&rdma->mutex, NULL);
	r = start(rdma, err);
	if (r < 0) {
		rdma_close(&rdma->base);
		return r;
	}
	*ret_driver = &rdma->base;
	return 0;
}

/* Operations */

static bool is_same_peer(const struct pages_peer *a, const struct pages_peer *b)
{
	return memcmp(a->node, b->node, PAGE_UID_BYTES) == 0 && memcmp(&a->address, &b->address, pages_address_size(&a->address)) == 0;
}

static bool is_wanted(const struct pages_peer *peer, const struct pages_peer *peers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_same_peer(peer, &peers[i]))
			return true;
	return false;
}

static void remove_unwanted(struct rdma *rdma, const struct pages_peer *peers, size_t count)
{
	for (size_t i = rdma->peers.count; i-- > 0;) {
		struct rdma_peer *peer = rdma->peers.items[i];

		if (is_wanted(&peer->peer, peers, count))
			continue;
		remove_reader_from(rdma, peer->peer.node);
		vec_remove(&rdma->peers, i);
		rdma_peer_free(peer);
	}
}

static int check_peers(const struct pages_peer *peers, size_t count, struct err *err)
{
	char text[PAGE_UID_TEXT_SIZE];
	int r = pages_check_count(count, err);

	for (size_t i = 0; r == 0 && i < count; i++)
		if (peers[i].address.any.sa_family != AF_INET && peers[i].address.any.sa_family != AF_INET6)
			r = err_set(err, -EINVAL, "telemetry by RDMA: node %s has no address", page_uid_text(peers[i].node, text));
	return r;
}

static int rdma_set_peers(struct pages_driver *driver, const struct pages_peer *peers, size_t count, struct err *err)
{
	struct rdma *rdma = rdma_of(driver);
	int r = check_peers(peers, count, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&rdma->mutex);
	remove_unwanted(rdma, peers, count);
	for (size_t i = 0; i < count; i++)
		if (memcmp(peers[i].node, rdma->params.node, PAGE_UID_BYTES) != 0 && !find_peer(rdma, peers[i].node))
			*vec_push(&rdma->peers) = rdma_peer_new(&rdma->lib, &rdma->params, &peers[i]);
	pthread_mutex_unlock(&rdma->mutex);
	eventfd_write(rdma->stop, 1);
	return 0;
}

/* Peers read it where it is. */
static int rdma_publish(struct pages_driver *driver, struct err *err)
{
	(void)driver, (void)err;
	return 0;
}

static int rdma_read(struct pages_driver *driver, const uint8_t node[PAGE_UID_BYTES], enum pages_part part, struct page *ret_page,
		     uint64_t *ret_age_ms, struct err *err)
{
	struct rdma *rdma = rdma_of(driver);
	struct rdma_peer *peer;
	struct err ignored;		/* What was read last still tells something. */
	bool is_there;

	pthread_mutex_lock(&rdma->mutex);
	peer = find_peer(rdma, node);
	if (peer && peer->state == RDMA_READY)
		rdma->counts.received += rdma_peer_read(peer, &ignored) == 0;
	is_there = peer && peer->last.size;
	if (is_there) {
		*ret_age_ms = pages_clock_age_ns(&peer->clock, pages_now_ns(), peer->last.host.stamp_ns) / 1000000;
		if (part == PAGES_HOST)
			ret_page->host = peer->last.host;
		else
			page_copy(ret_page, &peer->last);
	}
	pthread_mutex_unlock(&rdma->mutex);
	return is_there ? 0 : pages_unknown(node, err);
}

static void rdma_counts(struct pages_driver *driver, struct pages_counts *ret_counts)
{
	struct rdma *rdma = rdma_of(driver);

	pthread_mutex_lock(&rdma->mutex);
	*ret_counts = rdma->counts;
	pthread_mutex_unlock(&rdma->mutex);
}

const struct pages_ops pages_rdma = {
	.name = "rdma",
	.open = rdma_open,
	.close = rdma_close,
	.set_peers = rdma_set_peers,
	.publish = rdma_publish,
	.read = rdma_read,
	.counts = rdma_counts,
};

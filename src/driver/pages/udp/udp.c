/*
 * Theory of operation.
 *
 * publish() cuts the own page into datagrams and sends each to the group and to all peers that have an address. A
 * thread receives what others send; read() looks into the table that it keeps.
 *
 * There are two sockets: one bound to the address to listen at, which also sends, and one bound to the group, because a socket
 * that is bound to an address of the host does not hear groups.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/thread.h"
#include "driver/pages/udp/peers.h"

enum { SEND_AT_ONCE = 64, SOCKETS = 2, RECEIVE_BUFFER_BYTES = 4 << 20 };

struct udp {
	struct pages_driver base;
	struct pages_params params;
	int sockets[SOCKETS];			/* [1]: the group's, or -1. */
	int stop;				/* eventfd */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t send_mutex;		/* publish() and set_peers(): addresses and what is sent. */
	VEC(union pages_address) destinations;
	struct page page;
	uint8_t datagrams[DATAGRAM_PARTS_MAX][DATAGRAM_BYTES];

	pthread_mutex_t mutex;			/* What follows. Nobody waits with it. */
	struct peers peers;
	struct pages_counts counts;
};

static struct udp *udp_of(struct pages_driver *driver)
{
	return container_of(driver, struct udp, base);
}

/* Receiving */

static void take_datagram(struct udp *udp, const uint8_t *bytes, size_t size)
{
	uint64_t now = pages_now_ns();
	struct datagram datagram;
	enum peers_verdict verdict = PEER_TAKEN;
	struct err err;
	int r = datagram_decode(bytes, size, udp->params.key, &datagram, &err);

	/* One's own, by way of the group. */
	if (r == 0 && memcmp(datagram.head.node, udp->params.node, PAGE_UID_BYTES) == 0)
		return;
	pthread_mutex_lock(&udp->mutex);
	if (r == 0)
		verdict = peers_take(&udp->peers, &datagram, now);
	udp->counts.malformed += r == -EBADMSG;
	udp->counts.unauthentic += r == -EACCES || verdict == PEER_STRANGER;
	udp->counts.replayed += verdict == PEER_REPLAYED;
	udp->counts.received += r == 0 && verdict == PEER_TAKEN;
	pthread_mutex_unlock(&udp->mutex);
}

static void drain(struct udp *udp, int fd)
{
	uint8_t bytes[DATAGRAM_BYTES + 1];	/* What is longer is seen to be. */
	ssize_t size;

	while ((size = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0)
		take_datagram(udp, bytes, (size_t)size);
}

static void *receive_until_stopped(void *data)
{
	struct udp *udp = data;
	struct pollfd fds[] = { { .fd = udp->stop, .events = POLLIN }, { .fd = udp->sockets[0], .events = POLLIN },
				{ .fd = udp->sockets[1], .events = POLLIN } };

	for (;;) {
		if (poll(fds, ARRAY_COUNT(fds), -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		for (int i = 0; i < SOCKETS; i++)
			if (fds[1 + i].revents)
				drain(udp, udp->sockets[i]);
	}
}

/* Opening */

static int open_socket(const union pages_address *address, bool is_shared, struct err *err)
{
	auto_close int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int one = 1, buffer = RECEIVE_BUFFER_BYTES;

	if (fd < 0)
		return err_set(err, -errno, "telemetry: open a socket: %m");
	if (is_shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	/* More than the administrator allows to all is not given, which is no reason to fail. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (bind(fd, &address->any, pages_address_size(address)) < 0)
		return err_set(err, -errno, "telemetry: listen at UDP port %u: %m: choose another port or address", ntohs(address->ipv4.sin_port));
	return take_fd(fd);
}

/* The address whose interface sends to the group. */
static int set_outgoing(int fd, const struct pages_params *params)
{
	int index = (int)params->group_interface;
	struct ip_mreqn request = { .imr_ifindex = index };

	if (params->bind.any.sa_family == AF_INET6)
		return index ? setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index)) : 0;
	if (!index)
		request.imr_address = params->bind.ipv4.sin_addr;
	return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof(request));
}

static int join_group(int fd, const struct pages_params *params)
{
	if (params->group.any.sa_family == AF_INET6) {
		struct ipv6_mreq request = { params->group.ipv6.sin6_addr, params->group_interface };

		return setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof(request));
	}
	struct ip_mreqn request = { params->group.ipv4.sin_addr, params->bind.ipv4.sin_addr, (int)params->group_interface };

	return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request));
}

static int open_sockets(struct udp *udp, struct err *err)
{
	const struct pages_params *params = &udp->params;

	udp->sockets[0] = open_socket(&params->bind, false, err);
	if (udp->sockets[0] < 0 || params->group.any.sa_family == AF_UNSPEC)
		return udp->sockets[0] < 0 ? udp->sockets[0] : 0;
	udp->sockets[1] = open_socket(&params->group, true, err);
	if (udp->sockets[1] < 0)
		return udp->sockets[1];
	if (join_group(udp->sockets[1], params) < 0 || set_outgoing(udp->sockets[0], params) < 0)
		return err_set(err, -errno, "telemetry: join the multicast group: %m: name the interface that leads to the other hosts");
	return 0;
}

static void udp_close(struct pages_driver *driver)
{
	struct udp *udp = udp_of(driver);

	if (!driver)
		return;
	if (udp->has_thread) {
		eventfd_write(udp->stop, 1);
		pthread_join(udp->thread, NULL);
	}
	for (int i = 0; i < SOCKETS; i++)
		closep(&udp->sockets[i]);
	closep(&udp->stop);
	peers_done(&udp->peers);
	vec_done(&udp->destinations);
	pthread_mutex_destroy(&udp->send_mutex);
	pthread_mutex_destroy(&udp->mutex);
	explicit_bzero(&udp->params, sizeof(udp->params));
	free(udp);
}

static int start(struct udp *udp, struct err *err)
{
	int r = open_sockets(udp, err);

	if (r < 0)
		return r;
	udp->stop = eventfd(0, EFD_CLOEXEC);
	if (udp->stop < 0)
		return err_set(err, -errno, "telemetry: open an eventfd: %m");
	r = thread_start("pages-udp", receive_until_stopped, udp, &udp->thread, err);
	udp->has_thread = r == 0;
	return r;
}

static int udp_open(const struct pages_params *params, struct pages_driver **ret_driver, struct err *err)
{
	struct udp *udp;
	int r = pages_check_params(params, err);

	if (r < 0)
		return r;
	udp = alloc(sizeof(*udp));
	*udp = (struct udp){ .base.ops = &pages_udp, .params = *params, .sockets = { -1, -1 }, .stop = -1 };
	pthread_mutex_init(&udp->send_mutex, NULL);
	pthread_mutex_init(&udp->mutex, NULL);
	if (params->group.any.sa_family != AF_UNSPEC)
		*vec_push(&udp->destinations) = params->group;
	r = start(udp, err);
	if (r < 0) {
		udp_close(&udp->base);
		return r;
	}
	*ret_driver = &udp->base;
	return 0;
}

/* Peers */

static int check_peers(const struct udp *udp, const struct pages_peer *peers, size_t count, struct err *err)
{
	char text[PAGE_UID_TEXT_SIZE];
	int r = pages_check_count(count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		sa_family_t family = peers[i].address.any.sa_family;

		if (family != AF_UNSPEC && family != udp->params.bind.any.sa_family)
			return err_set(err, -EINVAL, "telemetry: the address of node %s is not of the same family (IPv4 or IPv6) as the own one",
				       page_uid_text(peers[i].node, text));
	}
	return 0;
}

static int udp_set_peers(struct pages_driver *driver, const struct pages_peer *peers, size_t count, struct err *err)
{
	struct udp *udp = udp_of(driver);
	int r = check_peers(udp, peers, count, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&udp->send_mutex);
	udp->destinations.count = udp->params.group.any.sa_family != AF_UNSPEC;
	for (size_t i = 0; i < count; i++)
		if (peers[i].address.any.sa_family != AF_UNSPEC && memcmp(peers[i].node, udp->params.node, PAGE_UID_BYTES) != 0)
			*vec_push(&udp->destinations) = peers[i].address;
	pthread_mutex_unlock(&udp->send_mutex);

	pthread_mutex_lock(&udp->mutex);
	peers_set(&udp->peers, peers, count, udp->params.node);
	pthread_mutex_unlock(&udp->mutex);
	return 0;
}

/* Sending */

struct sending {
	struct mmsghdr messages[SEND_AT_ONCE];
	struct iovec parts[SEND_AT_ONCE];
	unsigned count;
	uint64_t sent, failed;
	int error;				/* The last one. */
};

/* A message that fails (a host is not reachable) is left out, and those behind it are sent. */
static void flush(struct udp *udp, struct sending *sending)
{
	for (unsigned at = 0; at < sending->count;) {
		int sent = sendmmsg(udp->sockets[0], sending->messages + at, sending->count - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0) {
			if (errno == EINTR)
				continue;
			sending->error = -errno;
			sending->failed++;
			at++;
		} else {
			sending->sent += (uint64_t)sent;
			at += (unsigned)sent;
		}
	}
	sending->count = 0;
}

static void add_message(struct udp *udp, struct sending *sending, uint8_t *datagram, size_t size, union pages_address *to)
{
	struct iovec *part = &sending->parts[sending->count];

	*part = (struct iovec){ datagram, size };
	sending->messages[sending->count++].msg_hdr = (struct msghdr){ .msg_name = to, .msg_namelen = pages_address_size(to),
								       .msg_iov = part, .msg_iovlen = 1 };
	if (sending->count == SEND_AT_ONCE)
		flush(udp, sending);
}

static void send_page(struct udp *udp, struct sending *sending)
{
	unsigned parts = datagram_parts(udp->page.instance_count);

	for (unsigned part = 0; part < parts; part++) {
		size_t size = datagram_encode(&udp->page, part, pages_now_ns(), udp->params.key, udp->datagrams[part]);

		for (size_t i = 0; i < udp->destinations.count; i++)
			add_message(udp, sending, udp->datagrams[part], size, &udp->destinations.items[i]);
	}
	flush(udp, sending);
}

static int udp_publish(struct pages_driver *driver, struct err *err)
{
	struct udp *udp = udp_of(driver);
	struct sending sending = { .count = 0 };
	int r;

	pthread_mutex_lock(&udp->send_mutex);
	r = page_read(udp->params.own, &udp->page);
	if (r == 0)
		send_page(udp, &sending);
	pthread_mutex_unlock(&udp->send_mutex);
	if (r < 0)
		return err_set(err, r, "telemetry: the own page has not been written");

	pthread_mutex_lock(&udp->mutex);
	udp->counts.sent += sending.sent;
	udp->counts.send_failures += sending.failed;
	pthread_mutex_unlock(&udp->mutex);
	if (sending.failed && !sending.sent)
		return err_set(err, sending.error, "telemetry: send to the other hosts: %m");
	return 0;
}

static int udp_read(struct pages_driver *driver, const uint8_t node[PAGE_UID_BYTES], enum pages_part part, struct page *ret_page,
		    uint64_t *ret_age_ms, struct err *err)
{
	struct udp *udp = udp_of(driver);
	int r;

	pthread_mutex_lock(&udp->mutex);
	r = peers_read(&udp->peers, node, part, pages_now_ns(), ret_page, ret_age_ms, err);
	pthread_mutex_unlock(&udp->mutex);
	return r;
}

static void udp_counts(struct pages_driver *driver, struct pages_counts *ret_counts)
{
	struct udp *udp = udp_of(driver);

	pthread_mutex_lock(&udp->mutex);
	*ret_counts = udp->counts;
	pthread_mutex_unlock(&udp->mutex);
}

const struct pages_ops pages_udp = {
	.name = "udp",
	.open = udp_open,
	.close = udp_close,
	.set_peers = udp_set_peers,
	.publish = udp_publish,
	.read = udp_read,
	.counts = udp_counts,
};

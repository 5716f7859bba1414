#include "5-interface/http/calls.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "4-service/api.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/forward.h"
#include "base/limits.h"
#include "base/mem.h"

struct mailbox {
	pthread_mutex_t lock;
	int event_fd;
	unsigned references;		/* The server and each pending call. */
	bool is_closed;
	struct pending *first, **last;
};

struct pending {
	struct mailbox *mailbox;
	struct server *server;		/* Not to be used once the mailbox is closed. */
	struct connection *connection;	/* Null: the client has gone. The server's thread's. */
	struct call *call;
	struct call_reply reply;
	struct pending *next;
};

int mailbox_new(struct mailbox **ret_mailbox, struct err *err)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct mailbox *mailbox;

	if (fd < 0)
		return err_set(err, -errno, "eventfd: %m");
	mailbox = alloc(sizeof(*mailbox));
	pthread_mutex_init(&mailbox->lock, NULL);
	mailbox->event_fd = fd;
	mailbox->references = 1;
	mailbox->last = &mailbox->first;
	*ret_mailbox = mailbox;
	return 0;
}

static void mailbox_unref(struct mailbox *mailbox)
{
	unsigned left;

	pthread_mutex_lock(&mailbox->lock);
	left = --mailbox->references;
	pthread_mutex_unlock(&mailbox->lock);
	if (left)
		return;
	close(mailbox->event_fd);
	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

int mailbox_fd(const struct mailbox *mailbox)
{
	return mailbox->event_fd;
}

void mailbox_wake(struct mailbox *mailbox)
{
	/* Fails only when the counter is full, and then the fd is readable anyway. */
	(void)!write(mailbox->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void pending_free(struct pending *pending)
{
	call_reply_done(&pending->reply);
	call_free(pending->call);
	mailbox_unref(pending->mailbox);
	free(pending);
}

/* In the core's thread. */
static void on_reply(struct call *call, struct call_reply *reply)
{
	struct pending *pending = call->data;
	struct mailbox *mailbox = pending->mailbox;
	bool is_closed;

	pending->reply = *reply;
	*reply = (struct call_reply){ .fds = { -1, -1, -1, -1, -1 } };
	pthread_mutex_lock(&mailbox->lock);
	is_closed = mailbox->is_closed;
	if (!is_closed) {
		*mailbox->last = pending;
		mailbox->last = &pending->next;
		mailbox_wake(mailbox);
	}
	pthread_mutex_unlock(&mailbox->lock);
	if (is_closed)
		pending_free(pending);
}

static struct pending *take_all(struct mailbox *mailbox)
{
	struct pending *first;

	pthread_mutex_lock(&mailbox->lock);
	first = mailbox->first;
	mailbox->first = NULL;
	mailbox->last = &mailbox->first;
	pthread_mutex_unlock(&mailbox->lock);
	return first;
}

static void answer(struct connection *connection, struct call_reply *reply)
{
	if (connection->phase == PHASE_WEBSOCKET) {
		connection_resume(connection);		/* See call_send(). */
		connection_want_write(connection);
	}
	if (reply->forward.address)
		forward_start(connection, reply);
	else
		connection->handler->replied(connection, reply);
}

void mailbox_deliver(struct mailbox *mailbox)
{
	struct pending *next;
	uint64_t count;

	(void)!read(mailbox->event_fd, &count, sizeof(count));
	for (struct pending *pending = take_all(mailbox); pending; pending = next) {
		struct connection *connection = pending->connection;

		next = pending->next;
		pending->server->calls_pending--;
		if (connection) {
			connection->pending = NULL;
			answer(connection, &pending->reply);
		}
		pending_free(pending);
	}
}

void mailbox_close(struct mailbox *mailbox)
{
	struct pending *next;

	if (!mailbox)
		return;
	pthread_mutex_lock(&mailbox->lock);
	mailbox->is_closed = true;
	pthread_mutex_unlock(&mailbox->lock);
	for (struct pending *pending = take_all(mailbox); pending; pending = next) {
		next = pending->next;
		pending_free(pending);
	}
	mailbox_unref(mailbox);
}

struct call *call_of_request(struct connection *connection)
{
	const struct request *request = &connection->request;
	struct call *call = call_new(request->route->op);

	call->kind = request->route->kind < 0 ? NULL : &kinds[request->route->kind];
	call->name = text_copy(request->name);
	call->child = text_copy(request->child);
	return call;
}

static void fill_peer(const struct connection *connection, struct call_peer *peer)
{
	struct origin origin = connection->origin;

	if (origin.channel)
		peer->via = text_copy(connection->peer.subject);
	else
		origin_of_peer(&connection->peer, connection->server->params.is_tls, &origin);
	peer->uid = origin.uid;
	peer->gid = origin.gid;
	peer->pid = origin.pid;
	peer->channel = origin.channel;
	peer->subject = origin.subject[0] ? text_copy(origin.subject) : NULL;
}

int call_send(struct connection *connection, struct call *call, struct err *err)
{
	struct server *server = connection->server;
	struct mailbox *mailbox = server->mailbox;
	struct pending *pending;

	if (server->calls_pending >= LIMIT_QUEUED_REQUESTS) {
		call_free(call);
		return err_set(err, -EAGAIN, "%d requests are waiting already: try again later", LIMIT_QUEUED_REQUESTS);
	}
	pending = alloc(sizeof(*pending));
	*pending = (struct pending){ .mailbox = mailbox, .server = server, .connection = connection, .call = call,
				     .reply.fds = { -1, -1, -1, -1, -1 } };
	fill_peer(connection, &call->peer);
	call->reply = on_reply;
	call->data = pending;
	connection->pending = pending;
	server->calls_pending++;
	pthread_mutex_lock(&mailbox->lock);
	mailbox->references++;
	pthread_mutex_unlock(&mailbox->lock);
	if (connection->phase == PHASE_WEBSOCKET)
		connection_pause(connection);		/* What it sends next is for whoever answers. */
	server->params.http.call(server->params.http.core, call);
	return 0;
}

void call_abandon(struct connection *connection)
{
	struct pending *pending = connection->pending;

	if (!pending)
		return;
	connection->pending = NULL;
	pending->connection = NULL;
	__atomic_store_n(&pending->call->is_cancelled, true, __ATOMIC_RELAXED);
}

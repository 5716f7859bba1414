/*
 * forward.h - a request that another node must answer: it goes there whole, and all that comes back to the client.
 *
 * Theory of operation.  The core has answered "there" (call_reply.forward).  The handler that asked it goes, after it has given
 * back what it had read of the body, and handler_forward takes its place: it connects to the node (upstream.h), sends the request line
 * as it came, its own headers, and the body, and then hands bytes on in both directions, as fast as the slower side takes them.
 * Answers are not read but passed on; since nobody here knows where they end, the other host is asked to close after it, which
 * its head says, and so the client's connection is closed too.
 *
 * A WebSocket's client has its 101 already when the core is asked.  So the other host's is read and dropped, an error in
 * its place becomes a frame, and frames pass through as bytes.  calls.c sees to it that nothing a client sends
 * after its request is read until the core has answered.
 *
 * Threads: the server's.
 */
#ifndef HTTP_FORWARD_H
#define HTTP_FORWARD_H

struct call_reply;
struct connection;

/* In place of handler->replied(), which may not write either. */
void forward_start(struct connection *connection, const struct call_reply *reply);

#endif

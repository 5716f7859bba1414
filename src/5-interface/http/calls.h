/*
 * calls.h - questions to the core and its answers, which come from the core's thread.
 *
 * A mailbox is shared by the server and every call on its way, and goes with the last of them: a
 * server may stop, and a client leave, while the core still works on an answer.
 *
 * Threads: the server's, but for what the core calls.
 */
#ifndef HTTP_CALLS_H
#define HTTP_CALLS_H

#include "base/err.h"

struct connection;
struct mailbox;

int mailbox_new(struct mailbox **ret_mailbox, struct err *err);
void mailbox_close(struct mailbox *mailbox);	/* What is answered later is dropped. Null is fine. */
int mailbox_fd(const struct mailbox *mailbox);	/* Readable after mailbox_wake() or an answer. */
void mailbox_wake(struct mailbox *mailbox);	/* Any thread. */
void mailbox_deliver(struct mailbox *mailbox);	/* Hands the answers to the handlers. */

/* The client has gone: the core is told, and its answer will be dropped. */
void call_abandon(struct connection *connection);

#endif

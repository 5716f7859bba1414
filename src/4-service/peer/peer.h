/*
 * peer.h - one host asks another: one request over TLS, one answer, and the thread waits for it.
 *
 * Who answers is known by one of two ways: before a host has joined by the CA's fingerprint, which its join token
 * has; afterwards by the CA of its folder and the uid of the node that is asked, and then it shows its own certificate.
 *
 * Errors:  -EHOSTUNREACH "node cannot be reached ...", -ETIMEDOUT, -ECANCELED, -EACCES: it is not who it should be, -EPROTO: its
 *          answer is no HTTP or too large; and what the answer itself says (err_from_http_status() with its message).
 * Memory:  everything in the request is borrowed.
 * Threads: any; for workers and the command, since it blocks. SIGPIPE must be ignored.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

enum { PEER_CONNECT_MS = 2000, PEER_ANSWER_BYTES_MAX = 1 << 20 };

struct peer_request {
	const char *address;		/* "192.0.2.1:8443", "[::1]:8443", "a.example:8443" */
	const char *method, *path;	/* "POST", "/v1/cluster/join" */
	const char *body;		/* JSON; null: none. */
	const char *ca_fingerprint;	/* Of a join: 64 hex digits; the answer may come from any host of that CA. */
	const char *folder, *node_uid;	/* Else: of pki.h, and who has to answer; uid null: any host of the CA. */
	int64_t timeout_ms;		/* For all; connecting never takes more than PEER_CONNECT_MS. */
	const bool *is_cancelled;	/* May be null; looked at ten times a second. */
};

/* *ret_answer is null when the answer has no body. */
int peer_ask(const struct peer_request *request, struct json **ret_answer, struct err *err);
/* The body of the answer, of any size, goes to 'to_fd'; timeout_ms is for each piece of it. */
int peer_get(const struct peer_request *request, int to_fd, struct err *err);

#endif

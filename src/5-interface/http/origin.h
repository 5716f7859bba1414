/*
 * origin.h - the header Strata-Forwarded: who has asked, at the host that a request came to first.
 *
 *	unix <uid> <gid> <pid>		on its socket
 *	tls <name>			with a user's certificate
 *	node <uid>			another host
 *	join				a host that has no certificate yet
 *
 * It is taken from hosts only (connection.c): anybody else could say anything.
 *
 * Errors:  -EINVAL.
 * Threads: any.
 */
#ifndef HTTP_ORIGIN_H
#define HTTP_ORIGIN_H

#include <stdbool.h>
#include <sys/types.h>

#include "4-service/pki/pki.h"
#include "5-interface/http/peer.h"
#include "base/err.h"
#include "base/str.h"

struct origin {
	const char *channel;		/* As in struct call_peer; static. */
	uid_t uid;
	gid_t gid;
	pid_t pid;
	char subject[PKI_NAME_SIZE];	/* "": none. */
};

/* Of who is connected here; 'is_tls': by the TLS listener. */
void origin_of_peer(const struct peer *peer, bool is_tls, struct origin *ret_origin);
void origin_write(const struct origin *origin, struct str *out);
int origin_parse(const char *text, struct origin *ret_origin, struct err *err);

#endif

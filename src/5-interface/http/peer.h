/*
 * peer.h - who is at the other end, and whether they may use the daemon.
 *
 * On the unix socket the kernel says so (SO_PEERCRED, SO_PEERGROUPS: the credentials at the
 * time of connect, which are also what decided whether the socket could be opened).  No name
 * service is asked but for the name in a refusal: it may block.
 */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool is_allowed;
	bool is_node;			/* TLS: it shows the certificate of a host of this CA. */
	bool is_stranger;		/* TLS: it shows none. */
	char *subject;			/* TLS: the user, or the uid of the node. Owned. */
};

/* 'group' is the group whose members may, or (gid_t)-1. On failure nobody is allowed. */
void peer_of_socket(int fd, gid_t group, struct peer *ret_peer);
/* Sets what to tell somebody who is not allowed. */
int peer_refusal(const struct peer *peer, const char *group_name, struct err *err);

gid_t peer_group_id(const char *name);		/* (gid_t)-1: there is no such group. */

#endif

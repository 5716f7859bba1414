#include "5-interface/http/peer.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { NAME_BUFFER = 16 << 10, GROUPS_TYPICAL = 64 };

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static bool has_group(int fd, gid_t group)
{
	gid_t few[GROUPS_TYPICAL];
	auto_free gid_t *many = NULL;
	gid_t *groups = few;
	socklen_t size = sizeof(few);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
		if (errno != ERANGE)
			return false;
		groups = many = alloc(size);	/* The kernel has said how much it takes: 64 Ki groups at most. */
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
			return false;
	}
	for (size_t i = 0; i < size / sizeof(gid_t); i++)
		if (groups[i] == group)
			return true;
	return false;
}

void peer_of_socket(int fd, gid_t group, struct peer *ret_peer)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	*ret_peer = (struct peer){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return;
	ret_peer->uid = cred.uid;
	ret_peer->gid = cred.gid;
	ret_peer->pid = cred.pid;
	ret_peer->is_allowed = cred.uid == 0 || cred.uid == geteuid() ||
			       (group != (gid_t)-1 && (cred.gid == group || has_group(fd, group)));
}

int peer_refusal(const struct peer *peer, const char *group_name, struct err *err)
{
	auto_free char *buffer = alloc(NAME_BUFFER);
	struct passwd user, *found = NULL;
	char number[24];

	snprintf(number, sizeof(number), "%u", peer->uid);
	getpwuid_r(peer->uid, &user, buffer, NAME_BUFFER, &found);
	return err_set(err, -EACCES, "user '%s' may not use this daemon: add the user to the group '%s' or use sudo",
		       shown(found ? found->pw_name : number), group_name);
}

gid_t peer_group_id(const char *name)
{
	auto_free char *buffer = alloc(NAME_BUFFER);
	struct group group, *found = NULL;

	getgrnam_r(name, &group, buffer, NAME_BUFFER, &found);
	return found ? found->gr_gid : (gid_t)-1;
}

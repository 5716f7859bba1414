#include "app/wiring/peers.h"

#include <errno.h>

#include "4-service/peer/peer.h"
#include "base/str.h"

enum { PIECE_TIMEOUT_MS = 30000 };

static int get(void *data, const struct peer *peer, const char *path, int to_fd, const struct volume_progress *progress, struct err *err)
{
	const struct peer_request request = {
		.address = peer->address, .method = "GET", .path = path, .folder = data, .node_uid = peer->uid, .timeout_ms = PIECE_TIMEOUT_MS,
		.is_cancelled = progress ? progress->is_cancelled : NULL,
	};

	if (!peer->address)
		return err_set(err, -EHOSTUNREACH, "node '%s' has no address where others reach it: set 'api.listen' there", peer->name ? peer->name : "?");
	return peer_get(&request, to_fd, err);
}

struct peer_source wiring_peers(const char *certificates)
{
	return (struct peer_source){ .get = get, .data = (void *)certificates };
}

#include "4-service/api.h"

#include <unistd.h>

#include "base/mem.h"

struct call *call_new(enum call_op op)
{
	struct call *call = alloc(sizeof(*call));

	call->op = op;
	return call;
}

void call_free(struct call *call)
{
	if (!call)
		return;
	free(call->name);
	free(call->child);
	json_free(call->body);
	free(call->peer.subject);
	free(call->peer.via);
	free(call);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(take_fd(*fd));
}

void call_reply_done(struct call_reply *reply)
{
	str_done(&reply->body);
	close_fd(&reply->fds.input);
	close_fd(&reply->fds.output);
	close_fd(&reply->fds.error);
	close_fd(&reply->fds.resize);
	close_fd(&reply->fds.result);
	free(take(reply->path));
	free(take(reply->forward.address));
	free(take(reply->forward.uid));
	free(take(reply->forward.name));
}

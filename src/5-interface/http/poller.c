#include "5-interface/http/poller.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

enum { EVENTS_PER_DISPATCH = 64 };	/* Then connections get their turn. */

struct poller {
	int epoll_fd;
};

struct source {
	struct poller *poller;
	int fd;
	uint32_t events;
	source_fn *fn;
	void *data;
};

int poller_new(struct poller **ret_poller, struct err *err)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "epoll_create1: %m");
	*ret_poller = alloc(sizeof(**ret_poller));
	(*ret_poller)->epoll_fd = fd;
	return 0;
}

void poller_free(struct poller *poller)
{
	if (!poller)
		return;
	close(poller->epoll_fd);
	free(poller);
}

int poller_fd(const struct poller *poller)
{
	return poller->epoll_fd;
}

/* One event at a time: a callback may remove any other source. */
void poller_dispatch(struct poller *poller)
{
	for (int i = 0; i < EVENTS_PER_DISPATCH; i++) {
		struct epoll_event event;
		struct source *source;

		if (epoll_wait(poller->epoll_fd, &event, 1, 0) <= 0)
			return;
		source = event.data.ptr;
		source->fn(source->data, event.events);
	}
}

struct source *source_new(struct poller *poller, int fd, source_fn *fn, void *data)
{
	struct source *source = alloc(sizeof(*source));

	*source = (struct source){ .poller = poller, .fd = fd, .fn = fn, .data = data };
	return source;
}

void source_want(struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };
	int operation = !events ? EPOLL_CTL_DEL : source->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == source->events)
		return;
	/* A bad fd or one that cannot be watched is a mistake of ours; no memory is the end anyway. */
	if (epoll_ctl(source->poller->epoll_fd, operation, source->fd, &event) < 0)
		abort();
	source->events = events;
}

void source_remove(struct source *source)
{
	if (!source)
		return;
	source_want(source, 0);
	free(source);
}

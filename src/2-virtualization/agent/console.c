/*
 * console.c - consoles: many people type, one line goes in; everybody reads the log.
 *
 * What the guest prints goes from the machine straight into its console log, also while the
 * daemon is down; watchers follow that file.  Only keys pass through here: each watcher gets
 * one end of a socket pair, the hub reads the others and writes to the machine's console.
 */
#include "2-virtualization/agent/item.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

struct console;

struct watcher {
	struct console *console;
	int fd;
	struct loop_source *source;
};

struct console {
	struct console_hub *hub;
	char *uid;
	int fd;				/* To the machine. */
	struct loop_source *source;
	VEC(struct watcher *) watchers;
};

struct console_hub {
	struct agent *agent;
	struct map consoles;		/* uid -> console. */
};

struct console_hub *console_hub_new(struct agent *agent)
{
	struct console_hub *hub = alloc(sizeof(*hub));

	hub->agent = agent;
	return hub;
}

static void watcher_free(struct watcher *watcher)
{
	loop_remove(watcher->source);
	close(watcher->fd);
	free(watcher);
}

static void console_free(struct console *console)
{
	for (size_t i = 0; i < console->watchers.count; i++)
		watcher_free(console->watchers.items[i]);
	vec_done(&console->watchers);
	loop_remove(console->source);
	if (console->fd >= 0)
		close(console->fd);
	free(console->uid);
	free(console);
}

void console_hub_forget(struct console_hub *hub, const char *uid)
{
	struct console *console = map_remove(&hub->consoles, uid);

	if (console)
		console_free(console);
}

void console_hub_free(struct console_hub *hub)
{
	while (hub->consoles.count)
		console_hub_forget(hub, hub->consoles.entries[0].key);
	map_done(&hub->consoles);
	free(hub);
}

/* What comes from the machine is in the log already; an end means that it is gone. */
static void machine_readable(void *data, int fd, uint32_t events)
{
	struct console *console = data;
	char buffer[4096];
	ssize_t size;

	(void)events;
	do {
		size = read(fd, buffer, sizeof(buffer));
	} while (size > 0);
	if (size == 0 || (errno != EAGAIN && errno != EINTR))
		console_hub_forget(console->hub, console->uid);
}

static void remove_watcher(struct console *console, struct watcher *watcher)
{
	for (size_t i = 0; i < console->watchers.count; i++)
		if (console->watchers.items[i] == watcher) {
			vec_remove(&console->watchers, i);
			break;
		}
	watcher_free(watcher);
	if (!console->watchers.count)
		console_hub_forget(console->hub, console->uid);	/* Nobody types: give the line back. */
}

static void keys_readable(void *data, int fd, uint32_t events)
{
	struct watcher *watcher = data;
	char buffer[512];
	ssize_t size = read(fd, buffer, sizeof(buffer));

	(void)events;
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		remove_watcher(watcher->console, watcher);
		return;
	}
	/* A guest that does not read its serial port loses keys, as a real one does. */
	if (send(watcher->console->fd, buffer, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE)
		console_hub_forget(watcher->console->hub, watcher->console->uid);
}

static struct console *open_console(struct console_hub *hub, const char *uid, struct err *err)
{
	struct agent *agent = hub->agent;
	struct item *item = item_get(agent, uid);
	struct console *console = map_get(&hub->consoles, uid);

	if (console)
		return console;
	if (!item) {
		err_set(err, -ENOENT, "the instance does not exist any more");
		return NULL;
	}
	console = alloc(sizeof(*console));
	*console = (struct console){ .hub = hub, .uid = text_copy(uid), .fd = -1 };
	if (item->machine->ops->console_open(item->machine, uid, &console->fd, err) < 0 ||
	    fcntl(console->fd, F_SETFL, O_NONBLOCK) < 0 ||
	    loop_add_fd(agent->params.loop, console->fd, EPOLLIN, machine_readable, console, &console->source, err) < 0) {
		console_free(console);
		return NULL;
	}
	map_put(&hub->consoles, uid, console);
	return console;
}

int agent_console_open(struct agent *agent, const char *instance_uid, int *ret_input, struct err *err)
{
	struct console *console;
	struct watcher *watcher;
	int pair[2], r;

	console = open_console(agent->consoles, instance_uid, err);
	if (!console)
		return err->code;
	if (console->watchers.count >= LIMIT_CONSOLE_WATCHERS)
		return err_set(err, -EAGAIN, "%d people are at this console already", LIMIT_CONSOLE_WATCHERS);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_set(err, -errno, "make a socket pair: %m");
	watcher = alloc(sizeof(*watcher));
	*watcher = (struct watcher){ .console = console, .fd = pair[0] };
	r = loop_add_fd(agent->params.loop, watcher->fd, EPOLLIN, keys_readable, watcher, &watcher->source, err);
	if (r < 0) {
		watcher_free(watcher);
		close(pair[1]);
		return r;
	}
	*vec_push(&console->watchers) = watcher;
	*ret_input = pair[1];
	return 0;
}

/*
 * The log and its predecessor together stay within the limit.  The machine appends with O_APPEND,
 * so after the copy the file is emptied in place; bytes printed in the instant between are lost.
 */
void console_log_trim(const char *path, uint64_t max_bytes)
{
	auto_free char *older = text_format("%s.1", path);
	auto_str struct str content = { 0 };
	struct err ignored = { 0 };
	struct stat st;

	if (stat(path, &st) < 0 || (uint64_t)st.st_size <= max_bytes / 2)
		return;
	/* A guest may have printed far more than the limit since the last look: only the end is kept. */
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	str_reserve(&content, max_bytes / 2);
	ssize_t size = pread(fd, content.data, max_bytes / 2, st.st_size - (off_t)(max_bytes / 2));
	if (size <= 0 || file_write_atomic(older, content.data, (size_t)size, 0600, &ignored) < 0)
		return;
	if (ftruncate(fd, 0) < 0)
		return;
}

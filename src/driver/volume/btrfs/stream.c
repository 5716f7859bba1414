/* Trees as streams: what `btrfs send` says, in records, and back through the filter into `btrfs receive`. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "driver/volume/btrfs/filter.h"
#include "driver/volume/btrfs/ways.h"

enum { MESSAGE_MAX = 4096, CANCEL_POLL_MS = 100 };
#define ALIAS "base"

struct tool {				/* `btrfs`, running; its stdin or stdout is the other end of 'fd'. */
	pid_t pid;
	int pidfd, fd, messages_fd;
};

static void tool_done(struct tool *tool)
{
	siginfo_t info;

	closep(&tool->fd);
	if (tool->pidfd >= 0) {
		kill(tool->pid, SIGKILL);
		while (waitid(P_PIDFD, (id_t)tool->pidfd, &info, WEXITED) < 0 && errno == EINTR)
			;
	}
	closep(&tool->pidfd);
	closep(&tool->messages_fd);
}
#define auto_tool __attribute__((cleanup(tool_done)))
#define TOOL_NONE { .pidfd = -1, .fd = -1, .messages_fd = -1 }

/* A socket and no pipe: writing to one whose reader has gone raises no signal. */
static int tool_start(struct tool *tool, const char *const *argv, int its_fd, struct err *err)
{
	auto_close int theirs = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "make a pair of sockets: %m");
	tool->fd = pair[0];
	theirs = pair[1];
	tool->messages_fd = memfd_create("messages", MFD_CLOEXEC);
	if (tool->messages_fd < 0)
		return err_set(err, -errno, "make a file in memory: %m");
	const struct spawn_fd fds[] = { { theirs, its_fd }, { tool->messages_fd, STDERR_FILENO } };
	const struct spawn_params params = { .argv = argv, .fds = fds, .fd_count = ARRAY_COUNT(fds), .ends_with_parent = true };
	return spawn_start(&params, &tool->pid, &tool->pidfd, err);
}

/* The last line of what it said. */
static int explain(const struct tool *tool, int otherwise, struct err *err)
{
	char text[MESSAGE_MAX + 1] = "", *line;
	ssize_t n = pread(tool->messages_fd, text, MESSAGE_MAX, 0);

	text[n > 0 ? n : 0] = '\0';
	for (n = (ssize_t)strlen(text); n > 0 && text[n - 1] == '\n';)
		text[--n] = '\0';
	line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
	if (strstr(text, "No space left"))
		otherwise = -ENOSPC;
	if (strstr(text, "Disk quota exceeded"))
		otherwise = -EDQUOT;
	if (strstr(text, "Read-only file system"))
		otherwise = -EROFS;
	return err_set(err, otherwise, "btrfs: %s%s", text_shown(line[0] ? line : "failed and said nothing", 160, (char[176]){ 0 }, 176),
		       place_remedy(otherwise));
}

static int tool_end(struct tool *tool, int otherwise, struct err *err)
{
	siginfo_t info = { 0 };

	closep(&tool->fd);
	tool->fd = -1;
	while (waitid(P_PIDFD, (id_t)tool->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	close(take_fd(tool->pidfd));
	return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : explain(tool, otherwise, err);
}

/* `btrfs` wants paths. */
static int path_of(int fd, char path[PATH_MAX], struct err *err)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return err_set(err, -errno, "find the path of a folder: %m");
	path[n] = '\0';
	return 0;
}

/* Until the program closes its end. */
static int send_output(struct tool *tool, struct frames_writer *writer, struct err *err)
{
	auto_free unsigned char *buffer = alloc(FRAMES_DATA_MAX);

	for (;;) {
		struct pollfd poll_fd = { .fd = tool->fd, .events = POLLIN };
		ssize_t n;
		int r;

		if (volume_is_cancelled(writer->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if (poll(&poll_fd, 1, CANCEL_POLL_MS) <= 0)
			continue;
		n = read(tool->fd, buffer, FRAMES_DATA_MAX);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read from btrfs send: %m");
		if (n == 0)
			return 0;
		if ((r = frames_put(writer, FRAMES_RAW, NULL, 0, buffer, (size_t)n, err)) < 0)
			return r;
		volume_report(writer->progress, writer->bytes, 0);
	}
}

int btrfs_stream_send(const struct place *place, int snapshot_fd, int base_fd, struct frames_writer *writer, struct err *err)
{
	char snapshot[PATH_MAX], base[PATH_MAX];
	const char *const whole[] = { "btrfs", "send", "-q", snapshot, NULL };
	const char *const changes[] = { "btrfs", "send", "-q", "-p", base, snapshot, NULL };
	auto_tool struct tool tool = TOOL_NONE;
	int r;

	(void)place;
	if ((r = path_of(snapshot_fd, snapshot, err)) < 0 || (base_fd >= 0 && (r = path_of(base_fd, base, err)) < 0) ||
	    (r = tool_start(&tool, base_fd >= 0 ? changes : whole, STDOUT_FILENO, err)) < 0 ||
	    (r = send_output(&tool, writer, err)) < 0)
		return r;
	return tool_end(&tool, -EIO, err);
}

static int write_all(struct tool *tool, const struct str *bytes, struct err *err)
{
	size_t done = 0;

	while (done < bytes->size) {
		ssize_t n = send(tool->fd, bytes->data + done, bytes->size - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)		/* It has ended: why, it said itself. */
			return errno == EPIPE || errno == ECONNRESET ? tool_end(tool, -EINVAL, err) :
								       err_set(err, -errno, "write to btrfs receive: %m");
		done += (size_t)n;
	}
	return 0;
}

static int pass_on(struct tool *tool, struct filter *filter, struct frames_reader *reader, struct err *err)
{
	auto_str struct str passed = { 0 };
	int r;

	while ((r = frames_next(reader, err)) == 0 && !reader->has_ended) {
		if (reader->type != FRAMES_RAW)
			return frames_damaged(reader, err);
		str_clear(&passed);
		if ((r = filter_feed(filter, reader->payload, reader->size, &passed, err)) < 0 ||
		    (r = write_all(tool, &passed, err)) < 0)
			return r;
	}
	return r < 0 ? r : filter_end(filter, err);
}

static int receive_into(int dir_fd, struct filter *filter, struct frames_reader *reader, struct err *err)
{
	char directory[PATH_MAX];
	const char *const argv[] = { "btrfs", "-q", "receive", "-C", "-e", directory, NULL };
	auto_tool struct tool tool = TOOL_NONE;
	int r;

	if ((r = path_of(dir_fd, directory, err)) < 0 || (r = tool_start(&tool, argv, STDIN_FILENO, err)) < 0 ||
	    (r = pass_on(&tool, filter, reader, err)) < 0)
		return r;
	return tool_end(&tool, -EINVAL, err);
}

/*
 * `btrfs receive` looks for the base by UUID in the whole file system, where another volume may say the same one of itself: one
 * received from the same stream, or one whose stranger wants to be taken for it. So a copy of ours, gone again with the
 * folder that is being built, gets a UUID that nobody can know.
 */
static int make_alias(int base_fd, int dir_fd, unsigned char alias[SUBVOLUME_UUID_SIZE], struct err *err)
{
	auto_close int fd = -1;
	int r = subvolume_snapshot(base_fd, dir_fd, ALIAS, false, err);

	if (r < 0)
		return r;
	if (getrandom(alias, SUBVOLUME_UUID_SIZE, 0) != SUBVOLUME_UUID_SIZE)
		return err_set(err, -errno, "getrandom: %m");
	fd = openat(dir_fd, ALIAS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "open a copy of the base: %m") : subvolume_set_received(fd, alias, err);
}

int btrfs_stream_receive(const struct place *place, int base_fd, struct frames_reader *reader, int dir_fd, const char *name,
			 struct err *err)
{
	unsigned char alias[SUBVOLUME_UUID_SIZE] = { 0 };
	struct filter filter;
	int r = base_fd < 0 ? 0 : make_alias(base_fd, dir_fd, alias, err);

	(void)place;
	if (r < 0 || (r = filter_init(&filter, base_fd, alias, err)) < 0)
		return r;
	if ((r = receive_into(dir_fd, &filter, reader, err)) == 0 && strcmp(filter.name, name) != 0 &&
	    renameat2(dir_fd, filter.name, dir_fd, name, RENAME_NOREPLACE) < 0)
		r = err_set(err, -errno, "name what was received: %m");
	filter_done(&filter);
	return r;
}

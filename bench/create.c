/*
 * Durable creates per second: 16 clients, each of which waits until its instance is on the disk, against the
 * disk's own fsyncs per second. How many fsyncs the daemon spent is counted by the kernel (tracepoints
 * of fsync and fdatasync), where it lets us.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "lib/load.h"
#include "lib/node.h"

enum { ROUNDS = 5, QUICK_ROUNDS = 3, CLIENTS = 16, CREATES = 1000, WARM_UP = 100, FSYNC_MS = 1000, BLOCK_BYTES = 4096 };

/* Counting */

struct counter { VEC(int) fds; };

static int tracepoint_id(const char *syscall, uint64_t *ret_id)
{
	auto_free char *path = text_format("/sys/kernel/tracing/events/syscalls/sys_enter_%s/id", syscall);
	auto_str struct str text = { 0 };
	struct err err;

	if (file_read_all(path, 64, &text, &err) < 0)
		return err.code;
	*ret_id = strtoull(str_text(&text), NULL, 10);
	return 0;
}

/* Of one thread, and of those it starts from now on. */
static int count_thread(struct counter *counter, pid_t thread, uint64_t id)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attributes), .config = id, .inherit = 1 };
	int fd = (int)syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	*vec_push(&counter->fds) = fd;
	return 0;
}

static int count_process(struct counter *counter, pid_t pid, const char *syscall)
{
	auto_free char *path = text_format("/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	uint64_t id;
	int r = tracepoint_id(syscall, &id);

	if (!tasks)
		return -errno;
	for (struct dirent *entry; r == 0 && (entry = readdir(tasks));)
		if (entry->d_name[0] != '.')
			r = count_thread(counter, atoi(entry->d_name), id);
	closedir(tasks);
	return r;
}

/* -errno where the kernel has no tracepoints or does not show them. */
static int counter_open(struct counter *counter, pid_t pid)
{
	int r;

	/* Our mounts are our own. */
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	r = count_process(counter, pid, "fsync");
	return r < 0 ? r : count_process(counter, pid, "fdatasync");
}

static uint64_t counter_read(const struct counter *counter)
{
	uint64_t sum = 0, count;

	for (size_t i = 0; i < counter->fds.count; i++)
		if (read(counter->fds.items[i], &count, sizeof(count)) == sizeof(count))
			sum += count;
	return sum;
}

static void counter_close(struct counter *counter)
{
	for (size_t i = 0; i < counter->fds.count; i++)
		close(counter->fds.items[i]);
	vec_done(&counter->fds);
}

/* Measuring */

/* Appends a block and waits for the disk, over and over. */
static int measure_disk(const struct bench *bench, double *ret_per_second, struct err *err)
{
	auto_free char *path = text_format("%s/fsync", bench->folder);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char block[BLOCK_BYTES] = { 1 };
	double start = now_ms(), elapsed = 0;
	uint64_t count = 0;

	for (; elapsed < FSYNC_MS; elapsed = now_ms() - start, count++)
		if (write(fd, block, sizeof(block)) != sizeof(block) || fdatasync(fd) < 0)
			return err_set(err, -errno, "write '%s': %m", path);
	*ret_per_second = (double)count / elapsed * 1e3;
	return 0;
}

static void write_create(void *data, uint64_t index, struct str *out)
{
	char body[160];
	int size = snprintf(body, sizeof(body),
			    "{\"meta\": {\"name\": \"c%llu\"}, \"spec\": {\"image\": \"tiny\", \"power\": \"stopped\"}}",
			    (unsigned long long)index);

	(void)data;
	load_post(out, "/v1/instances", body, (size_t)size);
}

static int measure_creates(const struct node *node, double *ret_per_second, struct err *err)
{
	struct load load = { .socket = node->socket, .connections = CLIENTS, .requests = CREATES, .write = write_create, .status = 201 };
	struct load_result result = { 0 };
	int r = load_run(&load, &result, err);

	if (r == 0)
		*ret_per_second = load_rate(&load, &result);
	load_result_done(&result);
	return r;
}

struct figures {
	struct samples creates, disk;	/* Per second. */
	struct samples per_fsync;	/* Creates per fsync that the daemon called; empty: not counted. */
};

static int measure_node(struct node *node, struct figures *figures, struct err *err)
{
	struct counter counter = { 0 };
	bool is_counted = counter_open(&counter, node->pid) == 0;
	uint64_t before = counter_read(&counter), spent;
	double rate = 0;
	int r = measure_creates(node, &rate, err);

	spent = counter_read(&counter) - before;
	counter_close(&counter);
	samples_add(&figures->creates, rate);
	if (is_counted && spent)
		samples_add(&figures->per_fsync, (double)CREATES / (double)spent);
	return r;
}

/* A new daemon each time, so that all rounds are alike. */
static int measure_round(const struct bench *bench, int round, struct figures *figures, struct err *err)
{
	auto_free char *name = text_format("node%d", round);
	auto_node struct node node;
	double disk = 0;
	int r;

	node_init(&node, bench, name, true);
	r = node_start(&node, NULL, err);
	if (r == 0)
		r = node_fill_up(&node, WARM_UP, false, err);
	if (r == 0)
		r = measure_node(&node, figures, err);
	if (r == 0)
		r = node_stop(&node, err);
	if (r == 0)
		r = measure_disk(bench, &disk, err);
	samples_add(&figures->disk, disk);
	return r;
}

static void print(struct figures *figures)
{
	double creates = samples_median(&figures->creates), disk = samples_median(&figures->disk);
	bool is_counted = figures->per_fsync.values.count > 0;

	row_print(&(struct row){
		.promise = "durable creates (sim), 16 clients, each acknowledged after fsync",
		.measured = cell("%.0f/s", creates),
		.floor = cell("this disk: %.0f fsync/s", disk),
		.comparison = is_counted ? cell("%.1f creates per fsync of the daemon; %.1f times the disk's rate",
						samples_median(&figures->per_fsync), creates / disk) :
					   cell("%.1f times the disk's rate (fsyncs could not be counted)", creates / disk),
		.target = "≥ 10 creates per fsync",
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	struct figures figures = { 0 };
	int r = 0;

	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++)
		r = measure_round(bench, i, &figures, err);
	if (r == 0)
		print(&figures);
	samples_done(&figures.creates);
	samples_done(&figures.disk);
	samples_done(&figures.per_fsync);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

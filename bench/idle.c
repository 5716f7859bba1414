/* What stratad costs while nothing happens: memory without and with instances, and how often it wakes up. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "lib/empty.h"
#include "lib/node.h"

enum { INSTANCES = 100, SECONDS = 10, QUICK_SECONDS = 5, SETTLE_SECONDS = 12, PROC_BYTES = 64 << 10 };

/* The number behind 'key' in a file of /proc. */
static int read_number(const char *path, const char *key, double *ret_number, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = file_read_all(path, PROC_BYTES, &text, err);
	const char *found = strstr(str_text(&text), key);

	if (r < 0)
		return r;
	if (!found)
		return err_set(err, -ENODATA, "%s has no '%s'", path, key);
	*ret_number = strtod(found + strlen(key), NULL);
	return 0;
}

static int read_pss_mib(pid_t pid, double *ret_mib, struct err *err)
{
	auto_free char *path = text_format("/proc/%d/smaps_rollup", pid);
	double kib;
	int r = read_number(path, "\nPss:", &kib, err);

	if (r == 0)
		*ret_mib = kib / 1024;
	return r;
}

/* Each wake-up of a thread ends in giving up the CPU again. */
struct thread { pid_t id; double switches; };
struct threads { VEC(struct thread) list; };

static void threads_done(struct threads *threads)
{
	vec_done(&threads->list);
}
#define auto_threads __attribute__((cleanup(threads_done)))

static int read_thread(const char *task, const char *id, struct threads *threads, struct err *err)
{
	auto_free char *path = text_format("%s/%s/status", task, id);
	struct thread thread = { .id = atoi(id) };
	int r = read_number(path, "\nvoluntary_ctxt_switches:", &thread.switches, err);

	if (r == 0)
		*vec_push(&threads->list) = thread;
	return r == -ENOENT || r == -ESRCH ? 0 : r;	/* It has just ended. */
}

static int read_threads(pid_t pid, struct threads *threads, struct err *err)
{
	auto_free char *path = text_format("/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	int r = 0;

	if (!tasks)
		return err_set(err, -errno, "open '%s': %m", path);
	for (struct dirent *entry; r == 0 && (entry = readdir(tasks));)
		if (entry->d_name[0] != '.')
			r = read_thread(path, entry->d_name, threads, err);
	closedir(tasks);
	return r;
}

static double switches_of(const struct threads *threads, pid_t id, double fallback)
{
	for (size_t i = 0; i < threads->list.count; i++)
		if (threads->list.items[i].id == id)
			return threads->list.items[i].switches;
	return fallback;
}

/* A thread that has ended woke up once more to do so. */
static double count_wakeups(const struct threads *before, const struct threads *after)
{
	double sum = 0;

	for (size_t i = 0; i < after->list.count; i++)
		sum += after->list.items[i].switches - switches_of(before, after->list.items[i].id, 0);
	for (size_t i = 0; i < before->list.count; i++)
		sum += switches_of(after, before->list.items[i].id, -1) < 0;
	return sum;
}

static void pass_seconds(int seconds)
{
	nanosleep(&(struct timespec){ .tv_sec = seconds }, NULL);
}

static int measure_wakeups(pid_t pid, int seconds, double *ret_per_second, struct err *err)
{
	auto_threads struct threads before = { 0 }, after = { 0 };
	double start = now_ms();
	int r = read_threads(pid, &before, err);

	if (r < 0)
		return r;
	pass_seconds(seconds);
	r = read_threads(pid, &after, err);
	if (r == 0)
		*ret_per_second = count_wakeups(&before, &after) / (now_ms() - start) * 1e3;
	return r;
}

struct idle { double mib, wakeups; };

static int measure_node(const struct bench *bench, size_t instances, struct idle *ret_idle, struct err *err)
{
	auto_node struct node node;
	int r;

	node_init(&node, bench, instances ? "full" : "empty", true);
	r = node_start(&node, NULL, err);
	if (r == 0 && instances)
		r = node_fill_up(&node, instances, true, err);
	if (r < 0)
		return r;
	/* Guest agents appear a second after their machine; workers that have had nothing to do for ten seconds end. */
	pass_seconds(SETTLE_SECONDS);
	r = measure_wakeups(node.pid, bench->is_quick ? QUICK_SECONDS : SECONDS, &ret_idle->wakeups, err);
	return r < 0 ? r : read_pss_mib(node.pid, &ret_idle->mib, err);
}

/* The same libraries with one handler and no state. It shares pages with us, who forked it, so it looks smaller. */
static int measure_floor(const struct bench *bench, double *ret_mib, struct err *err)
{
	auto_empty struct empty empty = { 0 };
	int r = empty_start(&empty, bench, 2, err);

	return r < 0 ? r : read_pss_mib(empty.pid, ret_mib, err);
}

static void print(const char *promise, double mib, double floor, const char *target)
{
	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.1f MiB", mib),
		.floor = cell("empty libwebsockets server %.1f MiB", floor),
		.comparison = cell("%+.1f MiB", mib - floor),
		.target = target,
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	struct idle empty = { 0 }, full = { 0 };
	double floor = 0;
	int r = measure_floor(bench, &floor, err);

	if (r == 0)
		r = measure_node(bench, 0, &empty, err);
	if (r == 0)
		r = measure_node(bench, INSTANCES, &full, err);
	if (r < 0)
		return r;
	print("idle memory of `stratad` (PSS), no instances", empty.mib, floor, "≤ 10 MiB");
	print("the same, 100 running instances (sim)", full.mib, floor, "≤ 12 MiB");
	row_print(&(struct row){
		.promise = "wake-ups per second when idle, 100 running instances (sim)",
		.measured = cell("%.1f/s", full.wakeups),
		.floor = cell("no instances %.1f/s", empty.wakeups),
		.comparison = cell("%+.1f/s", full.wakeups - empty.wakeups),
		.target = "≤ 1/s",
	});
	return 0;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

/*
 * A hundred containers at once: started by one client on several connections, against as many by hand (lib/crun.h) on as many
 * threads; what they cost beside their own memory; deleted together.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "lib/container.h"
#include "lib/load.h"

enum { CONTAINERS = 100, ROUNDS = 5, QUICK_ROUNDS = 1, PARALLEL = LIMIT_WORKERS, SETTLE_MS = 1000, PROC_BYTES = 64 << 10 };

struct place {
	struct node *node;
	struct client *client;
	struct signals signals;
	struct crun crun;
	struct samples strata_start, crun_start, strata_delete, crun_delete, memory, monitors, daemon;
};

static void settle(void)
{
	nanosleep(&(struct timespec){ .tv_sec = SETTLE_MS / 1000, .tv_nsec = SETTLE_MS % 1000 * 1000000L }, NULL);
}

/* Memory */

static double pss_mib(const char *pid)
{
	auto_free char *path = text_format("/proc/%s/smaps_rollup", pid);
	auto_str struct str text = { 0 };
	struct err err;
	const char *found;

	if (file_read_all(path, PROC_BYTES, &text, &err) < 0 || !(found = strstr(str_text(&text), "\nPss:")))
		return 0;
	return strtod(found + strlen("\nPss:"), NULL) / 1024;
}

static double daemon_mib(const struct node *node)
{
	auto_free char *pid = text_format("%d", (int)node->pid);

	return pss_mib(pid);
}

/* Of all processes named 'name'. */
static double sum_mib(const char *name)
{
	DIR *proc = opendir("/proc");
	double sum = 0;

	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		auto_free char *path = text_format("/proc/%s/comm", entry->d_name);
		auto_str struct str text = { 0 };
		struct err err;

		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && file_read_all(path, PROC_BYTES, &text, &err) == 0 &&
		    strncmp(str_text(&text), name, strlen(name)) == 0)
			sum += pss_mib(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return sum;
}

/* The daemon's side */

static void write_create(void *data, uint64_t index, struct str *out)
{
	auto_free char *name = text_format("c%llu", (unsigned long long)index), *body = container_body(data, name);

	load_post(out, "/v1/instances", body, strlen(body));
}

static void write_delete(void *data, uint64_t index, struct str *out)
{
	(void)data;
	str_printf(out, "DELETE /v1/instances/c%llu?force=true HTTP/1.1\r\nHost: localhost\r\n\r\n", (unsigned long long)index);
}

static int send_all(struct place *place, void (*write)(void *data, uint64_t index, struct str *out), int status, struct err *err)
{
	struct load load = { .socket = place->node->socket, .connections = PARALLEL, .requests = CONTAINERS, .write = write,
			     .data = &place->signals, .status = status };
	struct load_result result = { 0 };
	int r = load_run(&load, &result, err);

	load_result_done(&result);
	return r;
}

static int measure_daemon(struct place *place, struct err *err)
{
	double before = daemon_mib(place->node), start = now_ms(), monitors, grown;
	int r = send_all(place, write_create, 201, err);

	if (r == 0)
		r = signals_wait(&place->signals, CONTAINERS, err);
	samples_add(&place->strata_start, now_ms() - start);
	if (r == 0)
		r = node_wait_for(place->node, "/v1/instances", "\"state\":\"running\"", CONTAINERS, err);
	if (r < 0)
		return r;
	settle();
	monitors = sum_mib("conmon") + sum_mib("crun");
	grown = daemon_mib(place->node) - before;
	samples_add(&place->monitors, monitors / CONTAINERS);
	samples_add(&place->daemon, grown / CONTAINERS);
	samples_add(&place->memory, (monitors + grown) / CONTAINERS);
	start = now_ms();
	r = send_all(place, write_delete, 202, err);
	if (r == 0)
		r = node_wait_for(place->node, "/v1/instances", "\"state\":", 0, err);
	samples_add(&place->strata_delete, now_ms() - start);
	return r;
}

/* By hand, on as many threads as the daemon has workers */

struct team {
	struct crun *crun;
	int (*fn)(struct crun *crun, unsigned number, struct err *err);
	atomic_uint next;
};

struct member {
	struct team *team;
	pthread_t thread;
	struct err err;
	int result;
};

static void *work(void *data)
{
	struct member *member = data;
	unsigned number;

	while (member->result == 0 && (number = atomic_fetch_add(&member->team->next, 1)) < CONTAINERS)
		member->result = member->team->fn(member->team->crun, number, &member->err);
	return NULL;
}

static int run_all(struct place *place, int (*fn)(struct crun *crun, unsigned number, struct err *err), struct err *err)
{
	struct team team = { .crun = &place->crun, .fn = fn };
	struct member members[PARALLEL] = { 0 };
	size_t count = 0;
	int r = 0;

	for (; count < PARALLEL; count++) {
		members[count].team = &team;
		if (pthread_create(&members[count].thread, NULL, work, &members[count]) != 0)
			break;
	}
	for (size_t i = 0; i < count; i++) {
		pthread_join(members[i].thread, NULL);
		if (members[i].result < 0) {
			*err = members[i].err;
			r = members[i].result;
		}
	}
	return r == 0 && count < PARALLEL ? err_set(err, -EAGAIN, "only %zu threads could be started", count) : r;
}

static int measure_crun(struct place *place, struct err *err)
{
	double start;
	int r = 0;

	for (unsigned i = 0; i < CONTAINERS && r == 0; i++)
		r = crun_prepare(&place->crun, i, err);
	if (r < 0)
		return r;
	settle();
	start = now_ms();
	r = run_all(place, crun_start, err);
	if (r == 0)
		r = signals_wait(&place->signals, CONTAINERS, err);
	samples_add(&place->crun_start, now_ms() - start);
	settle();
	start = now_ms();
	if (r == 0)
		r = run_all(place, crun_delete, err);
	samples_add(&place->crun_delete, now_ms() - start);
	settle();
	return r;
}

/* All together */

static int prepare(struct place *place, struct err *err)
{
	int r = node_start(place->node, NULL, err);

	if (r < 0)
		return r;
	place->client = node_connect(place->node);
	r = node_cli(place->node, cli("image", "build", "--container", "busybox"), NULL, err);
	return r < 0 ? r : container_teach(place->node, place->client, &place->signals, &place->crun, err);
}

static void print(struct place *place)
{
	double strata = samples_median(&place->strata_start), crun = samples_median(&place->crun_start);

	row_print(&(struct row){
		.promise = cell("%d containers, POSTs on %d connections to the last one's first instruction", CONTAINERS, PARALLEL),
		.measured = cell("%.0f ms", strata),
		.floor = cell("overlay, veth, crun on %d threads %.0f ms", PARALLEL, crun),
		.comparison = cell("%.2f times (n=%zu)", strata / crun, place->strata_start.values.count),
		.target = "≤ 1.3 times",
	});
	row_print(&(struct row){
		.promise = cell("memory (PSS) beside a container's own, with %d of them", CONTAINERS),
		.measured = cell("%.2f MiB each", samples_median(&place->memory)),
		.floor = "0",
		.comparison = cell("conmon %.2f MiB, growth of stratad %.2f MiB", samples_median(&place->monitors), samples_median(&place->daemon)),
		.target = "≤ 0.9 MiB",
	});
	strata = samples_median(&place->strata_delete), crun = samples_median(&place->crun_delete);
	row_print(&(struct row){
		.promise = cell("delete of %d running containers", CONTAINERS),
		.measured = cell("%.0f ms", strata),
		.floor = cell("crun delete --force on %d threads %.0f ms", PARALLEL, crun),
		.comparison = cell("%.2f times", strata / crun),
		.target = "≤ 2 s",
	});
}

static void place_done(struct place *place)
{
	struct samples *const all[] = { &place->strata_start, &place->crun_start, &place->strata_delete, &place->crun_delete,
					&place->memory, &place->monitors, &place->daemon };

	client_free(place->client);
	crun_done(&place->crun);
	signals_close(&place->signals);
	for (size_t i = 0; i < ARRAY_COUNT(all); i++)
		samples_done(all[i]);
}
#define auto_place __attribute__((cleanup(place_done)))

static int measure(const struct bench *bench, struct err *err)
{
	auto_node struct node node;
	auto_place struct place place = { .node = &node };
	int r = signals_open(&place.signals, bench, err);

	node_init(&node, bench, "node", false);
	crun_init(&place.crun, bench, place.signals.folder);
	if (r == 0)
		r = prepare(&place, err);
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++) {
		r = measure_daemon(&place, err);
		settle();
		if (r == 0)
			r = measure_crun(&place, err);
	}
	if (r == 0)
		print(&place);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

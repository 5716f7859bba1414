/*
 * One container after the other: started, with programs in it, stopped, deleted; by the daemon, and with crun by hand (lib/crun.h),
 * in alternation. A start ends when the container's own program writes into a fifo.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "lib/container.h"

enum { ROUNDS = 30, QUICK_ROUNDS = 7, EXECS = 3, SETTLE_MS = 60 };

enum figure { START, RUN, EXEC, STOP, DELETE, FIGURES };

struct place {
	struct node *node;
	struct client *client;
	struct signals signals;
	struct crun crun;
	struct samples strata[FIGURES], crun_figures[FIGURES];
};

/* The kernel clears away the namespaces of the one before in the background, with locks that a start wants too; and one that has just been
 * started is still being made known. Rested, it takes longer to move a process into a cgroup than in a tight loop: so for both sides. */
static void settle(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = SETTLE_MS * 1000000L }, NULL);
}

static int start_by_api(struct place *place, const char *name, double *ret_ms, struct err *err)
{
	auto_free char *body = container_body(&place->signals, name);
	double start;
	int r;

	settle();
	start = now_ms();
	r = client_call(place->client, "POST", "/v1/instances", body, NULL, NULL, err);

	if (r == 0)
		r = signals_wait(&place->signals, 1, err);
	*ret_ms = now_ms() - start;
	return r < 0 ? r : container_wait_state(place->client, name, "running", err);
}

static int stop_by_api(struct place *place, const char *name, double *ret_ms, struct err *err)
{
	auto_free char *path = text_format("/v1/instances/%s/stop", name);
	double start = now_ms();
	int r = client_call(place->client, "POST", path, "{}", NULL, NULL, err);

	if (r == 0)
		r = container_wait_state(place->client, name, "stopped", err);
	*ret_ms = now_ms() - start;
	return r;
}

static int delete_by_api(struct place *place, const char *name, double *ret_ms, struct err *err)
{
	double start;
	int r;

	settle();
	start = now_ms();
	r = container_delete(place->client, name, err);

	*ret_ms = now_ms() - start;
	return r;
}

static int execs_by_api(struct place *place, const char *name, struct err *err)
{
	int r = 0;

	for (int i = 0; i < EXECS && r == 0; i++) {
		double start = now_ms();

		r = container_exec_true(place->node, name, err);
		samples_add(&place->strata[EXEC], now_ms() - start);
	}
	return r;
}

static int measure_daemon(struct place *place, struct err *err)
{
	double start_ms = 0, stop_ms = 0, run_ms = 0, delete_ms = 0, unused;
	int r = start_by_api(place, "one", &start_ms, err);

	if (r == 0)
		r = execs_by_api(place, "one", err);
	if (r == 0)
		r = stop_by_api(place, "one", &stop_ms, err);
	if (r == 0)
		r = delete_by_api(place, "one", &unused, err);
	settle();
	if (r == 0)
		r = container_run_cli(place->node, &place->signals, "two", &run_ms, err);
	if (r == 0)
		r = signals_wait(&place->signals, 1, err);
	if (r == 0)
		r = delete_by_api(place, "two", &delete_ms, err);
	samples_add(&place->strata[START], start_ms);
	samples_add(&place->strata[STOP], stop_ms);
	samples_add(&place->strata[RUN], run_ms);
	samples_add(&place->strata[DELETE], delete_ms);
	return r;
}

static int timed(struct place *place, enum figure figure, int (*fn)(struct crun *crun, unsigned number, struct err *err),
		 bool is_start, struct err *err)
{
	double start;
	int r;

	if (is_start || figure == DELETE)
		settle();
	start = now_ms();
	r = fn(&place->crun, 0, err);
	if (r == 0 && is_start)
		r = signals_wait(&place->signals, 1, err);
	samples_add(&place->crun_figures[figure], now_ms() - start);
	return r;
}

static int measure_crun(struct place *place, struct err *err)
{
	int r = crun_prepare(&place->crun, 0, err);

	if (r == 0)
		r = timed(place, START, crun_start, true, err);
	for (int i = 0; i < EXECS && r == 0; i++)
		r = timed(place, EXEC, crun_exec_true, false, err);
	if (r == 0)
		r = timed(place, STOP, crun_stop, false, err);
	if (r == 0)
		r = crun_delete(&place->crun, 0, err);
	if (r == 0)
		r = crun_prepare(&place->crun, 0, err);
	if (r == 0)
		r = timed(place, START, crun_start, true, err);
	return r < 0 ? r : timed(place, DELETE, crun_delete, false, err);
}

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
	static const struct { const char *promise, *floor, *target; } rows[] = {
		[START] = { "container with nic and limits: POST to its first instruction", "overlay, veth, crun", "≤ 1.35 times" },
		[RUN] = { "the same with `strata run --container`, the whole process", "overlay, veth, crun", "≤ 1.35 times" },
		[EXEC] = { "`true` in a container, through the API", "crun exec", "≤ 12 ms" },
		[STOP] = { "stop of a container that obeys SIGTERM, until the API says so", "crun kill, until it has ended", "≤ 15 ms" },
		[DELETE] = { "delete of a running container, until the API says so", "crun delete --force and its files", "≤ 15 ms" },
	};

	for (enum figure i = 0; i < FIGURES; i++) {
		double strata = samples_median(&place->strata[i]), crun = samples_median(&place->crun_figures[i == RUN ? START : i]);

		row_print(&(struct row){
			.promise = rows[i].promise,
			.measured = cell("%.1f ms", strata),
			.floor = cell("%s %.1f ms", rows[i].floor, crun),
			.comparison = cell("%.2f times (%+.1f ms, n=%zu)", strata / crun, strata - crun, place->strata[i].values.count),
			.target = rows[i].target,
		});
	}
}

static void place_done(struct place *place)
{
	client_free(place->client);
	crun_done(&place->crun);
	signals_close(&place->signals);
	for (enum figure i = 0; i < FIGURES; i++) {
		samples_done(&place->strata[i]);
		samples_done(&place->crun_figures[i]);
	}
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

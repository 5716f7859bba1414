/*
 * The store in an etcd, one member on this disk: durable transactions per second with 16 that wait for their answer, and
 * how long a change takes to another process's watch; against plain puts over 16 connections, and one, to the same
 * JSON gateway.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/base64.h"
#include "base/mem.h"
#include "lib/hosts.h"
#include "lib/load.h"
#include "port/store.h"

enum { ROUNDS = 5, QUICK_ROUNDS = 3, CLIENTS = 16, CHANGES = 3000, LONE_CHANGES = 200, VALUE_BYTES = 512, PORT = 2379, START_MS = 20000 };

static const char endpoint[] = "http://127.0.0.1:2379";

/* Through the port */

struct run {
	struct loop *loop;
	struct store *store, *other;
	unsigned submitted, wanted, done;
	int code;
	double seen_ms;
};

static struct store_txn *change(unsigned number)
{
	struct store_txn *txn = store_txn_new();
	char key[32], value[VALUE_BYTES];

	snprintf(key, sizeof(key), "bench/%u", number);
	memset(value, 'x', sizeof(value));
	store_txn_put(txn, key, value, sizeof(value), 0);
	return txn;
}

static void submit_next(struct run *run);

static void answered(void *data, const struct store_result *result)
{
	struct run *run = data;

	run->done++;
	run->code = result->err.code ? result->err.code : run->code;
	submit_next(run);
}

static void submit_next(struct run *run)
{
	if (run->submitted < run->wanted)
		store_submit(run->store, change(run->submitted++), answered, run);
}

static int run_changes(struct run *run, unsigned clients, unsigned count, double *ret_per_second, struct err *err)
{
	double start = now_ms();

	run->done = run->submitted = 0;
	run->wanted = count;
	for (unsigned i = 0; i < clients; i++)
		submit_next(run);
	while (run->done < count)
		loop_step(run->loop, -1);
	*ret_per_second = count / (now_ms() - start) * 1e3;
	return run->code ? err_set(err, run->code, "a transaction failed: %m") : 0;
}

static int open_one(struct run *run, const char *writer, struct store **ret_store, struct err *err)
{
	const char *const endpoints[] = { endpoint };
	struct store_etcd_params etcd = {
		.endpoints = endpoints, .endpoint_count = 1, .prefix = "/bench/", .writer = writer, .timeout_ms = START_MS / 4,
	};

	return store_open(&store_etcd, &(struct store_params){ .etcd = &etcd }, run->loop, ret_store, err);
}

static void see(void *data, const struct store_event *event)
{
	struct run *run = data;

	(void)event;
	run->seen_ms = now_ms();
}

/* From submit to the watch of another process: the other store has its own connection, writer and watch. */
static int measure_watch(struct run *run, struct samples *latencies, struct err *err)
{
	int r = open_one(run, "two", &run->other, err);

	if (r == 0)
		r = store_watch(run->other, "", 0, see, run, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < LONE_CHANGES; i++) {
		double start = now_ms();

		run->seen_ms = 0;
		run->wanted = run->submitted = run->done = 0;
		store_submit(run->store, change(i), answered, run);
		while (run->seen_ms == 0 || run->done == 0)
			loop_step(run->loop, -1);
		samples_add(latencies, run->seen_ms - start);
	}
	store_close(take(run->other));
	return 0;
}

/* The floor */

static void write_put(void *data, uint64_t index, struct str *out)
{
	auto_str struct str key = { 0 }, value = { 0 };
	auto_free char *name = text_format("/floor/%llu", (unsigned long long)index), *body = NULL;
	char bytes[VALUE_BYTES];

	(void)data;
	memset(bytes, 'x', sizeof(bytes));
	base64_encode(name, strlen(name), &key);
	base64_encode(bytes, sizeof(bytes), &value);
	body = text_format("{\"key\":\"%s\",\"value\":\"%s\"}", key.data, value.data);
	load_post(out, "/v3/kv/put", body, strlen(body));
}

static int measure_floor(unsigned connections, unsigned count, double *ret_per_second, double *ret_ms, struct err *err)
{
	struct load load = { .port = PORT, .connections = connections, .requests = count, .write = write_put, .status = 200 };
	struct load_result result = { 0 };
	int r = load_run(&load, &result, err);

	if (r == 0) {
		*ret_per_second = load_rate(&load, &result);
		*ret_ms = samples_median(&result.latencies_ms);
	}
	load_result_done(&result);
	return r;
}

struct figures { struct samples port, floor, watch, lone_floor; };

static int measure_round(struct run *run, struct figures *figures, struct err *err)
{
	double port = 0, floor = 0, lone = 0, ignored = 0;
	int r = run_changes(run, CLIENTS, CHANGES, &port, err);

	if (r == 0)
		r = measure_floor(CLIENTS, CHANGES, &floor, &ignored, err);
	if (r == 0)
		r = measure_watch(run, &figures->watch, err);
	if (r == 0)
		r = measure_floor(1, LONE_CHANGES, &ignored, &lone, err);
	samples_add(&figures->port, port);
	samples_add(&figures->floor, floor);
	samples_add(&figures->lone_floor, lone);
	return r;
}

static void print(struct figures *figures)
{
	double port = samples_median(&figures->port), floor = samples_median(&figures->floor);
	double watch = samples_median(&figures->watch), lone = samples_median(&figures->lone_floor);

	row_print(&(struct row){
		.promise = cell("durable transactions in an etcd through the port, %d that wait", CLIENTS),
		.measured = cell("%.0f/s", port),
		.floor = cell("its JSON gateway, %d connections: %.0f puts/s", CLIENTS, floor),
		.comparison = cell("%.2f times", port / floor),
		.target = "≥ 1 times",
	});
	row_print(&(struct row){
		.promise = "a change until the watch of another process tells it",
		.measured = cell("%.2f ms", watch),
		.floor = cell("a put over one connection: %.2f ms", lone),
		.comparison = cell("%+.2f ms", watch - lone),
		.target = "≤ 2 ms more",
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	struct figures figures = { 0 };
	struct run run = { 0 };
	int r = hosts_start_etcd(bench, 1, err);

	if (r == 0)
		r = loop_new(LOOP_CLOCK_REAL, 0, &run.loop, err);
	if (r == 0)
		r = open_one(&run, "one", &run.store, err);
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++)
		r = measure_round(&run, &figures, err);
	if (r == 0)
		print(&figures);
	store_close(run.store);
	store_close(run.other);
	if (run.loop)
		loop_free(run.loop);
	samples_done(&figures.port);
	samples_done(&figures.floor);
	samples_done(&figures.watch);
	samples_done(&figures.lone_floor);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

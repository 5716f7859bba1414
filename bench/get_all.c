/* GET of all 100 running instances with their live state, against an empty handler that sends as many bytes. */
#include <stdio.h>

#include "lib/empty.h"
#include "lib/load.h"
#include "lib/node.h"

enum { REQUESTS = 2000, QUICK_REQUESTS = 200, INSTANCES = 100 };

static void write_get(void *data, uint64_t index, struct str *out)
{
	(void)data, (void)index;
	load_get(out, "/v1/instances");
}

static int measure_latency(const struct bench *bench, const char *socket, double *ret_ms, struct err *err)
{
	struct load load = { .socket = socket, .connections = 1, .write = write_get, .status = 200,
			     .requests = bench->is_quick ? QUICK_REQUESTS : REQUESTS };
	struct load_result result = { 0 };
	int r = load_run(&load, &result, err);

	if (r == 0)
		*ret_ms = samples_median(&result.latencies_ms);
	load_result_done(&result);
	return r;
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_str struct str list = { 0 };
	auto_empty struct empty empty = { 0 };
	auto_node struct node node;
	double ms = 0, floor_ms = 0;
	int r;

	node_init(&node, bench, "node", true);
	r = node_start(&node, NULL, err);
	if (r == 0)
		r = node_fill_up(&node, INSTANCES, true, err);
	if (r == 0)
		r = node_call(&node, "GET", "/v1/instances", NULL, &list, err);
	if (r == 0)
		r = empty_start(&empty, bench, list.size, err);
	if (r == 0)
		r = measure_latency(bench, empty.socket, &floor_ms, err);
	if (r == 0)
		r = measure_latency(bench, node.socket, &ms, err);
	if (r < 0)
		return r;
	row_print(&(struct row){
		.promise = "GET of all 100 running instances (sim) with live state",
		.measured = cell("%.3f ms", ms),
		.floor = cell("empty libwebsockets handler, %zu KiB: %.3f ms", list.size >> 10, floor_ms),
		.comparison = cell("%+.3f ms", ms - floor_ms),
		.target = "≤ 3 ms",
	});
	return 0;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

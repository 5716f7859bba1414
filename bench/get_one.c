/* GETs of one instance per second: unix socket, 4 kept-alive connections, against an empty libwebsockets handler. */
#include <stdio.h>

#include "lib/empty.h"
#include "lib/load.h"
#include "lib/node.h"

enum { ROUNDS = 7, QUICK_ROUNDS = 3, REQUESTS = 100000, QUICK_REQUESTS = 20000, CONNECTIONS = 4, INSTANCES = 100 };

static void write_get(void *data, uint64_t index, struct str *out)
{
	(void)data, (void)index;
	load_get(out, "/v1/instances/i7");
}

static int add_round(const struct bench *bench, const char *socket, struct samples *rates, struct err *err)
{
	struct load load = { .socket = socket, .connections = CONNECTIONS, .write = write_get, .status = 200,
			     .requests = bench->is_quick ? QUICK_REQUESTS : REQUESTS };
	struct load_result result = { 0 };
	int r = load_run(&load, &result, err);

	if (r == 0)
		samples_add(rates, load_rate(&load, &result));
	load_result_done(&result);
	return r;
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_samples struct samples strata = { 0 }, floor = { 0 };
	auto_empty struct empty empty = { 0 };
	auto_node struct node node;
	int r;

	node_init(&node, bench, "node", true);
	r = node_start(&node, NULL, err);
	if (r == 0)
		r = node_fill_up(&node, INSTANCES, true, err);
	if (r == 0)
		r = empty_start(&empty, bench, 2, err);
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++) {
		r = add_round(bench, empty.socket, &floor, err);
		if (r == 0)
			r = add_round(bench, node.socket, &strata, err);
	}
	if (r < 0)
		return r;
	row_print(&(struct row){
		.promise = "GET of one instance, unix socket, keep-alive, 4 connections",
		.measured = cell("%.1f k/s", samples_median(&strata) / 1e3),
		.floor = cell("empty libwebsockets handler %.1f k/s", samples_median(&floor) / 1e3),
		.comparison = cell("%.0f%%", 100 * samples_median(&strata) / samples_median(&floor)),
		.target = "≥ 50% and ≥ 30 k/s",
	});
	return 0;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

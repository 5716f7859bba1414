/* How long stratad takes from its exec until the API answers: in a new folder, empty, and with 1,000 stored instances. */
#include <stdio.h>

#include "lib/node.h"

enum { ROUNDS = 20, QUICK_ROUNDS = 5, INSTANCES = 1000 };

/* What the loader and the libraries cost: the same program, which prints its version. */
static int measure_floor(const struct bench *bench, size_t rounds, struct samples *floor, struct err *err)
{
	auto_free char *program = text_format("%s/stratad", bench->programs);
	int r = 0;

	for (size_t i = 0; i < rounds && r == 0; i++) {
		double ms;

		r = run_program((const char *[]){ program, "--version", NULL }, &ms, err);
		samples_add(floor, ms);
	}
	return r;
}

/* With 'is_new' each start is the first one of its folder. */
static int measure_starts(const struct bench *bench, bool is_new, size_t rounds, struct samples *starts, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i <= rounds && r == 0; i++) {
		auto_free char *name = is_new ? text_format("new%zu", i) : text_copy("empty");
		auto_node struct node node;
		double ms;

		node_init(&node, bench, name, false);
		r = node_start(&node, &ms, err);
		if (r == 0 && i > 0)
			samples_add(starts, ms);
		if (r == 0)
			r = node_stop(&node, err);
	}
	return r;
}

static int measure_full(const struct bench *bench, size_t rounds, struct samples *starts, struct err *err)
{
	auto_node struct node node;
	int r;

	node_init(&node, bench, "full", true);
	r = node_start(&node, NULL, err);
	if (r == 0)
		r = node_fill_up(&node, INSTANCES, false, err);
	for (size_t i = 0; i < rounds && r == 0; i++) {
		double ms;

		r = node_stop(&node, err);
		if (r == 0)
			r = node_start(&node, &ms, err);
		if (r == 0)
			samples_add(starts, ms);
	}
	return r < 0 ? r : node_wait_for(&node, "/v1/instances", "\"kind\":\"instance\"", INSTANCES, err);
}

static void print(const char *promise, struct samples *starts, struct samples *floor, const char *target)
{
	double start_ms = samples_median(starts), floor_ms = samples_median(floor);

	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.1f ms", start_ms),
		.floor = cell("`stratad --version` %.1f ms", floor_ms),
		.comparison = cell("%+.1f ms", start_ms - floor_ms),
		.target = target,
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	size_t rounds = bench->is_quick ? QUICK_ROUNDS : ROUNDS;
	auto_samples struct samples floor = { 0 }, new = { 0 }, empty = { 0 }, full = { 0 };
	int r = measure_floor(bench, rounds, &floor, err);

	if (r == 0)
		r = measure_starts(bench, true, rounds, &new, err);
	if (r == 0)
		r = measure_starts(bench, false, rounds, &empty, err);
	if (r == 0)
		r = measure_full(bench, rounds, &full, err);
	if (r < 0)
		return r;
	print("`stratad` start until the API answers, no instances", &empty, &floor, "≤ 25 ms");
	print("the same, 1,000 stored instances (sim)", &full, &floor, "≤ 100 ms");
	print("the same, very first start in a new state folder", &new, &floor, "none");
	return 0;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

/* `strata ls` as a whole process, with 100 and 1,000 instances. */
#include <stdio.h>

#include "lib/node.h"

enum { ROUNDS = 30, QUICK_ROUNDS = 10 };

static int measure_ls(const struct bench *bench, size_t instances, const char *target, struct err *err)
{
	auto_samples struct samples list = { 0 }, floor = { 0 };
	auto_free char *name = text_format("node%zu", instances);
	auto_node struct node node;
	double ms = 0, floor_ms = 0;
	int r;

	node_init(&node, bench, name, true);
	r = node_start(&node, NULL, err);
	if (r == 0)
		r = node_fill_up(&node, instances, true, err);
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++) {
		r = node_cli(&node, cli("--version"), &floor_ms, err);
		if (r == 0)
			r = node_cli(&node, cli("ls"), &ms, err);
		samples_add(&floor, floor_ms);
		samples_add(&list, ms);
	}
	if (r < 0)
		return r;
	row_print(&(struct row){
		.promise = cell("`strata ls`, whole process, %zu running instances (sim)", instances),
		.measured = cell("%.1f ms", samples_median(&list)),
		.floor = cell("`strata --version` %.1f ms", samples_median(&floor)),
		.comparison = cell("%+.1f ms", samples_median(&list) - samples_median(&floor)),
		.target = target,
	});
	return 0;
}

static int measure(const struct bench *bench, struct err *err)
{
	int r = measure_ls(bench, 100, "≤ 10 ms", err);

	return r < 0 ? r : measure_ls(bench, 1000, "≤ 25 ms", err);
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

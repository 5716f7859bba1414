/*
 * strata-sched vmtrace: machines arrive, wait in one queue while the first of it fits nowhere, run and end.
 *
 * The rules are those of SPANE's test (arXiv 2504.14946) as ../shared/tools/huawei_eval.py states them: N servers of two
 * NUMA nodes with 40 cores and 90 GB each; a machine of more than 10 GB is split over both; an episode begins at a row
 * with empty servers and has as many machines as first fit places before the first that must wait, and 40 more. The
 * figure is the sum of all waits; over many episodes the mean without the lowest and the highest tenth.
 */
#include <errno.h>
#include <stdlib.h>

#include "3-scheduling/numa.h"
#include "app/sched/csv.h"
#include "app/sched/sched.h"
#include "base/mem.h"
#include "base/vec.h"

enum { CPU, MEMORY, DIMENSIONS };
enum { PARTS = 2, NODE_CPU_M = 40000, NODE_MEMORY_MIB = 90 * 1024, SPLIT_ABOVE_MIB = 10 * 1024, MORE = 40, SERVERS_MAX = 100000, EXPLAIN_SERVERS = 20 };

static const struct cluster_dimension dimensions[DIMENSIONS] = { [CPU] = { "cpu", "m" }, [MEMORY] = { "memory", "MiB" } };

struct machine {
	struct request request;		/* Of one NUMA node. */
	int64_t arrives_s, lives_s;
	bool is_split;
};

struct leaving { int64_t at_s; uint32_t bindings[PARTS], count; };

struct trace {
	VEC(struct machine) machines;
	VEC(struct leaving) leaving;	/* A heap, the earliest first. */
	struct numa numa;
	struct cluster *cluster;
	const struct numa_policy *policy;
	int64_t explain;		/* Which machine of the episode; -1: none, or it was. */
	struct sched_times times;
};

static void trace_done(struct trace *trace)
{
	vec_done(&trace->machines);
	vec_done(&trace->leaving);
	cluster_free(trace->cluster);
	sched_times_done(&trace->times);
}

static int read_machine(struct trace *trace, const struct csv *csv, const int columns[4], struct err *err)
{
	size_t count = trace->machines.count;
	struct sched_machine row;
	int r = sched_machine_read(csv, columns, count ? trace->machines.items[count - 1].arrives_s : 0, &row, err);

	if (r < 0)
		return r;
	struct machine machine = { .arrives_s = row.arrives_s, .lives_s = row.lives_s, .is_split = row.memory_mib > SPLIT_ABOVE_MIB };

	machine.request.need[CPU] = machine.is_split ? row.cpu_m / 2 + row.cpu_m % 2 : row.cpu_m;
	machine.request.need[MEMORY] = machine.is_split ? (row.memory_mib + 1) / 2 : row.memory_mib;
	if (machine.request.need[CPU] > NODE_CPU_M || machine.request.need[MEMORY] > NODE_MEMORY_MIB)
		return err_set(err, -EINVAL, "%s:%llu: fits no empty server", csv->path, (unsigned long long)csv->line_number);
	*vec_push(&trace->machines) = machine;
	return 0;
}

static int read_machines(struct trace *trace, const char *path, struct err *err)
{
	static const char *const names[] = { "cpu", "mem", "at", "lt" };
	auto_csv struct csv csv = { 0 };
	int columns[4], r = csv_open(&csv, path, err);

	for (int i = 0; i < 4 && r == 0; i++)
		r = csv_column(&csv, names[i], &columns[i], err);
	while (r == 0 && (r = csv_next(&csv, err)) > 0)
		r = read_machine(trace, &csv, columns, err);
	return r;
}

static void leaving_push(struct trace *trace, struct leaving leaving)
{
	vec_push(&trace->leaving);
	struct leaving *heap = trace->leaving.items;
	size_t i = trace->leaving.count - 1;

	for (; i && leaving.at_s < heap[(i - 1) / 2].at_s; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = leaving;
}

static struct leaving leaving_pop(struct trace *trace)
{
	struct leaving *heap = trace->leaving.items, first = heap[0], last = heap[--trace->leaving.count];
	size_t count = trace->leaving.count, i = 0;

	for (size_t child; (child = 2 * i + 1) < count; i = child) {
		child += child + 1 < count && heap[child + 1].at_s < heap[child].at_s;
		if (heap[child].at_s >= last.at_s)
			break;
		heap[i] = heap[child];
	}
	heap[i] = last;
	return first;
}

/* All that have ended by then; returns when the last of them did, or 'now_s'. */
static int64_t let_leave(struct trace *trace, int64_t until_s, int64_t now_s)
{
	struct err err;

	while (trace->leaving.count && trace->leaving.items[0].at_s <= until_s) {
		struct leaving leaving = leaving_pop(trace);

		for (uint32_t i = 0; i < leaving.count; i++)
			if (cluster_unbind(trace->cluster, leaving.bindings[i], &err) < 0)
				abort();
		now_s = leaving.at_s;
	}
	return now_s;
}

static int empty_servers(struct trace *trace, uint32_t servers, struct err *err)
{
	int r;

	cluster_free(take(trace->cluster));
	trace->leaving.count = 0;
	r = cluster_new(dimensions, DIMENSIONS, &trace->cluster, err);
	for (uint32_t i = 0; i < servers * PARTS && r == 0; i++) {
		const struct cluster_node node = { .name = "numa", .total = (int32_t[]){ NODE_CPU_M, NODE_MEMORY_MIB } };
		uint32_t number;

		r = cluster_add_node(trace->cluster, &node, &number, err);
	}
	trace->numa = (struct numa){ .cluster = trace->cluster, .parts = PARTS, .server_count = servers };
	return r;
}

/* 1: placed, 0: it fits nowhere. */
static int place(struct trace *trace, const struct numa_policy *policy, const struct machine *machine, int64_t now_s, struct err *err)
{
	uint64_t start = sched_now_ns();
	uint32_t node = policy->choose(&trace->numa, &machine->request, machine->is_split);
	struct leaving leaving = { .at_s = now_s + machine->lives_s, .count = machine->is_split ? PARTS : 1 };

	if (node == CLUSTER_NONE)
		return 0;
	for (uint32_t i = 0; i < leaving.count; i++)
		if (cluster_bind(trace->cluster, &machine->request, node + i, 0, &leaving.bindings[i], err) < 0)
			return err->code;
	leaving_push(trace, leaving);
	if (policy == trace->policy)
		sched_times_add(&trace->times, sched_now_ns() - start);
	return 1;
}

static void explain(struct trace *trace, const struct numa_policy *policy, size_t sequence, size_t row)
{
	const struct machine *machine = &trace->machines.items[row];
	auto_str struct str text = { 0 };

	if (policy != trace->policy || (int64_t)sequence != trace->explain)
		return;
	numa_explain(&trace->numa, policy, &machine->request, machine->is_split, EXPLAIN_SERVERS, &text);
	fputs(str_text(&text), stdout);
	trace->explain = -1;
}

/*
 * Places the machines from row 'first' on. With 'count' 0 until one must wait: *ret_count is how many were placed;
 * else 'count' of them: *ret_wait_s is the sum of their waits.
 */
static int run(struct trace *trace, const struct numa_policy *policy, size_t first, size_t count, size_t *ret_count, int64_t *ret_wait_s,
	       struct err *err)
{
	int64_t now_s = trace->machines.items[first].arrives_s, wait_s = 0;
	size_t i = first;
	int r;

	explain(trace, policy, i - first, i);
	while ((r = place(trace, policy, &trace->machines.items[i], now_s, err)) >= 0) {
		const struct machine *machine = &trace->machines.items[i];

		if (r == 0 && !trace->leaving.count)
			return err_set(err, -EINVAL, "row %zu fits no empty server", i);
		if (r == 0) {
			now_s = let_leave(trace, trace->leaving.items[0].at_s, now_s);
			continue;
		}
		wait_s += now_s - machine->arrives_s;
		/* The last row is never placed: the published test ends before it. */
		if (++i >= trace->machines.count - 1 || (count && i - first >= count))
			break;
		machine = &trace->machines.items[i];
		/* Counting stops at what did not fit before anything left for it. */
		if (!count && policy->choose(&trace->numa, &machine->request, machine->is_split) == CLUSTER_NONE)
			break;
		now_s = let_leave(trace, machine->arrives_s, now_s);
		if (policy->choose(&trace->numa, &machine->request, machine->is_split) != CLUSTER_NONE && now_s < machine->arrives_s)
			now_s = machine->arrives_s;
		explain(trace, policy, i - first, i);
	}
	*ret_count = i - first;
	*ret_wait_s = wait_s;
	return r < 0 ? r : 0;
}

static int episode(struct trace *trace, uint32_t servers, size_t first, int64_t *ret_wait_s, struct err *err)
{
	size_t count = 0;
	int r;

	if (first >= trace->machines.count)
		return err_set(err, -EINVAL, "row %zu is beyond the %zu machines of the trace", first, trace->machines.count);
	r = empty_servers(trace, servers, err);
	r = r ? r : run(trace, &numa_first_fit, first, 0, &count, ret_wait_s, err);
	r = r ? r : empty_servers(trace, servers, err);
	return r ? r : run(trace, trace->policy, first, count + MORE, &count, ret_wait_s, err);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int run_episodes(struct trace *trace, const struct sched_options *options, struct err *err)
{
	auto_csv struct csv csv = { 0 };
	VEC(int64_t) waits = { 0 };
	int column, r = csv_open(&csv, options->starts, err);
	double sum = 0;

	r = r ? r : csv_column(&csv, "start", &column, err);
	while (r == 0 && (r = csv_next(&csv, err)) > 0) {
		int64_t start = 0;

		r = csv_integer(&csv, column, 0, INT32_MAX, &start, err);
		r = r ? r : episode(trace, (uint32_t)options->servers, (size_t)start, vec_push(&waits), err);
	}
	if (r == 0 && waits.count < 10)
		r = err_set(err, -EINVAL, "%s: %zu episodes are too few for a mean without tenths: give 10", options->starts, waits.count);
	if (r == 0) {
		size_t tenth = waits.count / 10;

		qsort(waits.items, waits.count, sizeof(*waits.items), compare);
		for (size_t i = tenth; i < waits.count - tenth; i++)
			sum += (double)waits.items[i];
		printf("total wait      %.4f s: mean of %zu episodes without the lowest and highest tenth\n",
		       sum / (double)(waits.count - 2 * tenth), waits.count);
	}
	vec_done(&waits);
	return r;
}

int sched_vmtrace(const struct sched_options *options, struct err *err)
{
	__attribute__((cleanup(trace_done))) struct trace trace = { 0 };
	int64_t wait_s = 0;
	int r;

	if (!options->vms || options->servers < 1 || options->servers > SERVERS_MAX)
		return err_set(err, -EINVAL, "vmtrace needs --vms and --servers from 1 to %d", SERVERS_MAX);
	if ((options->start < 0) == !options->starts)
		return err_set(err, -EINVAL, "vmtrace needs either --start or --starts");
	if (options->starts && options->explain >= 0)
		return err_set(err, -EINVAL, "--explain is for one episode: use it with --start");
	trace.explain = options->explain;
	trace.policy = numa_policy_find(options->policy ? options->policy : "default");
	if (!trace.policy)
		return err_set(err, -EINVAL, "policy '%s' does not exist: use default, first-fit or balance", options->policy);
	r = read_machines(&trace, options->vms, err);
	if (r < 0)
		return r;
	printf("policy          %s, %lld servers of %d NUMA nodes\n", trace.policy->name, (long long)options->servers, PARTS);
	if (options->starts) {
		r = run_episodes(&trace, options, err);
	} else {
		r = episode(&trace, (uint32_t)options->servers, (size_t)options->start, &wait_s, err);
		if (r == 0)
			printf("total wait      %lld s\n", (long long)wait_s);
		if (r == 0 && trace.explain >= 0)
			r = err_set(err, -EINVAL, "--explain %lld: the episode has fewer machines", (long long)trace.explain);
	}
	if (r == 0)
		sched_times_print(&trace.times, stdout);
	return r;
}

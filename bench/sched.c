/*
 * Decisions per second: exact best fit, the default policy, and that with all filters, each as a run of strata-sched synth.
 * The floor is random fit: binding and unbinding alone. With the public traces (STRATA_TRACES=DIR, else ../shared beside
 * the sources) also how much of the GPUs the default policy allocates beside FGD, and how long machines wait.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "lib/bench.h"

enum { ROUNDS = 5, QUICK_ROUNDS = 2 };

static int run(const struct bench *bench, const char *const *argv, struct str *output, struct err *err)
{
	auto_free char *program = text_format("%s/strata-sched", bench->programs);
	const char *all[16] = { program };

	for (int i = 0; argv[i]; i++)
		all[i + 1] = argv[i];
	str_clear(output);
	return spawn_run(&(struct spawn_params){ .argv = all }, &(struct spawn_io){ .output = output }, err);
}

/* The number after 'name' in what the program printed. */
static int figure(const struct str *output, const char *name, double *ret_value, struct err *err)
{
	const char *found = strstr(str_text(output), name);

	if (!found || sscanf(found + strlen(name), "%lf", ret_value) != 1)
		return err_set(err, -EINVAL, "strata-sched printed no '%s'", name);
	return 0;
}

struct rates { struct samples rate, p99; };

static int measure_rates(const struct bench *bench, const char *nodes, const char *policy, const char *filters, struct rates *rates, struct err *err)
{
	const char *argv[] = { "synth", "--nodes", nodes, "--requests", bench->is_quick ? "50000" : "200000", "--policy", policy,
			       filters ? "--filters" : NULL, filters, NULL };
	auto_str struct str output = { 0 };
	double count, rate, p99;
	int r = run(bench, argv, &output, err);

	r = r ? r : figure(&output, "decisions ", &count, err);
	r = r ? r : figure(&output, ", rate ", &rate, err);
	r = r ? r : figure(&output, "p99 ", &p99, err);
	if (r == 0) {
		samples_add(&rates->rate, rate);
		samples_add(&rates->p99, p99);
	}
	return r;
}

static int measure_policy(const struct bench *bench, const char *nodes, const char *policy, const char *filters, const char *target,
			  struct err *err)
{
	struct rates rates = { 0 }, floor = { 0 };
	int r = 0;

	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++) {
		r = measure_rates(bench, nodes, "random-fit", NULL, &floor, err);
		r = r ? r : measure_rates(bench, nodes, policy, filters, &rates, err);
	}
	if (r == 0) {
		double rate = samples_median(&rates.rate), floor_rate = samples_median(&floor.rate);

		row_print(&(struct row){
			.promise = cell("placing: %s%s, %s nodes, 8 dimensions, with binding and unbinding", policy, filters ? ", all filters" : "", nodes),
			.measured = cell("%.0f/s, p99 %.1f us", rate, samples_median(&rates.p99)),
			.floor = cell("no decision %.0f/s", floor_rate),
			.comparison = cell("%.2f x", floor_rate / rate),
			.target = target,
		});
	}
	samples_done(&rates.rate);
	samples_done(&rates.p99);
	samples_done(&floor.rate);
	samples_done(&floor.p99);
	return r;
}

/* ---- Public traces ---- */

struct allocation { struct samples at_130, at_100; };

static int measure_replay(const struct bench *bench, const char *nodes, const char *policy, bool is_learning, struct allocation *allocation,
			  struct err *err)
{
	auto_free char *arrivals = text_copy(nodes);
	auto_free char *path = NULL;
	auto_str struct str output = { 0 };
	double at_130, at_100;

	*strrchr(arrivals, '/') = 0;
	path = text_format("%s/arrivals_%s", arrivals, strrchr(nodes, '_') + 1);
	const char *argv[] = { "replay", "--nodes", nodes, "--arrivals", path, "--policy", policy, is_learning ? "--learn" : NULL, NULL };
	int r = run(bench, argv, &output, err);

	r = r ? r : figure(&output, "GPU allocation ", &at_130, err);
	r = r ? r : figure(&output, ", 100% ", &at_100, err);
	if (r == 0) {
		samples_add(&allocation->at_130, at_130);
		samples_add(&allocation->at_100, at_100);
	}
	return r;
}

static double mean(const struct samples *samples)
{
	double sum = 0;

	for (size_t i = 0; i < samples->values.count; i++)
		sum += samples->values.items[i];
	return sum / (double)samples->values.count;
}

static void print_allocation(const char *list, const char *when, const struct samples *ours, const struct samples *learnt, const struct samples *fgd,
			     const char *target)
{
	row_print(&(struct row){
		.promise = cell("GPUs allocated when %s had arrived, openb `%s`, mean of %zu seeds", when, list, ours->values.count),
		.measured = cell("%.2f%%, mix learnt on the way %.2f%%", mean(ours), mean(learnt)),
		.floor = cell("FGD %.2f%%", mean(fgd)),
		.comparison = cell("%+.2f points", mean(ours) - mean(fgd)),
		.target = target,
	});
}

static int measure_list(const struct bench *bench, const char *folder, struct err *err)
{
	auto_free char *pattern = text_format("%s/nodes_*.csv", folder);
	struct allocation ours = { 0 }, learnt = { 0 }, fgd = { 0 };
	const char *list = strrchr(folder, '/') + 1;
	bool is_default = text_equal(list, "default");
	glob_t found = { 0 };
	int r = glob(pattern, 0, NULL, &found) ? err_set(err, -ENOENT, "there is no '%s'", pattern) : 0;

	for (size_t i = 0; i < found.gl_pathc && r == 0; i++) {
		r = measure_replay(bench, found.gl_pathv[i], "default", false, &ours, err);
		r = r ? r : measure_replay(bench, found.gl_pathv[i], "default", true, &learnt, err);
		r = r ? r : measure_replay(bench, found.gl_pathv[i], "fragmentation", false, &fgd, err);
	}
	if (r == 0) {
		print_allocation(list, "130%", &ours.at_130, &learnt.at_130, &fgd.at_130, is_default ? "≥ 96.0%" : "above FGD");
		print_allocation(list, "100%", &ours.at_100, &learnt.at_100, &fgd.at_100, is_default ? "≥ FGD + 0.5" : "above FGD");
	}
	globfree(&found);
	for (size_t i = 0; i < 3; i++) {
		struct allocation *allocation = (struct allocation *[]){ &ours, &learnt, &fgd }[i];

		samples_done(&allocation->at_130);
		samples_done(&allocation->at_100);
	}
	return r;
}

static int measure_waits(const struct bench *bench, const char *folder, struct err *err)
{
	auto_free char *machines = text_format("%s/vms.csv", folder), *starts = text_format("%s/starts.csv", folder);
	static const char *const policies[] = { "default", "first-fit" };
	auto_str struct str output = { 0 };
	double waits[2];
	int r = 0;

	for (size_t i = 0; i < 2 && r == 0; i++) {
		r = run(bench, (const char *const[]){ "vmtrace", "--servers", "5", "--vms", machines, "--starts", starts, "--policy", policies[i], NULL },
			&output, err);
		r = r ? r : figure(&output, "total wait ", &waits[i], err);
	}
	if (r == 0)
		row_print(&(struct row){
			.promise = "total wait of an episode, Huawei-East-1 on 5 servers of 2 NUMA nodes, 1,000 starts",
			.measured = cell("%.0f s", waits[0]),
			.floor = cell("first fit %.0f s", waits[1]),
			.comparison = cell("%.2f x", waits[0] / waits[1]),
			.target = "≤ 63,000 s",
		});
	return r;
}

/* The figure in the column of all instances: the first after the name. */
static int measure_lifetimes(const struct bench *bench, const char *folder, struct err *err)
{
	auto_free char *machines = text_format("%s/vms.csv", folder);
	auto_str struct str output = { 0 };
	double majority, last, right, covered, confident = 0;
	const char *line;
	int r = run(bench, (const char *const[]){ "lifetime", "--vms", machines, NULL }, &output, err);

	r = r ? r : figure(&output, "majority ", &majority, err);
	r = r ? r : figure(&output, "last value ", &last, err);
	r = r ? r : figure(&output, "forecast ", &right, err);
	r = r ? r : figure(&output, "confident ", &covered, err);
	if (r < 0)
		return r;
	line = strchr(strstr(str_text(&output), "confident "), '\n');
	if (!line || sscanf(line, "%lf", &confident) != 1)
		return err_set(err, -EINVAL, "strata-sched lifetime printed no accuracy of the confident");
	row_print(&(struct row){
		.promise = "lifetime class (Resource Central's four) foretold at arrival from the past, Huawei-East-1",
		.measured = cell("%.1f%% right", right),
		.floor = cell("majority %.1f%%, last value %.1f%%", majority, last),
		.comparison = cell("%+.1f points", right - last),
		.target = "≥ 72%",
	});
	row_print(&(struct row){
		.promise = "the same where it is called confident, by a cut-off from the past",
		.measured = cell("%.1f%% right of %.1f%%", confident, covered),
		.floor = "",
		.comparison = "",
		.target = "≥ 92.3% of ≥ 35%",
	});
	return 0;
}

static int export_traces(const struct bench *bench, const char *traces, const char *folder, struct err *err)
{
	auto_free char *script = text_format("%s/../bench/lib/export_traces.py", bench->programs);
	auto_str struct str output = { 0 };
	int r = spawn_run(&(struct spawn_params){ .argv = (const char *[]){ "/usr/bin/python3", script, traces, folder,
						  bench->is_quick ? "42-43" : "42-51", NULL } },
			  &(struct spawn_io){ .output = &output }, err);

	return r < 0 ? err_prefix(err, "export of the traces in '%s' (needs python3-numpy)", traces) : 0;
}

/* Not part of the sources: they may be used for research, not given away. */
static int measure_traces(const struct bench *bench, struct err *err)
{
	auto_free char *beside = text_format("%s/../../shared", bench->programs), *folder = text_format("%s/traces", bench->folder);
	const char *traces = getenv("STRATA_TRACES") ? getenv("STRATA_TRACES") : beside;
	auto_free char *tool = text_format("%s/tools/fgd_eval.py", traces), *pattern = text_format("%s/*/", folder);
	glob_t found = { 0 };
	int r;

	if (access(tool, R_OK) != 0) {
		row_print(&(struct row){ .promise = "placing on public traces", .measured = "not measured: STRATA_TRACES is not set", .floor = "",
					 .comparison = "", .target = "" });
		return 0;
	}
	if (mkdir(folder, 0700) < 0)
		return err_set(err, -errno, "create '%s': %m", folder);
	r = export_traces(bench, traces, folder, err);
	r = r ? r : measure_waits(bench, folder, err);
	r = r ? r : measure_lifetimes(bench, folder, err);
	if (r == 0 && glob(pattern, 0, NULL, &found) != 0)
		r = err_set(err, -ENOENT, "there is no '%s'", pattern);
	for (size_t i = 0; i < found.gl_pathc && r == 0; i++) {
		found.gl_pathv[i][strlen(found.gl_pathv[i]) - 1] = 0;	/* The '/' at the end. */
		r = measure_list(bench, found.gl_pathv[i], err);
	}
	globfree(&found);
	return r;
}

static int measure_memory(const struct bench *bench, struct err *err)
{
	auto_str struct str output = { 0 };
	double nodes, bound = 0, mib;
	int r = run(bench, (const char *const[]){ "synth", "--nodes", "100000", "--requests", "1000", NULL }, &output, err);

	r = r ? r : figure(&output, "nodes ", &nodes, err);
	r = r ? r : figure(&output, "dimensions, ", &bound, err);
	r = r ? r : figure(&output, "memory ", &mib, err);
	if (r == 0)
		row_print(&(struct row){
			.promise = cell("memory for %.0f nodes and %.0f instances in 8 dimensions", nodes, bound),
			.measured = cell("%.0f MiB", mib),
			.floor = cell("what is free and what is bound %.0f MiB", 8 * 4 * (nodes + bound) / 1048576),
			.comparison = cell("%.1f x", mib / (8 * 4 * (nodes + bound) / 1048576)),
			.target = "≤ 512 MiB for 1,000,000",
		});
	return r;
}

static int measure(const struct bench *bench, struct err *err)
{
	int r = measure_policy(bench, "10000", "best-fit", NULL, "≥ 1 M/s, p99 < 50 us", err);

	r = r ? r : measure_policy(bench, "100000", "best-fit", NULL, "≥ 500 k/s", err);
	r = r ? r : measure_policy(bench, "10000", "default", NULL, "≥ 200 k/s", err);
	r = r ? r : measure_policy(bench, "10000", "default", "all", "≥ 50 k/s", err);
	r = r ? r : measure_memory(bench, err);
	return r ? r : measure_traces(bench, err);
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

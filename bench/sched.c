/*
 * Decisions per second: exact best fit, the default policy, and that with all filters, each as a run of strata-sched synth.
 * The floor is random fit: binding and unbinding alone. With STRATA_TRACES=DIR also how much of the GPUs the default
 * policy allocates on what fgd_eval.py exported there (nodes_N.csv, arrivals_N.csv).
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int measure_trace(const struct bench *bench, const char *nodes, const char *policy, struct samples *allocation, struct err *err)
{
	auto_free char *arrivals = text_copy(nodes);
	auto_free char *path = NULL;
	auto_str struct str output = { 0 };
	double value;

	*strrchr(arrivals, '/') = 0;
	path = text_format("%s/arrivals_%s", arrivals, strrchr(nodes, '_') + 1);
	const char *argv[] = { "replay", "--nodes", nodes, "--arrivals", path, "--policy", policy, NULL };
	int r = run(bench, argv, &output, err);

	r = r ? r : figure(&output, "GPU allocation ", &value, err);
	if (r == 0)
		samples_add(allocation, value);
	return r;
}

static double mean(const struct samples *samples)
{
	double sum = 0;

	for (size_t i = 0; i < samples->values.count; i++)
		sum += samples->values.items[i];
	return sum / (double)samples->values.count;
}

static int measure_traces(const struct bench *bench, const char *folder, struct err *err)
{
	auto_free char *pattern = text_format("%s/nodes_*.csv", folder);
	auto_samples struct samples ours = { 0 }, fgd = { 0 };
	glob_t found = { 0 };
	int r = glob(pattern, 0, NULL, &found) ? err_set(err, -ENOENT, "there is no '%s'", pattern) : 0;

	for (size_t i = 0; i < found.gl_pathc && r == 0; i++) {
		r = measure_trace(bench, found.gl_pathv[i], "default", &ours, err);
		r = r ? r : measure_trace(bench, found.gl_pathv[i], "fragmentation", &fgd, err);
	}
	if (r == 0)
		row_print(&(struct row){
			.promise = cell("GPUs allocated when 130%% were asked for, mean of %zu seeds", found.gl_pathc),
			.measured = cell("%.2f%%", mean(&ours)),
			.floor = cell("FGD %.2f%%", mean(&fgd)),
			.comparison = cell("%+.2f points", mean(&ours) - mean(&fgd)),
			.target = "≥ 96.0% (openb default)",
		});
	globfree(&found);
	return r;
}

static int measure(const struct bench *bench, struct err *err)
{
	int r = measure_policy(bench, "10000", "best-fit", NULL, "≥ 1 M/s, p99 < 50 us", err);

	r = r ? r : measure_policy(bench, "100000", "best-fit", NULL, "≥ 500 k/s", err);
	r = r ? r : measure_policy(bench, "10000", "default", NULL, "≥ 200 k/s", err);
	r = r ? r : measure_policy(bench, "10000", "default", "all", "≥ 50 k/s", err);
	if (r == 0 && getenv("STRATA_TRACES"))
		r = measure_traces(bench, getenv("STRATA_TRACES"), err);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

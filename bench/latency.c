/*
 * Latency classes of containers: batch workers that fill all CPUs and one that wakes up every 10 ms, each in a cgroup
 * of its own as containers are; once as the kernel does it by itself, once with classes, in alternation.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/machine/oci/latency.h"
#include "lib/bench.h"

enum {
	ROUNDS = 7, QUICK_ROUNDS = 3,
	ROUND_MS = 4000, QUICK_ROUND_MS = 2000,
	WORKERS_PER_CPU = 2, WORKERS_MAX = 256,
	SETTLE_MS = 100,			/* All have started and are in their cgroups. */
	PERIOD_MS = 10, BUSY_US = 200,		/* Of the one that wakes up. */
	WAKEUPS_MAX = ROUND_MS / PERIOD_MS + 1,
	STEP = 2000,
};

/* What the processes of one round tell; shared memory. */
struct report {
	int error;
	double steps, cpu_s, switches;		/* Batch workers. */
	size_t wakeups;				/* The waker. */
	double late_us[WAKEUPS_MAX];
};

struct round {
	const char *cgroup;
	bool has_classes;
	size_t workers;
	double start_ms, end_ms;
	struct report *reports;			/* Of the workers and, last, of the waker. */
};

static void wait_until(double ms)
{
	struct timespec at = { .tv_sec = (time_t)(ms / 1e3), .tv_nsec = (long)((ms - (double)(time_t)(ms / 1e3) * 1e3) * 1e6) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static void read_usage(double *cpu_s, double *switches)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	*cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	*switches = (double)usage.ru_nivcsw;
}

/* Computes all the time. */
static void work(const struct round *round, struct report *report)
{
	double cpu_s, switches;
	volatile uint64_t number = 1;

	wait_until(round->start_ms);
	read_usage(&cpu_s, &switches);
	while (now_ms() < round->end_ms) {
		for (int i = 0; i < STEP; i++)
			number = number * 6364136223846793005U + 1;
		report->steps++;
	}
	read_usage(&report->cpu_s, &report->switches);
	report->cpu_s -= cpu_s;
	report->switches -= switches;
}

/* Wakes up, is busy for a moment, sleeps again. */
static void wake(const struct round *round, struct report *report)
{
	for (double due = round->start_ms; due < round->end_ms && report->wakeups < WAKEUPS_MAX;) {
		double now;

		wait_until(due);
		now = now_ms();
		report->late_us[report->wakeups++] = (now - due) * 1e3;
		while (now_ms() < now + BUSY_US / 1e3)
			;
		while (due <= now)
			due += PERIOD_MS;
	}
}

static int join_cgroup(const char *parent, size_t number, struct err *err)
{
	auto_free char *folder = text_format("%s/%zu", parent, number), *procs = text_format("%s/cgroup.procs", folder);
	auto_close int fd = -1;
	int r = file_make_dirs(folder, 0755, err);

	if (r < 0)
		return r;
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return err_set(err, -errno, "join cgroup %s: %m", folder);
	return 0;
}

static void run_one(const struct round *round, size_t number)
{
	bool is_waker = number == round->workers;
	struct report *report = &round->reports[number];
	struct err err;
	int r = join_cgroup(round->cgroup, number, &err);

	if (r == 0 && round->has_classes)
		r = latency_apply(getpid(), is_waker ? MACHINE_LATENCY_INTERACTIVE : MACHINE_LATENCY_BATCH, &err);
	prctl(PR_SET_TIMERSLACK, 1);
	report->error = r;
	if (r == 0 && is_waker)
		wake(round, report);
	else if (r == 0)
		work(round, report);
	_exit(r < 0);
}

static int run_round(struct round *round, double ms, struct err *err)
{
	pid_t pids[WORKERS_MAX + 1];
	size_t count = 0;

	memset(round->reports, 0, (round->workers + 1) * sizeof(*round->reports));
	round->start_ms = now_ms() + SETTLE_MS;
	round->end_ms = round->start_ms + ms;
	for (; count <= round->workers && (pids[count] = fork()) >= 0; count++)
		if (pids[count] == 0)
			run_one(round, count);
	for (size_t i = 0; i < count; i++)
		waitpid(pids[i], NULL, 0);
	if (count <= round->workers)
		return err_set(err, -EAGAIN, "start %zu processes: only %zu were possible", round->workers + 1, count);
	for (size_t i = 0; i < count; i++)
		if (round->reports[i].error)
			return err_set(err, round->reports[i].error, "cgroup or latency class of a process: %m");
	return 0;
}

/* One value per round. */
struct figures { struct samples switches, steps, median_us, p99_us; };

static void figures_done(struct figures *figures)
{
	samples_done(&figures->switches);
	samples_done(&figures->steps);
	samples_done(&figures->median_us);
	samples_done(&figures->p99_us);
}
#define auto_figures __attribute__((cleanup(figures_done)))

static void take_figures(const struct round *round, struct figures *figures)
{
	const struct report *waker = &round->reports[round->workers];
	auto_samples struct samples late = { 0 };
	double cpu_s = 0, switches = 0, steps = 0;

	for (size_t i = 0; i < round->workers; i++) {
		cpu_s += round->reports[i].cpu_s;
		switches += round->reports[i].switches;
		steps += round->reports[i].steps;
	}
	for (size_t i = 0; i < waker->wakeups; i++)
		samples_add(&late, waker->late_us[i]);
	samples_add(&figures->switches, switches / cpu_s);
	samples_add(&figures->steps, steps / (round->end_ms - round->start_ms));
	samples_add(&figures->median_us, samples_median(&late));
	samples_add(&figures->p99_us, samples_rank(&late, 0.99));
}

/* A cgroup under which processes have a share of the CPU each: version 2 where the host has it there, else version 1. */
static int make_cgroup(const char *name, char **ret_cgroup, struct err *err)
{
	bool is_v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
	auto_free char *cgroup = text_format("/sys/fs/cgroup%s/%s", is_v2 ? "" : "/cpu", name);
	auto_free char *control = text_format("%s/cgroup.subtree_control", cgroup);
	auto_close int fd = -1;
	int r = file_make_dirs(cgroup, 0755, err);

	if (r < 0)
		return r;
	fd = is_v2 ? open(control, O_WRONLY | O_CLOEXEC) : -1;
	if (is_v2 && (fd < 0 || write(fd, "+cpu", 4) != 4))
		return err_set(err, -errno, "switch on the cpu controller in %s: %m", cgroup);
	*ret_cgroup = take(cgroup);
	return 0;
}

/* Those of processes that have just ended may be busy a moment longer; whoever clears the bench's place looks again. */
static void remove_cgroups(const char *cgroup, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		auto_free char *folder = text_format("%s/%zu", cgroup, i);

		rmdir(folder);
	}
	rmdir(cgroup);
}

static void print(struct figures *classes, struct figures *kernel, size_t workers)
{
	double switches = samples_median(&classes->switches), before = samples_median(&kernel->switches);

	row_print(&(struct row){
		.promise = cell("switches of %zu batch workers against their will, per CPU second", workers),
		.measured = cell("%.0f", switches),
		.floor = cell("the kernel's default %.0f", before),
		.comparison = cell("%+.0f%%", (switches / before - 1) * 100),
		.target = "≤ -42%",
	});
	row_print(&(struct row){
		.promise = "the same: work done",
		.measured = cell("%.0f steps per ms", samples_median(&classes->steps)),
		.floor = cell("the kernel's default %.0f", samples_median(&kernel->steps)),
		.comparison = cell("%+.1f%%", (samples_median(&classes->steps) / samples_median(&kernel->steps) - 1) * 100),
		.target = "≥ -1%",
	});
	row_print(&(struct row){
		.promise = "wake-up of an interactive task beside them, median, p99",
		.measured = cell("%.0f, %.0f µs", samples_median(&classes->median_us), samples_median(&classes->p99_us)),
		.floor = cell("the kernel's default %.0f, %.0f µs", samples_median(&kernel->median_us), samples_median(&kernel->p99_us)),
		.comparison = cell("%+.0f, %+.0f µs", samples_median(&classes->median_us) - samples_median(&kernel->median_us),
				   samples_median(&classes->p99_us) - samples_median(&kernel->p99_us)),
		.target = "no later",
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_free char *cgroup = NULL;
	auto_figures struct figures kernel = { 0 }, classes = { 0 };
	struct round round = { 0 };
	size_t rounds = bench->is_quick ? QUICK_ROUNDS : ROUNDS, size;
	double ms = bench->is_quick ? QUICK_ROUND_MS : ROUND_MS;
	char reason[160];
	cpu_set_t cpus;
	int r = 0;

	if (latency_probe(reason, sizeof(reason)) < 0)
		return err_set(err, -EOPNOTSUPP, "%s", reason);
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return err_set(err, -errno, "count CPUs: %m");
	if ((r = make_cgroup(strrchr(bench->folder, '/') + 1, &cgroup, err)) < 0)
		return r;
	round.cgroup = cgroup;
	round.workers = (size_t)CPU_COUNT(&cpus) * WORKERS_PER_CPU;
	if (round.workers > WORKERS_MAX)
		round.workers = WORKERS_MAX;
	size = (round.workers + 1) * sizeof(*round.reports);
	round.reports = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (round.reports == MAP_FAILED)
		return err_set(err, -errno, "shared memory: %m");
	for (size_t i = 0; r == 0 && i < 2 * rounds; i++) {
		round.has_classes = i % 2;
		if ((r = run_round(&round, ms, err)) == 0)
			take_figures(&round, round.has_classes ? &classes : &kernel);
	}
	munmap(round.reports, size);
	remove_cgroups(cgroup, round.workers + 1);
	if (r == 0)
		print(&classes, &kernel, round.workers);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

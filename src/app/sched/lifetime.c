/*
 * strata-sched lifetime: how well is the lifetime class of a machine foretold when it arrives?
 *
 * The trace is lived through in order: before an arrival at second t, the model has been told of all earlier arrivals and of
 * the ends before t, and of nothing else. Beside it the two answers that cost nothing, from the same past: the class that was
 * most frequent among the ended, and that of the last ended of the same flavour (cpu and memory).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "3-scheduling/forecast/lifetime.h"
#include "app/sched/csv.h"
#include "app/sched/sched.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define TOP_SHARE 0.35

enum { NEED_COLUMNS = 4, COLUMNS = NEED_COLUMNS + FORECAST_KEYS, FLAVOURS_MAX = 4096 };

struct machine {
	struct lifetime_subject subject;
	int64_t lives_s;
	uint64_t number;
	uint32_t flavour;
};

struct guess { double confidence; bool is_right, is_confident, is_majority_right, is_last_right; float cost; };

struct end { int64_t at_s; uint32_t machine; };

struct trial {
	VEC(struct machine) machines;
	VEC(struct lifetime_subject) flavours;
	VEC(struct end) ends;		/* Sorted when all are read. */
	VEC(struct guess) guesses;
	VEC(int) last;			/* Class of the last ended of a flavour; -1: none. */
	struct lifetime *lifetime;
	uint64_t of_class[LIFETIME_CLASSES_MAX], ended[LIFETIME_CLASSES_MAX];
	struct sched_times arrive_times, end_times;
};

static void trial_done(struct trial *trial)
{
	vec_done(&trial->machines);
	vec_done(&trial->flavours);
	vec_done(&trial->ends);
	vec_done(&trial->guesses);
	vec_done(&trial->last);
	lifetime_free(trial->lifetime);
	sched_times_done(&trial->arrive_times);
	sched_times_done(&trial->end_times);
}

/* "900,3600,86400" */
static int read_classes(const char *text, struct lifetime_options *options, struct err *err)
{
	for (const char *next = text; next; next = *next ? next + 1 : NULL) {
		char *end;
		long long bound_s = strtoll(next, &end, 10);

		if (end == next || (*end && *end != ',') || bound_s <= 0 || options->bound_count == LIFETIME_BOUNDS_MAX)
			return err_set(err, -EINVAL, "--classes '%s': use at most %d growing numbers of seconds, as 900,3600,86400", shown(text),
				       LIFETIME_BOUNDS_MAX);
		options->bounds_s[options->bound_count++] = bound_s;
		next = end;
		if (!*next)
			break;
	}
	return 0;
}

static int flavour_of(struct trial *trial, const struct lifetime_subject *subject, const struct csv *csv, uint32_t *ret_flavour, struct err *err)
{
	uint32_t i = 0;

	while (i < trial->flavours.count && (trial->flavours.items[i].cpu_m != subject->cpu_m || trial->flavours.items[i].memory_mib != subject->memory_mib))
		i++;
	if (i == FLAVOURS_MAX)
		return err_set(err, -EINVAL, "%s:%llu: more than %d flavours", csv->path, (unsigned long long)csv->line_number, FLAVOURS_MAX);
	if (i == trial->flavours.count)
		*vec_push(&trial->flavours) = *subject;
	*ret_flavour = i;
	return 0;
}

static uint64_t key_of(const char *text)
{
	static const uint64_t seed[2] = { 0x737472617461, 0 };

	return *text ? map_hash(seed, text, strlen(text)) | 1 : 0;
}

static int read_machine(struct trial *trial, const struct csv *csv, const int columns[COLUMNS], struct err *err)
{
	size_t count = trial->machines.count;
	struct sched_machine row;
	int r = sched_machine_read(csv, columns, count ? trial->machines.items[count - 1].subject.arrives_s : 0, &row, err);

	if (r < 0)
		return r;
	struct machine machine = { .lives_s = row.lives_s, .subject = { .cpu_m = row.cpu_m, .memory_mib = row.memory_mib, .arrives_s = row.arrives_s } };

	for (int k = 0; k < FORECAST_KEYS; k++)
		machine.subject.keys[k] = columns[NEED_COLUMNS + k] < 0 ? 0 : key_of(csv->fields[columns[NEED_COLUMNS + k]]);
	r = flavour_of(trial, &machine.subject, csv, &machine.flavour, err);
	if (r < 0)
		return r;
	*vec_push(&trial->machines) = machine;
	*vec_push(&trial->ends) = (struct end){ row.arrives_s + row.lives_s, (uint32_t)count };
	return 0;
}

static int compare_ends(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	if (x->at_s != y->at_s)
		return x->at_s < y->at_s ? -1 : 1;
	return x->machine < y->machine ? -1 : x->machine > y->machine;
}

static int read_machines(struct trial *trial, const char *path, struct err *err)
{
	static const char *const names[COLUMNS] = { "cpu", "mem", "at", "lt", "image", "project", "label" };
	auto_csv struct csv csv = { 0 };
	int columns[COLUMNS], r = csv_open(&csv, path, err);

	for (int i = 0; i < COLUMNS && r == 0; i++) {
		r = csv_column(&csv, names[i], &columns[i], err);
		if (r < 0 && i >= NEED_COLUMNS) {
			columns[i] = -1;
			r = 0;
		}
	}
	while (r == 0 && (r = csv_next(&csv, err)) > 0)
		r = read_machine(trial, &csv, columns, err);
	if (r == 0 && trial->machines.count < 2)
		r = err_set(err, -EINVAL, "%s: %zu machines are too few", path, trial->machines.count);
	if (r < 0)
		return r;
	qsort(trial->ends.items, trial->ends.count, sizeof(*trial->ends.items), compare_ends);
	for (size_t i = 0; i < trial->flavours.count; i++)
		*vec_push(&trial->last) = -1;
	return 0;
}

static void end_one(struct trial *trial, const struct end *end)
{
	const struct machine *machine = &trial->machines.items[end->machine];
	uint32_t class = lifetime_class_of(trial->lifetime, machine->lives_s);
	uint64_t start = sched_now_ns();

	lifetime_end(trial->lifetime, machine->number, &machine->subject, end->at_s);
	sched_times_add(&trial->end_times, sched_now_ns() - start);
	trial->last.items[machine->flavour] = (int)class;
	trial->ended[class]++;
}

static void arrive_one(struct trial *trial, struct machine *machine)
{
	uint32_t class = lifetime_class_of(trial->lifetime, machine->lives_s), majority = 0;
	struct lifetime_forecast forecast;
	uint64_t start = sched_now_ns();

	machine->number = lifetime_arrive(trial->lifetime, &machine->subject, &forecast);
	sched_times_add(&trial->arrive_times, sched_now_ns() - start);
	for (uint32_t c = 1; c < LIFETIME_CLASSES_MAX; c++)
		majority = trial->ended[c] > trial->ended[majority] ? c : majority;
	trial->of_class[class]++;
	*vec_push(&trial->guesses) = (struct guess){
		.confidence = forecast.probabilities[forecast.class],
		.is_right = forecast.class == class,
		.is_confident = forecast.is_confident,
		.is_majority_right = majority == class,
		.is_last_right = trial->last.items[machine->flavour] == (int)class,
		.cost = (float)-log(fmax(forecast.probabilities[class], 1e-9)),
	};
}

static void live_through(struct trial *trial)
{
	size_t next_end = 0;

	for (size_t i = 0; i < trial->machines.count; i++) {
		struct machine *machine = &trial->machines.items[i];

		/* An end in the same second is not yet known. Who lived no second at all must have arrived. */
		while (trial->ends.items[next_end].at_s < machine->subject.arrives_s)
			end_one(trial, &trial->ends.items[next_end++]);
		arrive_one(trial, machine);
	}
}

struct score { double right, majority, last, cost, coverage, confident, top; };

static int compare_confidence(const void *a, const void *b)
{
	double x = ((const struct guess *)a)->confidence, y = ((const struct guess *)b)->confidence;

	return x > y ? -1 : x < y;
}

/* Sorts the guesses. */
static struct score score(struct guess *guesses, size_t count)
{
	struct score score = { 0 };
	size_t confident = 0, top = (size_t)(TOP_SHARE * (double)count);
	double all = (double)count;

	qsort(guesses, count, sizeof(*guesses), compare_confidence);
	for (size_t i = 0; i < count; i++) {
		const struct guess *guess = &guesses[i];

		score.right += guess->is_right;
		score.majority += guess->is_majority_right;
		score.last += guess->is_last_right;
		score.cost += guess->cost;
		score.confident += guess->is_confident && guess->is_right;
		confident += guess->is_confident;
		score.top += i < top && guess->is_right;
	}
	return (struct score){ .right = score.right / all, .majority = score.majority / all, .last = score.last / all, .cost = score.cost / all,
			       .coverage = (double)confident / all, .confident = confident ? score.confident / (double)confident : 0,
			       .top = top ? score.top / (double)top : 0 };
}

static void print_classes(const struct trial *trial, const struct lifetime_options *options, const char *source)
{
	size_t classes = lifetime_class_count(trial->lifetime);

	printf("instances       %zu of %zu flavours in %.1f days\n", trial->machines.count, trial->flavours.count,
	       (double)(trial->machines.items[trial->machines.count - 1].subject.arrives_s - trial->machines.items[0].subject.arrives_s) / 86400);
	printf("classes        %s", source);
	for (size_t c = 0; c < classes; c++) {
		double share = 100 * (double)trial->of_class[c] / (double)trial->machines.count;

		if (c + 1 < classes)
			printf(" to %lld s %.1f%%,", (long long)options->bounds_s[c], share);
		else
			printf(" longer %.1f%%\n", share);
	}
}

static void print_scores(struct trial *trial)
{
	size_t half = trial->guesses.count / 2;
	/* The second half first, as scoring all of them sorts them. */
	struct score second = score(trial->guesses.items + half, trial->guesses.count - half);
	struct score all = score(trial->guesses.items, trial->guesses.count);

	printf("                %10s %12s\n", "all", "second half");
	printf("majority        %9.2f%% %11.2f%%\n", 100 * all.majority, 100 * second.majority);
	printf("last value      %9.2f%% %11.2f%%  last ended of the same flavour\n", 100 * all.last, 100 * second.last);
	printf("forecast        %9.2f%% %11.2f%%  accuracy\n", 100 * all.right, 100 * second.right);
	printf("                %10.4f %12.4f  cost, nats per instance\n", all.cost, second.cost);
	printf("confident       %9.2f%% %11.2f%%  of all, by a cut-off from the past\n", 100 * all.coverage, 100 * second.coverage);
	printf("                %9.2f%% %11.2f%%  of these right\n", 100 * all.confident, 100 * second.confident);
	printf("top %.0f%%         %9.2f%% %11.2f%%  right of the most confident, by a cut-off known afterwards\n", 100 * TOP_SHARE, 100 * all.top,
	       100 * second.top);
}

int sched_lifetime(const struct sched_options *options, struct err *err)
{
	__attribute__((cleanup(trial_done))) struct trial trial = { 0 };
	struct lifetime_options classes = { .bounds_s = { 900, 3600, 86400 }, .bound_count = options->classes ? 0 : 3 };
	int r = options->vms ? 0 : err_set(err, -EINVAL, "lifetime needs --vms");

	if (r == 0 && options->classes)
		r = read_classes(options->classes, &classes, err);
	r = r ? r : lifetime_new(&classes, &trial.lifetime, err);
	r = r ? r : read_machines(&trial, options->vms, err);
	if (r < 0)
		return r;
	live_through(&trial);
	print_classes(&trial, &classes, options->classes ? "" : " Resource Central's:");
	print_scores(&trial);
	sched_times_print_as(&trial.arrive_times, "forecasts", stdout);
	sched_times_print_as(&trial.end_times, "ends", stdout);
	return 0;
}

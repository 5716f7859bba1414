/*
 * strata-sched replay: requests arrive and stay; each is placed at once or is lost.
 *
 * Files as ../shared/tools/fgd_eval.py --export writes them; placements.csv as its --check reads it. A policy knows the
 * mix of the whole list, as the authors of FGD let it, or with --learn only what arrived before.
 */
#include <errno.h>
#include <string.h>

#include "3-scheduling/explain.h"
#include "app/sched/csv.h"
#include "app/sched/sched.h"
#include "base/mem.h"
#include "base/vec.h"

enum { CPU, MEMORY, DIMENSIONS };

static const struct cluster_dimension dimensions[DIMENSIONS] = { [CPU] = { "cpu", "m" }, [MEMORY] = { "memory", "MiB" } };

struct replay {
	struct cluster *cluster;
	VEC(struct request) requests;
	struct mix mix;
	int64_t gpu_capacity_milli, gpu_used_milli, gpu_arrived_milli;
	double at[3];			/* Allocation when 80, 95, 100% of the capacity had arrived. */
	uint64_t lost_count, lost_gpu_count;
	struct sched_times times;
};

static void replay_done(struct replay *replay)
{
	cluster_free(replay->cluster);
	vec_done(&replay->requests);
	mix_done(&replay->mix);
	sched_times_done(&replay->times);
}

static int find_columns(const struct csv *csv, const char *const *names, int *columns, size_t count, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = csv_column(csv, names[i], &columns[i], err);
	return r;
}

static int read_node(struct replay *replay, const struct csv *csv, const int columns[6], struct err *err)
{
	int64_t index, cpu, memory, gpus;
	uint32_t number;
	int r = csv_integer(csv, columns[0], 0, CLUSTER_NODES_MAX, &index, err);

	r = r ? r : csv_integer(csv, columns[1], 0, INT32_MAX, &cpu, err);
	r = r ? r : csv_integer(csv, columns[2], 0, INT32_MAX, &memory, err);
	r = r ? r : csv_integer(csv, columns[3], 0, GPUS_MAX, &gpus, err);
	if (r < 0)
		return r;
	const struct cluster_node node = { .name = csv->fields[columns[5]], .total = (int32_t[]){ [CPU] = (int32_t)cpu, [MEMORY] = (int32_t)memory },
					   .gpu_count = (uint32_t)gpus, .gpu_model = csv->fields[columns[4]] };

	r = cluster_add_node(replay->cluster, &node, &number, err);
	if (r == 0 && number != index)
		r = err_set(err, -EINVAL, "node_index is %lld, the rows before it end at %u", (long long)index, number);
	if (r < 0)
		return err_prefix(err, "%s:%llu", csv->path, (unsigned long long)csv->line_number);
	replay->gpu_capacity_milli += gpus * GPU_WHOLE_MILLI;
	return 0;
}

static int read_nodes(struct replay *replay, const char *path, struct err *err)
{
	static const char *const names[] = { "node_index", "cpu_milli", "memory_mib", "gpu", "model", "sn" };
	auto_csv struct csv csv = { 0 };
	int columns[6], r = csv_open(&csv, path, err);

	r = r ? r : find_columns(&csv, names, columns, 6, err);
	while (r == 0 && (r = csv_next(&csv, err)) > 0)
		r = read_node(replay, &csv, columns, err);
	return r == 0 && !replay->cluster->node_count ? err_set(err, -EINVAL, "%s: has no nodes, only a header", path) : r;
}

/* "P100|V100M32": nodes of either. A model that no node has can still be asked for; it is never found. */
static int read_models(struct cluster *cluster, const char *text, uint64_t *ret_models, struct err *err)
{
	auto_free char *copy = text_copy(text);
	int r = 0;

	for (char *next = copy; r == 0 && next && *next;) {
		uint8_t model;

		r = cluster_model(cluster, strsep(&next, "|"), &model, err);
		if (r == 0)
			*ret_models |= 1ull << model;
	}
	return r;
}

static int read_request(struct replay *replay, const struct csv *csv, const int columns[6], struct err *err)
{
	struct request request = { 0 };
	int64_t sequence, cpu, memory, gpus, milli;
	int r = csv_integer(csv, columns[0], 0, INT32_MAX, &sequence, err);

	r = r ? r : csv_integer(csv, columns[1], 0, INT32_MAX, &cpu, err);
	r = r ? r : csv_integer(csv, columns[2], 0, INT32_MAX, &memory, err);
	r = r ? r : csv_integer(csv, columns[3], 0, GPUS_MAX, &gpus, err);
	r = r ? r : csv_integer(csv, columns[4], 0, GPU_WHOLE_MILLI, &milli, err);
	r = r ? r : read_models(replay->cluster, csv->fields[columns[5]], &request.gpu_models, err);
	if (r < 0)
		return r;
	request.need[CPU] = (int32_t)cpu;
	request.need[MEMORY] = (int32_t)memory;
	request.gpu_count = (int16_t)gpus;
	request.gpu_milli = (int16_t)(gpus ? milli : 0);
	request.gpu_models = gpus ? request.gpu_models : 0;
	if (sequence != (int64_t)replay->requests.count)
		r = err_set(err, -EINVAL, "seq is %lld, it should be %zu", (long long)sequence, replay->requests.count);
	r = r ? r : cluster_check_request(replay->cluster, &request, err);
	if (r < 0)
		return err_prefix(err, "%s:%llu", csv->path, (unsigned long long)csv->line_number);
	*vec_push(&replay->requests) = request;
	mix_add(&replay->mix, &request);
	return 0;
}

static int read_requests(struct replay *replay, const char *path, struct err *err)
{
	static const char *const names[] = { "seq", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec" };
	auto_csv struct csv csv = { 0 };
	int columns[6], r = csv_open(&csv, path, err);

	r = r ? r : find_columns(&csv, names, columns, 6, err);
	while (r == 0 && (r = csv_next(&csv, err)) > 0)
		r = read_request(replay, &csv, columns, err);
	return r;
}

static void write_placement(FILE *out, size_t sequence, const struct decision *decision)
{
	const char *between = "";

	if (!decision) {
		fprintf(out, "%zu,-1,\n", sequence);
		return;
	}
	fprintf(out, "%zu,%u,", sequence, decision->node);
	for (uint32_t left = decision->devices; left; left &= left - 1, between = ";")
		fprintf(out, "%s%d", between, __builtin_ctz(left));
	fputc('\n', out);
}

static void count_arrival(struct replay *replay, const struct request *request, bool is_placed)
{
	static const double marks[] = { 0.80, 0.95, 1.00 };
	double capacity = replay->gpu_capacity_milli ? (double)replay->gpu_capacity_milli : 1;

	replay->gpu_arrived_milli += request_gpu_milli(request);
	replay->gpu_used_milli += is_placed ? request_gpu_milli(request) : 0;
	replay->lost_count += !is_placed;
	replay->lost_gpu_count += !is_placed && request->gpu_count;
	for (size_t i = 0; i < ARRAY_COUNT(marks); i++)
		if (replay->at[i] == 0 && (double)replay->gpu_arrived_milli >= marks[i] * capacity)
			replay->at[i] = 100 * (double)replay->gpu_used_milli / capacity;
}

static int place_one(struct replay *replay, struct decider *decider, const struct sched_options *options, size_t i, FILE *out, struct err *err)
{
	const struct request *request = &replay->requests.items[i];
	struct decision decision;
	uint64_t start = sched_now_ns();
	uint32_t binding;
	int r = decider_choose(decider, request, &decision, err);

	if ((int64_t)i == options->explain) {
		auto_str struct str text = { 0 };

		explain_request(decider, replay->cluster, request, 10, &text);
		fputs(str_text(&text), stdout);
	}
	if (r < 0 && r != -ENOSPC)
		return r;
	bool is_placed = r == 0;

	if (is_placed && cluster_bind(replay->cluster, request, decision.node, decision.devices, &binding, err) < 0)
		return err->code;
	if (options->is_learning)
		decider_learn(decider, request);
	sched_times_add(&replay->times, sched_now_ns() - start);
	count_arrival(replay, request, is_placed);
	if (out)
		write_placement(out, i, is_placed ? &decision : NULL);
	return 0;
}

static void print_result(struct replay *replay, const struct policy *policy, bool is_learning)
{
	double capacity = replay->gpu_capacity_milli ? (double)replay->gpu_capacity_milli : 1;	/* Without GPUs none is allocated. */

	const char *mix = !policy->is_using_mix ? "not used" : is_learning ? "learnt from the arrivals so far" : "of the whole list";

	printf("policy          %s, mix %s\n", policy->name, mix);
	printf("nodes           %u, %.0f GPUs\n", replay->cluster->node_count, (double)replay->gpu_capacity_milli / 1000);
	printf("requests        %zu, lost %llu of which %llu with GPU\n", replay->requests.count, (unsigned long long)replay->lost_count,
	       (unsigned long long)replay->lost_gpu_count);
	printf("GPU allocation  %.2f%% at the end; when 80%% had arrived %.2f, 95%% %.2f, 100%% %.2f\n",
	       100 * (double)replay->gpu_used_milli / capacity, replay->at[0], replay->at[1], replay->at[2]);
	sched_times_print(&replay->times, stdout);
}

static int replay_all(struct replay *replay, const struct policy *policy, const struct sched_options *options, FILE *out, struct err *err)
{
	auto_decider struct decider *decider = decider_new(replay->cluster, policy);
	int r = 0;

	if (!options->is_learning)
		decider_set_mix(decider, &replay->mix);
	if (out)
		fputs("seq,node_index,gpu_ids\n", out);
	for (size_t i = 0; i < replay->requests.count && r == 0; i++)
		r = place_one(replay, decider, options, i, out, err);
	return r;
}

int sched_replay(const struct sched_options *options, struct err *err)
{
	const struct policy *policy = policy_find(options->policy ? options->policy : "default");
	__attribute__((cleanup(replay_done))) struct replay replay = { 0 };
	auto_fclose FILE *out = NULL;
	int r;

	if (!options->nodes || !options->arrivals)
		return err_set(err, -EINVAL, "replay needs --nodes and --arrivals");
	if (!policy)
		return err_set(err, -EINVAL, "policy '%s' does not exist: see strata-sched policies", options->policy);
	r = cluster_new(dimensions, DIMENSIONS, &replay.cluster, err);
	r = r ? r : read_nodes(&replay, options->nodes, err);
	r = r ? r : read_requests(&replay, options->arrivals, err);
	if (r < 0)
		return r;
	if (options->explain >= (int64_t)replay.requests.count)
		return err_set(err, -EINVAL, "--explain %lld: there are %zu requests, the first is 0", (long long)options->explain, replay.requests.count);
	if (options->out && !(out = fopen(options->out, "we")))
		return err_set(err, -errno, "create '%s': %m", options->out);
	r = replay_all(&replay, policy, options, out, err);
	if (r == 0 && out && fclose(take(out)) != 0)
		r = err_set(err, -errno, "write '%s': %m", options->out);
	if (r == 0)
		print_result(&replay, policy, options->is_learning);
	return r;
}

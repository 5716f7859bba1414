#include "app/simulate/simulate.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/simulate/simulation.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum {
	SECOND_MS = 1000,
	FAULTS_S = 60,			/* With faults, instances are asked for over so long ... */
	SETTLE_S = 120,			/* ... and when they are over it has to come to rest: so long without one more that runs is the end. */
	NODES_S = 120,			/* All nodes are ready by then. */
	PROGRESS_NS = 500000000,
};

uint64_t simulation_now(const struct simulation *simulation)
{
	return loop_now_ms(simulation->house.loop);
}

static void second_is_over(void *data)
{
	struct simulation *simulation = data;

	simulation->is_second_over = true;
	loop_add_timer(simulation->house.loop, SECOND_MS, second_is_over, simulation, NULL);
}

static int step(struct simulation *simulation, struct err *err)
{
	if (!loop_step(simulation->house.loop, 0))
		return err_set(err, -EDEADLK, "nothing can happen any more");
	simulation->steps++;
	check_step(simulation);
	faults_do(simulation);
	return 0;
}

/* ---- Telling ---- */

struct progress { FILE *out; uint64_t next_ns; };

static void tell(struct progress *progress, const struct simulation *simulation)
{
	uint64_t now = progress->out ? clock_monotonic_ns() : 0;

	if (!progress->out || now < progress->next_ns)
		return;
	progress->next_ns = now + PROGRESS_NS;
	fprintf(progress->out, "\r%u of %u instances accepted, %zu run; %.1f virtual seconds, %u hosts in trouble\033[K", simulation->client.made,
		simulation->options.instances, simulation->house.witness.running, (double)simulation_now(simulation) / 1000, simulation->faulty);
	fflush(progress->out);
}

static void end_telling(const struct progress *progress)
{
	if (progress->out)
		fputs("\r\033[K", progress->out);
}

/* ---- Playing ---- */

static int wait_for_nodes(struct simulation *simulation, struct err *err)
{
	uint64_t end_ms = simulation_now(simulation) + NODES_S * 1000;
	bool is_ready = false;
	int r = 0;

	while (r == 0 && !is_ready && simulation_now(simulation) < end_ms) {
		r = step(simulation, err);
		if (!simulation->is_second_over)
			continue;
		simulation->is_second_over = false;
		is_ready = core_is_leader(simulation->core) && fleet_ready(simulation) == simulation->options.nodes;
	}
	if (r == 0 && !is_ready)
		return err_set(err, -ETIME, "%u of %u nodes are ready after %d virtual seconds", fleet_ready(simulation), simulation->options.nodes, NODES_S);
	return r;
}

/* How many may have been asked for by now. */
static uint32_t allowed(const struct simulation *simulation, uint64_t begin_ms)
{
	uint64_t passed_ms = simulation_now(simulation) - begin_ms, all = simulation->options.instances;

	if (!simulation->options.faults || passed_ms >= FAULTS_S * 1000)
		return (uint32_t)all;
	return (uint32_t)(all * passed_ms / (FAULTS_S * 1000));
}

/* Since when no more run than before. */
struct rest { uint32_t running; uint64_t since_ms; };

static bool is_at_rest(struct simulation *simulation, struct rest *rest)
{
	struct tally tally;

	if (!client_is_done(simulation) || simulation->faulty)
		return false;
	tally = check_all(simulation);
	if (tally.running != rest->running || !rest->since_ms)
		*rest = (struct rest){ tally.running, simulation_now(simulation) };
	return tally.running == simulation->client.made || simulation_now(simulation) - rest->since_ms >= SETTLE_S * 1000;
}

static int play(struct simulation *simulation, struct err *err)
{
	struct progress progress = { .out = simulation->options.progress };
	uint64_t begin_ms = simulation_now(simulation);
	struct rest rest = { 0 };
	bool is_done = false;
	int r = 0;

	faults_begin(simulation);
	while (r == 0 && !is_done && !simulation->broken[0]) {
		client_ask(simulation, allowed(simulation, begin_ms));
		r = step(simulation, err);
		tell(&progress, simulation);
		/* Without faults little time passes: look as soon as as many run as should. */
		if (!simulation->is_second_over && !(client_is_done(simulation) && simulation->house.witness.running == simulation->client.made))
			continue;
		if (simulation->is_second_over)
			check_second(simulation);
		simulation->is_second_over = false;
		simulation->is_over = client_is_done(simulation) && simulation_now(simulation) - begin_ms >= FAULTS_S * 1000;
		is_done = is_at_rest(simulation, &rest);
	}
	end_telling(&progress);
	return r;
}

/* ---- Measuring ---- */

static size_t heap_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Another daemon on the store as it is: what it keeps in memory. */
static int measure(struct simulation *simulation, struct simulate_result *result, struct err *err)
{
	struct store *store = NULL;
	struct store_params params = { .shared = sim_store_driver(simulation->house.store) };
	struct sim_node *node = &simulation->nodes[0];
	size_t before;
	int r;

	for (uint32_t i = 0; i < simulation->options.nodes; i++)
		fleet_stop(simulation, i);
	objects_close(take(simulation->objects));
	before = heap_in_use();
	r = store_open(&store_memory, &params, simulation->house.loop, &store, err);
	if (r == 0)
		r = objects_open(store, simulation->house.loop, node->host.uid, &simulation->objects, err);
	if (r == 0)
		r = fleet_start(simulation, 0, err);
	result->heap_bytes = heap_in_use() - before;
	for (enum kind_id k = 0; k < KIND_COUNT && simulation->objects; k++)
		result->objects += objects_all(simulation->objects, k)->count;
	fleet_stop(simulation, 0);
	store_abandon(store);
	return r;
}

static uint64_t rss_mib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss / 1024;
}

/* ---- All of it ---- */

static int make_directory(struct simulation *simulation, struct err *err)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";

	snprintf(simulation->directory, sizeof(simulation->directory), "%s/strata-simulate-XXXXXX", base);
	return mkdtemp(simulation->directory) ? 0 : err_set(err, -errno, "make a folder in '%s': %m", base);
}

static void fill_result(struct simulation *simulation, uint64_t begin_ns, struct simulate_result *result)
{
	struct tally tally;

	check_end(simulation);
	tally = check_all(simulation);
	*result = (struct simulate_result){ .running = tally.running, .steps = simulation->steps, .rss_mib = rss_mib(),
					    .wall_s = (double)(clock_monotonic_ns() - begin_ns) / 1e9 };
	snprintf(result->broken, sizeof(result->broken), "%s", simulation->broken);
	snprintf(result->why_not, sizeof(result->why_not), "%s", tally.why_not[0] ? tally.why_not : simulation->client.refusal);
}

int simulate_run(const struct simulate_options *options, bool must_measure, struct simulate_result *ret_result, struct err *err)
{
	struct simulation simulation = { .options = *options };
	uint64_t begin_ns = clock_monotonic_ns();
	struct err ignored = { 0 };
	int r = make_directory(&simulation, err);

	if (r < 0)
		return r;
	sim_house_init(&simulation.house, options->seed, 1700000000000);
	rng_init(&simulation.core_rng, options->seed + 3);
	client_init(&simulation.client, &simulation);
	r = fleet_open(&simulation, err);
	second_is_over(&simulation);
	if (r == 0)
		r = wait_for_nodes(&simulation, err);
	if (r == 0)
		r = client_prepare(&simulation, err);
	if (r == 0)
		r = play(&simulation, err);
	if (r == 0)
		fill_result(&simulation, begin_ns, ret_result);
	if (r == 0 && must_measure)
		r = measure(&simulation, ret_result, err);
	fleet_close(&simulation);
	client_done(&simulation.client);
	vec_done(&simulation.due);
	sim_house_done(&simulation.house);
	file_remove_tree(simulation.directory, &ignored);
	return r;
}

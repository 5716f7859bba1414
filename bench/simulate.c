/*
 * `stratad --simulate`: 100,000 instances on 10,000 simulated nodes from empty to all running. The floor is the scheduling floor alone:
 * the ledger and policy of placement.h admit the same instances on the same nodes. And what a daemon keeps in memory of
 * such a catalogue. QUICK=1: a tenth of both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "4-service/placement.h"
#include "app/simulate/simulate.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/spawn.h"
#include "base/str.h"
#include "lib/bench.h"
#include "model/kind.h"

enum { NODES = 10000, INSTANCES = 100000, SEED = 7, QUICK_SHARE = 10 };

/* ---- The floor ---- */

static struct placement *make_cluster(uint32_t nodes)
{
	struct config config = { 0 };
	struct placement *placement;
	struct rng rng;

	field_defaults(&config_table, &config);
	config.overcommit.vm.cpus = 2;
	config.overcommit.vm.memory = 1;
	placement = placement_new(&config);
	field_done(&config_table, &config);
	rng_init(&rng, SEED);
	for (uint32_t i = 0; i < nodes; i++) {
		struct node *node = kind_new(&kinds[KIND_NODE]);
		auto_free char *name = text_format("node-%u", i);

		text_replace(&node->meta.uid, name);
		text_replace(&node->meta.name, name);
		simulate_node_size(&rng, &node->status.cpus, &node->status.memory);
		placement_set_node(placement, node, true);
		kind_free(&kinds[KIND_NODE], node);
	}
	return placement;
}

static int admit(struct placement *placement, uint32_t number, struct err *err)
{
	struct instance *instance = kind_new(&kinds[KIND_INSTANCE]);
	auto_free char *uid = text_format("%u", number);
	int r;

	text_replace(&instance->meta.uid, uid);
	instance->spec.power = POWER_RUNNING;
	simulate_instance_size(SEED, number, &instance->spec.cpus, &instance->spec.memory);
	r = placement_admit(placement, instance, NULL, err);
	kind_free(&kinds[KIND_INSTANCE], instance);
	return r;
}

static int measure_floor(uint32_t nodes, uint32_t instances, double *ret_s, struct err *err)
{
	struct placement *placement = make_cluster(nodes);
	double begin = now_ms();
	int r = 0;

	for (uint32_t i = 0; i < instances && r == 0; i++)
		r = admit(placement, i, err);
	*ret_s = (now_ms() - begin) / 1000;
	placement_free(placement);
	return r;
}

/* ---- The simulation ---- */

static int simulate(const struct bench *bench, uint32_t nodes, uint32_t instances, double *ret_s, double *ret_mib, struct err *err)
{
	auto_free char *program = text_format("%s/stratad", bench->programs), *what = text_format("nodes=%u,instances=%u", nodes, instances);
	const char *argv[] = { program, "--simulate", what, "--seed", "7", NULL };
	auto_str struct str output = { 0 };
	const char *wall, *rss;
	int r = spawn_run(&(struct spawn_params){ .argv = argv }, &(struct spawn_io){ .output = &output }, err);

	if (r < 0)
		return r;
	wall = strstr(str_text(&output), "wall_s=");
	rss = strstr(str_text(&output), "rss_mib=");
	if (!wall || !rss || !strstr(str_text(&output), "invariants=ok"))
		return err_set(err, -EINVAL, "stratad --simulate printed '%s'", str_text(&output));
	*ret_s = strtod(wall + strlen("wall_s="), NULL);
	*ret_mib = strtod(rss + strlen("rss_mib="), NULL);
	return 0;
}

static int measure_catalogue(uint32_t nodes, uint32_t instances, struct err *err)
{
	const struct simulate_options options = { .nodes = nodes, .instances = instances, .seed = SEED };
	struct simulate_result result;
	int r = simulate_run(&options, true, &result, err);

	if (r == 0)
		row_print(&(struct row){
			.promise = cell("memory of a daemon per object in the catalogue, %u nodes and %u instances", nodes, instances),
			.measured = cell("%.0f bytes", (double)result.heap_bytes / (double)result.objects),
			.floor = "-", .comparison = "-", .target = "600 bytes",
		});
	return r;
}

static int measure(const struct bench *bench, struct err *err)
{
	uint32_t share = bench->is_quick ? QUICK_SHARE : 1, nodes = NODES / share, instances = INSTANCES / share;
	double floor_s = 0, wall_s = 0, mib = 0;
	int r = measure_floor(nodes, instances, &floor_s, err);

	r = r ? r : simulate(bench, nodes, instances, &wall_s, &mib, err);
	if (r == 0)
		row_print(&(struct row){
			.promise = cell("%u instances on %u simulated nodes, from empty to all running", instances, nodes),
			.measured = cell("%.1f s, %.0f MiB", wall_s, mib), .floor = cell("scheduling alone %.1f s", floor_s),
			.comparison = cell("%.1f x", wall_s / floor_s), .target = "30 s, 2048 MiB",
		});
	return r ? r : measure_catalogue(nodes, instances, err);
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

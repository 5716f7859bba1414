#include "3-scheduling/topology.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };

struct world { struct cluster *cluster; struct topology topology; };

/* One host with two NUMA nodes of 4 CPUs (0-3, 4-7) and 1000 MiB, and one of which nothing is known. */
static void world_init(struct world *world)
{
	struct numa_node numa_nodes[2] = { { .memory = 1000 }, { .memory = 1000 } };
	struct err err = { 0 };
	uint32_t number;

	assert_int_equal(cluster_new(dimensions, 2, &world->cluster, &err), 0);
	assert_int_equal(topology_init(&world->topology, world->cluster, 0, 1, &err), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(cluster_add_node(world->cluster, &(struct cluster_node){ .name = "n", .total = (int32_t[]){ 8000, 2000 } }, &number, &err), 0);
	for (uint32_t cpu = 0; cpu < 8; cpu++)
		cpu_set_add(&numa_nodes[cpu / 4].cpus, cpu);
	assert_int_equal(topology_set(&world->topology, 0, numa_nodes, 2, &err), 0);
}

static void world_done(struct world *world)
{
	topology_done(&world->topology);
	cluster_free(world->cluster);
}
#define auto_world __attribute__((cleanup(world_done)))

static void refused(const struct world *world, int32_t cpu, int32_t memory, struct numa_demand demand, uint32_t node, const char *why)
{
	struct request request = { .need = { cpu, memory } };
	struct str text = { 0 };

	assert_int_equal(topology_fits(&world->topology, &request, &demand, node), !why[0]);
	topology_explain(&world->topology, &request, &demand, node, &text);
	assert_string_equal(str_text(&text), why);
	str_done(&text);
}

static uint32_t hold_on(struct world *world, int32_t cpu, int32_t memory, struct numa_demand demand)
{
	struct err err = { 0 };
	uint32_t hold;

	assert_int_equal(topology_take(&world->topology, &(struct request){ .need = { cpu, memory } }, &demand, 0, &hold, &err), 0);
	return hold;
}

static struct cpu_set set_of(uint64_t bits)
{
	return (struct cpu_set){ .words = { bits } };
}

static void test_within_one_numa_node_or_split(void **state)
{
	auto_world struct world world;
	const struct numa_demand single = { .fit = NUMA_SINGLE }, split = { .fit = NUMA_SPLIT };

	(void)state;
	world_init(&world);
	refused(&world, 8000, 2000, (struct numa_demand){ 0 }, 1, "");
	refused(&world, 1000, 100, single, 1, "its CPUs and NUMA nodes are not known");
	refused(&world, 5000, 100, single, 0,
		"needs 5 CPUs and 100MiB in one NUMA node; its NUMA nodes have 4 and 1000MiB, 4 and 1000MiB free");
	refused(&world, 5000, 1500, split, 0, "");
	uint32_t first = hold_on(&world, 3000, 500, single);

	refused(&world, 2000, 600, single, 0, "");	/* In the other one. */
	refused(&world, 3000, 600, split, 0,
		"needs 3 CPUs and 600MiB in equal parts on all NUMA nodes; its NUMA nodes have 1 and 500MiB, 4 and 1000MiB free");
	hold_on(&world, 3000, 600, single);
	refused(&world, 1000, 600, single, 0,
		"needs 1 CPUs and 600MiB in one NUMA node; its NUMA nodes have 1 and 500MiB, 1 and 400MiB free");
	topology_release(&world.topology, first);
	refused(&world, 1000, 600, single, 0, "");
}

static void test_exclusive_cpus_are_shared_with_nobody(void **state)
{
	auto_world struct world world;
	const struct numa_demand alone = { .is_exclusive = true }, alone_single = { .is_exclusive = true, .fit = NUMA_SINGLE };
	const struct cpu_set five = set_of(1 << 5);
	struct err err = { 0 };

	(void)state;
	world_init(&world);
	assert_int_equal(topology_check(&world.topology, &(struct request){ .need = { 1500 } }, &alone, &err), -EINVAL);
	assert_string_equal(err.msg, "1.5 exclusive CPUs: use a whole number of 1 or more");
	uint32_t three = hold_on(&world, 3000, 0, alone_single);

	assert_int_equal(world.topology.holds.items[three].cpus.words[0], 0x07);
	hold_on(&world, 3000, 0, alone);			/* The NUMA node with more: 4, 5, 6. */
	refused(&world, 1000, 0, (struct numa_demand){ .pinned = &five }, 0, "another instance has CPU 5");
	refused(&world, 2000, 0, alone_single, 0,
		"needs 2 exclusive CPUs and 0B in one NUMA node; its NUMA nodes have 1 and 1000MiB, 1 and 1000MiB free");
	refused(&world, 2000, 0, alone, 0, "");
	refused(&world, 3000, 0, (struct numa_demand){ .is_exclusive = true, .fit = NUMA_SPLIT }, 0,
		"has 2 NUMA nodes, over which 3 exclusive CPUs cannot be split evenly");
	topology_release(&world.topology, three);
	assert_int_equal(hold_on(&world, 4000, 0, alone_single), three);
	assert_int_equal(world.topology.holds.items[three].cpus.words[0], 0x0f);
}

static void test_pinned_cpus(void **state)
{
	auto_world struct world world;
	const struct cpu_set low = set_of(0x03), both = set_of(0x18), absent = set_of(1 << 9), none = set_of(0);
	struct err err = { 0 };

	(void)state;
	world_init(&world);
	refused(&world, 2000, 0, (struct numa_demand){ .pinned = &absent }, 0, "has no CPU 9");
	refused(&world, 2000, 0, (struct numa_demand){ .pinned = &both, .fit = NUMA_SINGLE }, 0, "the CPUs it is pinned to are not in one NUMA node");
	assert_int_equal(topology_check(&world.topology, &(struct request){ .need = { 1000 } }, &(struct numa_demand){ .pinned = &none }, &err), -EINVAL);
	assert_int_equal(topology_check(&world.topology, &(struct request){ .need = { 1000 } },
					&(struct numa_demand){ .pinned = &low, .is_exclusive = true }, &err), -EINVAL);
	assert_string_equal(err.msg, "1 exclusive CPUs, pinned to 2: name as many as are asked for");
	uint32_t shared = hold_on(&world, 1000, 0, (struct numa_demand){ .pinned = &low });

	hold_on(&world, 1000, 0, (struct numa_demand){ .pinned = &low });	/* Two may share what neither has alone. */
	refused(&world, 2000, 0, (struct numa_demand){ .pinned = &low, .is_exclusive = true }, 0, "another instance has CPU 0");
	assert_int_equal(world.topology.holds.items[hold_on(&world, 2000, 0, (struct numa_demand){ .is_exclusive = true, .fit = NUMA_SINGLE })].cpus.words[0],
			 0x0c);
	topology_release(&world.topology, shared);
	refused(&world, 2000, 0, (struct numa_demand){ .pinned = &low, .is_exclusive = true }, 0, "another instance has CPU 0");
}

static void test_hosts_are_described_with_care(void **state)
{
	auto_world struct world world;
	struct numa_node numa_nodes[2] = { { .memory = 1, .cpus = set_of(3) }, { .memory = 1, .cpus = set_of(6) } };
	struct err err = { 0 };

	(void)state;
	world_init(&world);
	assert_int_equal(topology_set(&world.topology, 0, numa_nodes, 2, &err), -EINVAL);
	assert_string_equal(err.msg, "node 'n': NUMA node 1 has CPU 1, which another one has too");
	assert_int_equal(topology_set(&world.topology, 7, numa_nodes, 1, &err), -ENOENT);
	assert_int_equal(topology_set(&world.topology, 0, numa_nodes, 0, &err), -EINVAL);
	uint32_t hold = hold_on(&world, 1000, 0, (struct numa_demand){ .fit = NUMA_SINGLE });

	assert_int_equal(topology_set(&world.topology, 0, numa_nodes, 1, &err), -EBUSY);
	assert_string_equal(err.msg, "node 'n': 1 instances hold CPUs or NUMA nodes there: move them first");
	topology_release(&world.topology, hold);
	assert_int_equal(topology_set(&world.topology, 0, numa_nodes, 1, &err), 0);
	refused(&world, 3000, 0, (struct numa_demand){ .fit = NUMA_SINGLE }, 0, "needs 3 CPUs and 0B in one NUMA node; its NUMA nodes have 2 and 1MiB free");
}

/* Whatever comes and goes: no CPU is anybody's twice, nothing is below zero, and in the end all is free again. */
static void test_nothing_is_held_twice(void **state)
{
	auto_world struct world world;
	struct rng rng;
	uint32_t holds[64], count = 0, taken = 0;
	struct err err;

	(void)state;
	world_init(&world);
	rng_init(&rng, 5);
	for (int step = 0; step < 20000; step++) {
		const struct cpu_set pinned = set_of(1 + rng_below(&rng, 255));
		const struct numa_demand demand = { .fit = (uint8_t)rng_below(&rng, 3), .is_exclusive = rng_below(&rng, 2),
						    .pinned = rng_below(&rng, 3) ? NULL : &pinned };
		const struct request request = { .need = { 500 * (int32_t)rng_below(&rng, 8), (int32_t)rng_below(&rng, 400) } };
		struct cpu_set all = { 0 };

		if (count && rng_below(&rng, 2)) {
			uint32_t i = (uint32_t)rng_below(&rng, count);

			topology_release(&world.topology, holds[i]);
			holds[i] = holds[--count];
		} else if (count < 64 && topology_take(&world.topology, &request, &demand, 0, &holds[count], &err) == 0 && holds[count] != HOLD_NONE) {
			count++;
			taken++;
		}
		for (uint32_t i = 0; i < count; i++) {
			const struct hold *hold = &world.topology.holds.items[holds[i]];

			assert_false(hold->is_exclusive && all.words[0] & hold->cpus.words[0]);
			all.words[0] |= hold->is_exclusive ? hold->cpus.words[0] : 0;
		}
		for (uint32_t i = 0; i < count; i++)
			assert_false(world.topology.holds.items[holds[i]].is_pinned && all.words[0] & world.topology.holds.items[holds[i]].cpus.words[0]);
		for (uint32_t zone = 0; zone < 2; zone++)
			assert_true(world.topology.zones.items[zone].cpu_free >= 0 && world.topology.zones.items[zone].memory_free >= 0);
	}
	assert_true(taken > 2000);
	while (count)
		topology_release(&world.topology, holds[--count]);
	for (uint32_t zone = 0; zone < 2; zone++)
		assert_true(world.topology.zones.items[zone].cpu_free == 4000 && world.topology.zones.items[zone].memory_free == 1000);
	assert_int_equal(cpu_set_count(world.topology.hosts[0].taken), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_within_one_numa_node_or_split),
		cmocka_unit_test(test_exclusive_cpus_are_shared_with_nobody),
		cmocka_unit_test(test_pinned_cpus),
		cmocka_unit_test(test_hosts_are_described_with_care),
		cmocka_unit_test(test_nothing_is_held_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

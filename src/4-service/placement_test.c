#include "4-service/placement.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

enum { GIB = 30 };

struct made { struct instance instance; char uid[16], name[16]; };

struct world {
	struct node node;
	struct config config;
	struct placement *placement;
	int made;
};

static void world_init(struct world *world, int64_t cpus, uint64_t memory)
{
	*world = (struct world){ .node = { .meta = { .name = text_copy("alpha"), .uid = text_copy("node-1") },
					   .status = { .cpus = cpus, .memory = memory } } };
	field_defaults(&config_table, &world->config);
	world->config.overcommit.vm = (struct config_ratio){ .cpus = 16, .memory = 1 };
	world->config.overcommit.container = (struct config_ratio){ .cpus = 64, .memory = 16 };
	world->placement = placement_new(&world->config);
	placement_set_node(world->placement, &world->node, !world->node.spec.cordoned);
}

static void world_done(struct world *world)
{
	placement_free(world->placement);
	field_done(&config_table, &world->config);
	free(world->node.meta.name);
	free(world->node.meta.uid);
}
#define auto_world __attribute__((cleanup(world_done)))

static void make(struct world *world, struct made *made, int kind, int64_t cpus, uint64_t memory, int power)
{
	*made = (struct made){ .instance.spec = { .kind = kind, .cpus = cpus, .memory = memory, .power = power } };
	snprintf(made->uid, sizeof(made->uid), "uid-%d", ++world->made);
	snprintf(made->name, sizeof(made->name), "web%d", world->made);
	made->instance.meta.uid = made->uid;
	made->instance.meta.name = made->name;
}

static int admit(struct world *world, struct made *made, struct err *err)
{
	struct instance admitted = made->instance;
	int r;

	admitted.spec.node = text_copy(made->instance.spec.node);
	r = placement_admit(world->placement, &admitted, NULL, err);
	if (r == 0) {
		assert_string_equal(admitted.spec.node, "node-1");
		made->instance.spec.node = world->node.meta.uid;
	}
	free(admitted.spec.node);
	return r;
}

static void test_what_runs_takes_room_and_what_stops_gives_it_back(void **state)
{
	auto_world struct world world;
	struct made first, second;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 4, 8ull << GIB);
	make(&world, &first, INSTANCE_VM, 2, 5ull << GIB, POWER_RUNNING);
	make(&world, &second, INSTANCE_VM, 2, 4ull << GIB, POWER_RUNNING);
	assert_int_equal(admit(&world, &first, &err), 0);
	assert_int_equal(admit(&world, &second, &err), -ENOSPC);
	assert_string_equal(err.msg, "node 'alpha': needs 4GiB of memory, has 3GiB free of 8GiB: use less, stop others, or promise more than there "
				     "is (see 'strata explain config.overcommit')");
	second.instance.spec.power = POWER_STOPPED;
	assert_int_equal(admit(&world, &second, &err), 0);	/* Made, but not running. */
	second.instance.spec.power = POWER_RUNNING;
	assert_int_equal(admit(&world, &second, &err), -ENOSPC);
	first.instance.spec.power = POWER_OFF;
	placement_sync(world.placement, first.uid, &first.instance);
	assert_int_equal(admit(&world, &second, &err), 0);
	second.instance.spec.memory = 8ull << GIB;		/* It may grow into what it has itself. */
	assert_int_equal(admit(&world, &second, &err), 0);
	second.instance.spec.memory = (8ull << GIB) + 1;
	assert_int_equal(admit(&world, &second, &err), -ENOSPC);
	assert_true(strstr(err.msg, "8193MiB of memory is more than the host has (8GiB)") != NULL);
	second.instance.spec.power = POWER_STOPPED;		/* Not even that much it could ever have. */
	assert_int_equal(admit(&world, &second, &err), -ENOSPC);
}

/* Nothing is stored yet when the next request comes. */
static void test_admission_counts_at_once_until_it_is_taken_back(void **state)
{
	auto_world struct world world;
	struct made first, second;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 4, 8ull << GIB);
	make(&world, &first, INSTANCE_VM, 2, 5ull << GIB, POWER_RUNNING);
	make(&world, &second, INSTANCE_VM, 2, 5ull << GIB, POWER_RUNNING);
	assert_int_equal(admit(&world, &first, &err), 0);
	assert_int_equal(admit(&world, &second, &err), -ENOSPC);
	placement_sync(world.placement, first.uid, NULL);	/* The transaction failed. */
	assert_int_equal(admit(&world, &second, &err), 0);
	placement_sync(world.placement, second.uid, &second.instance);
	placement_sync(world.placement, second.uid, &second.instance);
	assert_int_equal(admit(&world, &first, &err), -ENOSPC);
	placement_sync(world.placement, second.uid, NULL);
	placement_sync(world.placement, second.uid, NULL);
	assert_int_equal(admit(&world, &first, &err), 0);
}

static void test_settings_change_what_may_be_promised(void **state)
{
	auto_world struct world world;
	struct made made[4];
	struct err err = { 0 };

	(void)state;
	world_init(&world, 1, 8ull << GIB);
	for (int i = 0; i < 4; i++)
		make(&world, &made[i], INSTANCE_VM, 1, 4ull << GIB, POWER_RUNNING);
	assert_int_equal(admit(&world, &made[0], &err), 0);
	assert_int_equal(admit(&world, &made[1], &err), 0);
	assert_int_equal(admit(&world, &made[2], &err), -ENOSPC);
	world.config.overcommit.vm.memory = 2;
	placement_configure(world.placement, &world.config);
	assert_int_equal(admit(&world, &made[2], &err), 0);
	world.config.reserved.memory = 3ull << GIB;		/* 5 GiB, twice: 10 GiB for what runs, 12 are promised. */
	placement_configure(world.placement, &world.config);
	assert_int_equal(admit(&world, &made[3], &err), -ENOSPC);
	assert_string_equal(err.msg, "node 'alpha': needs 2GiB of memory (for 4GiB, overcommitted), has 0B free after 3GiB reserved: use less, stop "
				     "others, or promise more than there is (see 'strata explain config.overcommit')");
	placement_sync(world.placement, made[0].uid, NULL);	/* What was given too little of is counted as little. */
	placement_sync(world.placement, made[1].uid, NULL);
	assert_int_equal(admit(&world, &made[3], &err), 0);
	world.config.reserved.memory = 1ull << 40;
	placement_configure(world.placement, &world.config);
	assert_int_equal(admit(&world, &made[0], &err), -ENOSPC);
}

static void test_containers_have_ratios_of_their_own_and_may_ask_for_nothing(void **state)
{
	auto_world struct world world;
	struct made made;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 1, 1ull << GIB);
	for (int i = 0; i < 16; i++) {
		make(&world, &made, INSTANCE_CONTAINER, 1, 1ull << GIB, POWER_RUNNING);
		assert_int_equal(admit(&world, &made, &err), 0);
	}
	make(&world, &made, INSTANCE_CONTAINER, 1, 1 << 20, POWER_RUNNING);
	assert_int_equal(admit(&world, &made, &err), -ENOSPC);
	for (int i = 0; i < 1000; i++) {
		make(&world, &made, INSTANCE_CONTAINER, 0, 0, POWER_RUNNING);	/* Without limits. */
		assert_int_equal(admit(&world, &made, &err), 0);
	}
}

/* CPUs are shared in time: a guest may have more than the host, within the ratio. */
static void test_more_cpus_than_the_host_has(void **state)
{
	auto_world struct world world;
	struct made made;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 2, 8ull << GIB);
	make(&world, &made, INSTANCE_VM, 32, 1 << 20, POWER_RUNNING);
	assert_int_equal(admit(&world, &made, &err), 0);
	make(&world, &made, INSTANCE_VM, 1, 1 << 20, POWER_RUNNING);
	assert_int_equal(admit(&world, &made, &err), -ENOSPC);
	assert_true(strstr(err.msg, "needs 0.063 of cpus (for 1, overcommitted), has 0 free of 2") != NULL);
}

static const char *name_of(void *data, const char *uid)
{
	(void)data;
	return uid;
}

static void what_if(struct world *world, const char *expected)
{
	struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct err err = { 0 };

	assert_int_equal(placement_what_if_drain(world->placement, "node-1", name_of, NULL, &writer, &err), 0);
	assert_string_equal(str_text(&text), expected);
	str_done(&text);
}

static void test_two_nodes_and_what_if_one_were_empty(void **state)
{
	auto_world struct world world;
	struct node other = { .meta = { .name = (char *)"beta", .uid = (char *)"node-2" }, .status = { .cpus = 8, .memory = 3ull << GIB } };
	struct made large, small;
	struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 4, 8ull << GIB);
	make(&world, &large, INSTANCE_VM, 1, 4ull << GIB, POWER_RUNNING);
	make(&world, &small, INSTANCE_VM, 1, 1ull << GIB, POWER_RUNNING);
	assert_int_equal(admit(&world, &large, &err), 0);
	assert_int_equal(admit(&world, &small, &err), 0);
	what_if(&world, "[{\"instance\":\"uid-1\",\"memory\":4294967296,\"text\":\"there is no other node\"},"
			"{\"instance\":\"uid-2\",\"memory\":1073741824,\"text\":\"there is no other node\"}]");
	placement_set_node(world.placement, &other, true);
	what_if(&world, "[{\"instance\":\"uid-2\",\"to\":\"beta\",\"memory\":1073741824},{\"instance\":\"uid-1\",\"memory\":4294967296,"
			"\"text\":\"none of 2 nodes will do: 1 lacks memory (needs 4GiB, the most free is 3GiB), 1 is cordoned\"}]");
	placement_explain(world.placement, &small.instance, &writer);
	assert_non_null(strstr(str_text(&text), "{\"node\":\"alpha\",\"state\":\"here\""));
	assert_non_null(strstr(str_text(&text), "{\"node\":\"beta\",\"state\":\"possible\""));
	str_done(&text);
	assert_int_equal(placement_what_if_drain(world.placement, "nope", name_of, NULL, &writer, &err), -ENOENT);
}

/* ---- Busy nodes ---- */

enum { HOSTS = 2 };
static const char *const host_uids[HOSTS] = { "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b" };

struct loads { struct host_load of[HOSTS]; bool is_known[HOSTS]; unsigned asked; struct placement *placement; uint64_t now_ms; };

static int load_of(void *data, const uint8_t node[PAGE_UID_BYTES], struct host_load *ret_load, struct err *err)
{
	struct loads *loads = data;
	size_t i = node[PAGE_UID_BYTES - 1] - 0xau;

	loads->asked++;
	if (!loads->is_known[i])
		return err_set(err, -ENOENT, "nothing is known");
	*ret_load = loads->of[i];
	return 0;
}

/* All have the same, so that the first is chosen where the load is. */
static void loads_init(struct loads *loads, const struct config *config)
{
	*loads = (struct loads){ .placement = placement_new(config) };
	for (size_t i = 0; i < HOSTS; i++) {
		struct node node = { .meta = { .name = (char *)(i ? "beta" : "alpha"), .uid = (char *)host_uids[i] },
				     .status = { .cpus = 4, .memory = 8ull << GIB } };

		placement_set_node(loads->placement, &node, true);
		loads->of[i] = (struct host_load){ .run_queue_milli = 500, .busy_permille = 100, .memory_total_bytes = 8ull << GIB,
						   .memory_available_bytes = 4ull << GIB, .age_ms = 60 };
		loads->is_known[i] = true;
	}
}

static void look(struct loads *loads)
{
	const struct load_source source = { .load = load_of, .data = loads };

	loads->now_ms += PLACEMENT_LOOK_MS;
	placement_look(loads->placement, &source, loads->now_ms);
}

/* Where would a new one go? Nothing is kept of it. */
static const char *chosen(struct loads *loads, uint64_t memory)
{
	struct instance instance = { .meta = { .name = (char *)"new", .uid = (char *)"uid-new" },
				     .spec = { .kind = INSTANCE_VM, .cpus = 1, .memory = memory, .power = POWER_RUNNING } };
	struct err err = { 0 };
	const char *uid = NULL;

	look(loads);
	if (placement_admit(loads->placement, &instance, NULL, &err) == 0)
		uid = text_equal(instance.spec.node, host_uids[0]) ? "alpha" : "beta";
	placement_sync(loads->placement, "uid-new", NULL);
	free(instance.spec.node);
	return uid;
}

static void test_a_busy_node_is_given_what_is_new_last(void **state)
{
	struct config config = { 0 };
	struct loads loads;

	(void)state;
	field_defaults(&config_table, &config);
	config.overcommit.vm = (struct config_ratio){ .cpus = 16, .memory = 1 };
	loads_init(&loads, &config);
	assert_string_equal(chosen(&loads, 1ull << GIB), "alpha");

	loads.of[0].busy_permille = 901;
	assert_string_equal(chosen(&loads, 1ull << GIB), "beta");
	loads.of[0].busy_permille = 900;
	assert_string_equal(chosen(&loads, 1ull << GIB), "alpha");
	loads.of[0].run_queue_milli = 2001;
	assert_string_equal(chosen(&loads, 1ull << GIB), "beta");
	loads.of[0].run_queue_milli = 2000;
	assert_string_equal(chosen(&loads, 1ull << GIB), "alpha");
	loads.of[0].memory_available_bytes = (8ull << GIB) / 1000 * 50 - 1;
	assert_string_equal(chosen(&loads, 1ull << GIB), "beta");

	/* What was told too long ago, or not at all, says nothing. */
	loads.of[0].age_ms = LOAD_OLD_MS - PLACEMENT_LOOK_MS;
	assert_string_equal(chosen(&loads, 1ull << GIB), "beta");
	loads.of[0].age_ms++;
	assert_string_equal(chosen(&loads, 1ull << GIB), "alpha");
	loads.of[0].age_ms = 0;
	loads.is_known[0] = false;
	assert_string_equal(chosen(&loads, 1ull << GIB), "alpha");

	/* No node is refused for it. */
	loads.is_known[0] = true;
	loads.of[1].busy_permille = 1000;
	assert_string_equal(chosen(&loads, 1ull << GIB), "alpha");
	placement_free(loads.placement);
	field_done(&config_table, &config);
}

static void test_a_busy_node_will_do_when_no_other_has_room(void **state)
{
	struct config config = { 0 };
	struct node cordoned = { .meta = { .name = (char *)"beta", .uid = (char *)host_uids[1] }, .status = { .cpus = 4, .memory = 8ull << GIB } };
	struct loads loads;

	(void)state;
	field_defaults(&config_table, &config);
	loads_init(&loads, &config);
	loads.of[0].busy_permille = 1000;
	assert_string_equal(chosen(&loads, 1ull << GIB), "beta");
	placement_set_node(loads.placement, &cordoned, false);
	assert_string_equal(chosen(&loads, 1ull << GIB), "alpha");
	placement_free(loads.placement);
	field_done(&config_table, &config);
}

/* A change of a node's labels does not make it idle; it is asked again only after a while; and why it comes last is told. */
static void test_busy_nodes_are_remembered_between_looks_and_explained(void **state)
{
	const struct load_source nobody = { 0 };
	struct config config = { 0 };
	struct node node = { .meta = { .name = (char *)"alpha", .uid = (char *)host_uids[0] }, .status = { .cpus = 4, .memory = 8ull << GIB } };
	struct instance instance = { .meta = { .name = (char *)"web", .uid = (char *)"uid-web" },
				     .spec = { .kind = INSTANCE_VM, .cpus = 1, .memory = 1ull << GIB, .power = POWER_RUNNING } };
	struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct loads loads;
	struct err err = { 0 };
	unsigned asked;

	(void)state;
	field_defaults(&config_table, &config);
	loads_init(&loads, &config);
	loads.of[0].busy_permille = 970;
	loads.of[0].run_queue_milli = 2450;
	look(&loads);
	asked = loads.asked;
	placement_look(loads.placement, &(struct load_source){ .load = load_of, .data = &loads }, loads.now_ms + PLACEMENT_LOOK_MS - 1);
	placement_look(loads.placement, &nobody, loads.now_ms + PLACEMENT_LOOK_MS);
	assert_int_equal(loads.asked, asked);
	placement_set_node(loads.placement, &node, true);
	assert_int_equal(placement_admit(loads.placement, &instance, NULL, &err), 0);
	assert_string_equal(instance.spec.node, host_uids[1]);
	placement_explain(loads.placement, &instance, &writer);
	assert_non_null(strstr(str_text(&text), "\"text\":\"is busy, others come first (2.4 tasks per CPU run or wait, 97% of its CPUs are used); "));
	str_done(&text);
	free(instance.spec.node);
	placement_free(loads.placement);
	field_done(&config_table, &config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_runs_takes_room_and_what_stops_gives_it_back),
		cmocka_unit_test(test_admission_counts_at_once_until_it_is_taken_back),
		cmocka_unit_test(test_settings_change_what_may_be_promised),
		cmocka_unit_test(test_two_nodes_and_what_if_one_were_empty),
		cmocka_unit_test(test_more_cpus_than_the_host_has),
		cmocka_unit_test(test_containers_have_ratios_of_their_own_and_may_ask_for_nothing),
		cmocka_unit_test(test_a_busy_node_is_given_what_is_new_last),
		cmocka_unit_test(test_a_busy_node_will_do_when_no_other_has_room),
		cmocka_unit_test(test_busy_nodes_are_remembered_between_looks_and_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What people say of places, from the text to the node that is chosen. */
#include "4-service/placement.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

enum { GIB = 30, NODES = 3, INSTANCES = 16 };

static const char *const names[NODES] = { "a", "b", "c" };

struct world {
	struct config config;
	struct placement *placement;
	struct node nodes[NODES];
	struct instance instances[INSTANCES];
	int count;
};

static void set_node(struct world *world, int i, bool takes_new)
{
	placement_set_node(world->placement, &world->nodes[i], takes_new);
}

static void label(struct field_list *labels, const char *key, const char *value)
{
	*(struct field_pair *)field_list_push(labels, sizeof(struct field_pair)) = (struct field_pair){ text_copy(key), text_copy(value) };
}

static void world_init(struct world *world)
{
	*world = (struct world){ 0 };
	field_defaults(&config_table, &world->config);
	world->placement = placement_new(&world->config);
	for (int i = 0; i < NODES; i++) {
		struct node *node = &world->nodes[i];

		node->meta.uid = text_format("node-%s", names[i]);
		node->meta.name = text_copy(names[i]);
		node->status.cpus = 8;
		node->status.memory = 16ull << GIB;
		set_node(world, i, true);
	}
}

static void world_done(struct world *world)
{
	placement_free(world->placement);
	field_done(&config_table, &world->config);
	for (int i = 0; i < NODES; i++) {
		field_done(&meta_table, &world->nodes[i].meta);
		field_done(&node_status_table, &world->nodes[i].status);
	}
	for (int i = 0; i < world->count; i++) {
		field_done(&meta_table, &world->instances[i].meta);
		field_done(&instance_spec_table, &world->instances[i].spec);
	}
}
#define auto_world __attribute__((cleanup(world_done)))

static struct instance *make(struct world *world, const char *label_text)
{
	struct instance *instance = &world->instances[world->count++];
	const char *equal = strchr(label_text, '=');

	assert_true(world->count <= INSTANCES);
	instance->meta.uid = text_format("i-%d", world->count);
	instance->meta.name = text_copy(instance->meta.uid);
	instance->spec.power = POWER_RUNNING;
	instance->spec.cpus = 1;
	instance->spec.memory = 1ull << GIB;
	if (equal) {
		auto_free char *key = text_copy_length(label_text, (size_t)(equal - label_text));

		label(&instance->meta.labels, key, equal + 1);
	}
	return instance;
}

static void say(struct field_list *list, const char *text)
{
	*(char **)field_list_push(list, sizeof(char *)) = text_copy(text);
}

/* The letter of the node, or '!' when there is none for it. */
static char place(struct world *world, struct instance *instance)
{
	struct err err = { 0 };

	if (placement_admit(world->placement, instance, NULL, &err) < 0)
		return '!';
	return instance->spec.node[strlen("node-")];
}

static void test_a_label_of_the_node_is_asked_for(void **state)
{
	auto_world struct world world;
	struct instance *instance;

	(void)state;
	world_init(&world);
	label(&world.nodes[1].meta.labels, "disk", "ssd");
	set_node(&world, 1, true);
	for (int i = 0; i < 3; i++) {
		instance = make(&world, "");
		say(&instance->spec.placement.labels, "disk=ssd");
		assert_int_equal(place(&world, instance), 'b');
	}
	/* The label is taken away: what is there stays and may be started again, nothing new comes. */
	field_done(&meta_table, &world.nodes[1].meta);
	world.nodes[1].meta = (struct meta){ .uid = text_copy("node-b"), .name = text_copy("b") };
	set_node(&world, 1, true);
	assert_int_equal(place(&world, instance), 'b');
	instance = make(&world, "");
	say(&instance->spec.placement.labels, "disk=ssd");
	assert_int_equal(place(&world, instance), '!');
}

static void test_beside_and_apart(void **state)
{
	auto_world struct world world;
	struct instance *db, *near, *apart;
	char at;

	(void)state;
	world_init(&world);
	near = make(&world, "");
	say(&near->spec.placement.with, "app=db");
	assert_int_equal(place(&world, near), '!');		/* There is none yet. */
	db = make(&world, "app=db");
	at = place(&world, db);
	assert_int_equal(place(&world, near), at);
	for (int i = 0; i < 4; i++) {
		apart = make(&world, "");
		say(&apart->spec.placement.without, "app=db");
		assert_int_not_equal(place(&world, apart), at);
	}
}

static void test_spread_goes_evenly_over_the_nodes_that_take_new_ones(void **state)
{
	auto_world struct world world;
	int counts[128] = { 0 };

	(void)state;
	world_init(&world);
	for (int i = 0; i < 6; i++) {
		struct instance *instance = make(&world, "app=web");

		instance->spec.placement.spread = text_copy("app");
		counts[(int)place(&world, instance)]++;
	}
	assert_int_equal(counts['a'], 2);
	assert_int_equal(counts['b'], 2);
	assert_int_equal(counts['c'], 2);
	/* A node that takes nothing does not hold the others up. */
	set_node(&world, 2, false);
	for (int i = 0; i < 4; i++) {
		struct instance *instance = make(&world, "app=web");

		instance->spec.placement.spread = text_copy("app");
		counts[(int)place(&world, instance)]++;
	}
	assert_int_equal(counts['a'], 4);
	assert_int_equal(counts['b'], 4);
	assert_int_equal(counts['c'], 2);
}

static void test_spread_needs_the_label_it_names(void **state)
{
	auto_world struct world world;
	struct instance *instance;
	struct err err = { 0 };

	(void)state;
	world_init(&world);
	instance = make(&world, "");
	instance->spec.placement.spread = text_copy("app");
	assert_int_equal(placement_admit(world.placement, instance, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "spec.placement.spread: the instance has no label 'app'"));
}

static void test_a_move_goes_elsewhere_or_where_it_is_told(void **state)
{
	auto_world struct world world;
	struct instance *instance;
	struct err err = { 0 };
	char at;

	(void)state;
	world_init(&world);
	instance = make(&world, "");
	at = place(&world, instance);
	assert_int_equal(placement_admit_move(world.placement, instance, NULL, &err), 0);
	assert_int_not_equal(instance->spec.node[5], at);
	assert_int_equal(placement_admit_move(world.placement, instance, "node-c", &err), 0);
	assert_string_equal(instance->spec.node, "node-c");
	set_node(&world, 0, false);
	assert_int_equal(placement_admit_move(world.placement, instance, "node-a", &err), -ENOSPC);
	assert_string_equal(instance->spec.node, "node-c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_label_of_the_node_is_asked_for),
		cmocka_unit_test(test_beside_and_apart),
		cmocka_unit_test(test_spread_goes_evenly_over_the_nodes_that_take_new_ones),
		cmocka_unit_test(test_spread_needs_the_label_it_names),
		cmocka_unit_test(test_a_move_goes_elsewhere_or_where_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "2-virtualization/objects/objects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/instance.h"
#include "model/network.h"
#include "model/pool.h"
#include "model/snapshot.h"
#include "model/volume.h"

struct seen { enum kind_id kind; enum objects_change change; char name[32]; };

struct world {
	struct loop *loop;
	struct store *store;
	struct objects *objects;
	struct seen a[64], b[64];
	size_t a_count, b_count;
	int64_t ids[64];
	size_t id_count;
	char note[64];
	int notes;
};

static void world_open(struct world *world)
{
	struct err err = { 0 };

	assert_int_equal(objects_open(world->store, world->loop, "node-a", &world->objects, &err), 0);
}

static void world_init(struct world *world)
{
	struct err err = { 0 };

	*world = (struct world){ 0 };
	assert_int_equal(loop_new(LOOP_CLOCK_VIRTUAL, 1700000000000, &world->loop, &err), 0);
	assert_int_equal(store_open(&store_memory, &(struct store_params){ 0 }, world->loop, &world->store, &err), 0);
	world_open(world);
}

static void world_done(struct world *world)
{
	objects_close(world->objects);
	store_close(world->store);
	loop_free(world->loop);
}
#define auto_world __attribute__((cleanup(world_done)))

static void done(void *data, const struct store_result *result)
{
	(void)data;
	assert_int_equal(result->err.code, 0);
}

static void submit(struct world *world, struct store_txn *txn)
{
	store_submit(world->store, txn, done, NULL);
	while (loop_step(world->loop, 0))
		;
}

/* What another node writes, as it lies in the store. Null 'value': it goes. */
static void put(struct world *world, const char *key, const char *value)
{
	struct store_txn *txn = store_txn_new();

	if (value)
		store_txn_put(txn, key, value, strlen(value), 0);
	else
		store_txn_delete(txn, key);
	submit(world, txn);
}

static void put_instance(struct world *world, const char *uid, const char *node)
{
	auto_free char *key = text_format("desired/instance/%s", uid);
	auto_free char *value = text_format("{\"meta\":{\"uid\":\"%s\",\"name\":\"i-%s\"},\"spec\":{\"node\":\"%s\",\"root_size\":1}}", uid, uid, node);

	put(world, key, value);
}

static void put_at(struct world *world, const char *uid, const char *node)
{
	auto_free char *key = text_format("observed/instance/%s", uid), *value = text_format("{\"state\":\"running\",\"node\":\"%s\"}", node);

	put(world, key, value);
}

static void see(struct seen *list, size_t *count, const struct kind *kind, void *object, enum objects_change change)
{
	assert_true(*count < 64);
	list[*count] = (struct seen){ .kind = kind->id, .change = change };
	snprintf(list[(*count)++].name, sizeof(list->name), "%s", kind_meta(object)->name);
}

static void see_a(void *data, const struct kind *kind, void *object, enum objects_change change)
{
	struct world *world = data;

	see(world->a, &world->a_count, kind, object, change);
}

static void see_b(void *data, const struct kind *kind, void *object, enum objects_change change)
{
	struct world *world = data;

	see(world->b, &world->b_count, kind, object, change);
}

static void listen_both(struct world *world)
{
	objects_listen_node(world->objects, "node-a", see_a, world);
	objects_listen_node(world->objects, "node-b", see_b, world);
}

/* ---- Whose it is ---- */

static void test_an_instance_is_where_its_status_says_and_concerns_where_it_should_be(void **state)
{
	auto_world struct world world;
	const struct kind *kind = &kinds[KIND_INSTANCE];
	const void *instance;

	(void)state;
	world_init(&world);
	put_instance(&world, "i1", "node-a");
	instance = objects_get(world.objects, KIND_INSTANCE, "i1");
	assert_string_equal(objects_owner(world.objects, kind, instance), "node-a");
	put_at(&world, "i1", "node-b");
	assert_string_equal(objects_owner(world.objects, kind, instance), "node-b");
	assert_true(objects_concern(world.objects, kind, instance, "node-a"));
	assert_true(objects_concern(world.objects, kind, instance, "node-b"));
	assert_false(objects_concern(world.objects, kind, instance, "node-c"));
}

static void test_nodes_hear_of_what_comes_to_them_and_of_what_leaves(void **state)
{
	auto_world struct world world;

	(void)state;
	world_init(&world);
	listen_both(&world);
	put_instance(&world, "i1", "node-a");
	put_at(&world, "i1", "node-a");
	put(&world, "desired/snapshot/s1", "{\"meta\":{\"uid\":\"s1\",\"name\":\"s1\",\"parent\":\"i1\"},\"spec\":{}}");
	assert_int_equal(world.b_count, 0);
	assert_int_equal(world.a_count, 3);
	put_instance(&world, "i1", "node-b");		/* It should go there: both have to do something. */
	assert_int_equal(world.a_count, 4);
	assert_int_equal(world.b[0].change, OBJECTS_DESIRED);
	world.a_count = world.b_count = 0;
	put_at(&world, "i1", "node-b");			/* It is there. */
	assert_int_equal(world.a_count, 2);
	assert_int_equal(world.a[0].kind, KIND_SNAPSHOT);
	assert_int_equal(world.a[0].change, OBJECTS_LEFT);
	assert_int_equal(world.a[1].kind, KIND_INSTANCE);
	assert_int_equal(world.a[1].change, OBJECTS_LEFT);
	assert_int_equal(world.b[0].change, OBJECTS_OBSERVED);
	world.a_count = 0;
	put_at(&world, "i1", "node-b");
	assert_int_equal(world.a_count, 0);
}

static void test_what_has_a_node_is_its_own_and_the_rest_everyones(void **state)
{
	auto_world struct world world;

	(void)state;
	world_init(&world);
	put(&world, "desired/volume/v1", "{\"meta\":{\"uid\":\"v1\",\"name\":\"v1\"},\"spec\":{\"node\":\"node-b\",\"size\":1048576}}");
	put(&world, "desired/pool/p1", "{\"meta\":{\"uid\":\"p1\",\"name\":\"p1\"},\"spec\":{\"shared\":true,\"source\":\"/x\"}}");
	put(&world, "desired/network/n1", "{\"meta\":{\"uid\":\"n1\",\"name\":\"n1\"},\"spec\":{}}");
	put(&world, "desired/volume/old", "{\"meta\":{\"uid\":\"old\",\"name\":\"old\"},\"spec\":{\"size\":1048576}}");
	assert_string_equal(objects_owner(world.objects, &kinds[KIND_VOLUME], objects_get(world.objects, KIND_VOLUME, "v1")), "node-b");
	assert_null(objects_owner(world.objects, &kinds[KIND_POOL], objects_get(world.objects, KIND_POOL, "p1")));
	assert_null(objects_owner(world.objects, &kinds[KIND_NETWORK], objects_get(world.objects, KIND_NETWORK, "n1")));
	/* Of the time when there was but one node: whoever holds the store. */
	assert_true(objects_concern(world.objects, &kinds[KIND_VOLUME], objects_get(world.objects, KIND_VOLUME, "old"), "node-a"));
	assert_false(objects_concern(world.objects, &kinds[KIND_VOLUME], objects_get(world.objects, KIND_VOLUME, "old"), "node-b"));
}

/* ---- Parts ---- */

static const struct network *network(struct world *world)
{
	return objects_get(world->objects, KIND_NETWORK, "n1");
}

static void test_of_what_is_everyones_each_sees_its_own_status(void **state)
{
	auto_world struct world world;

	(void)state;
	world_init(&world);
	put(&world, "desired/network/n1", "{\"meta\":{\"uid\":\"n1\",\"name\":\"n1\"},\"spec\":{}}");
	put(&world, "observed/network/n1/node-b", "{\"state\":\"failed\",\"reason\":\"no\"}");
	assert_int_equal(network(&world)->status.state, NETWORK_PENDING);
	put(&world, "observed/network/n1/node-a", "{\"state\":\"ready\"}");
	assert_int_equal(network(&world)->status.state, NETWORK_READY);
	assert_true(objects_has_part(world.objects, "n1", "node-b"));
}

static bool delete_part(struct world *world)
{
	struct store_txn *txn = store_txn_new();
	bool is_all = objects_delete_part(world->objects, txn, &kinds[KIND_NETWORK], network(world), "node-a");

	submit(world, txn);
	return is_all;
}

static void test_the_last_that_is_alive_takes_the_object_with_it(void **state)
{
	auto_world struct world world;

	(void)state;
	world_init(&world);
	put(&world, "desired/network/n1", "{\"meta\":{\"uid\":\"n1\",\"name\":\"n1\"},\"spec\":{\"index\":1}}");
	put(&world, "observed/network/n1/node-a", "{\"state\":\"ready\"}");
	put(&world, "observed/network/n1/node-b", "{\"state\":\"ready\"}");
	put(&world, "observed/network/n1/node-c", "{\"state\":\"ready\"}");
	put(&world, "alive/node-b", "{}");		/* c is lost: nobody waits for it. */
	assert_false(delete_part(&world));
	assert_non_null(network(&world));
	assert_false(objects_has_part(world.objects, "n1", "node-a"));
	put(&world, "observed/network/n1/node-b", NULL);
	assert_true(delete_part(&world));
	assert_null(network(&world));
	assert_false(objects_has_part(world.objects, "n1", "node-c"));
}

static void test_parts_of_what_went_while_we_were_away_are_found(void **state)
{
	auto_world struct world world;
	struct store_txn *txn = store_txn_new();

	(void)state;
	world_init(&world);
	put(&world, "observed/network/gone/node-a", "{\"state\":\"ready\"}");
	assert_false(objects_delete_orphans(world.objects, txn));
	objects_close(world.objects);
	world_open(&world);
	assert_true(objects_delete_orphans(world.objects, txn));
	assert_int_equal(txn->changes.count, 1);
	assert_string_equal(txn->changes.items[0].key, "observed/network/gone/node-a");
	store_txn_free(txn);
}

/* ---- Notes ---- */

static void see_note(void *data, const char *key, const struct note *note)
{
	struct world *world = data;

	snprintf(world->note, sizeof(world->note), "%s=%s", key, note ? note->value : "(gone)");
	world->notes++;
}

static void test_notes_are_told_by_prefix(void **state)
{
	auto_world struct world world;
	uint64_t revision;

	(void)state;
	world_init(&world);
	objects_listen_notes(world.objects, "alive/", see_note, &world);
	put(&world, "leader", "node-b");
	assert_int_equal(world.notes, 0);
	put(&world, "alive/node-b", "{}");
	assert_string_equal(world.note, "alive/node-b={}");
	revision = objects_note(world.objects, "leader")->revision;
	put(&world, "leader", "node-c");
	assert_true(objects_note(world.objects, "leader")->revision > revision);
	put(&world, "alive/node-b", NULL);
	assert_string_equal(world.note, "alive/node-b=(gone)");
	assert_null(objects_note(world.objects, "alive/node-b"));
}

/* ---- Events ---- */

static void see_event(void *data, const struct event *event, const char *json, size_t size)
{
	struct world *world = data;

	assert_true(size > 0 && json[0] == '{');
	assert_true(world->id_count < 64);
	world->ids[world->id_count++] = event->id;
}

static void test_events_of_all_nodes_are_numbered_in_the_order_of_the_store(void **state)
{
	static const char text[] = "{\"at\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"instance\",\"name\":\"x\",\"type\":\"t\"}";
	auto_world struct world world;
	int64_t before[3];

	(void)state;
	world_init(&world);
	objects_listen(world.objects, NULL, see_event, &world);
	put(&world, "event/00000000000000000500-node-b-0000", text);
	put(&world, "event/00000000000000000100-node-c-0000", text);	/* Its clock is behind. */
	put(&world, "event/00000000000000000300-node-b-0001", text);
	assert_int_equal(world.id_count, 3);
	assert_true(world.ids[0] < world.ids[1] && world.ids[1] < world.ids[2]);
	memcpy(before, world.ids, sizeof(before));
	/* After a start they have the same numbers. */
	world.id_count = 0;
	objects_close(world.objects);
	world_open(&world);
	objects_take_events(world.objects, see_event, &world);
	assert_int_equal(world.id_count, 3);
	assert_memory_equal(before, world.ids, sizeof(before));
}

static void count_event(void *data, const struct event *event, const char *json, size_t size)
{
	(void)event;
	(void)json;
	(void)size;
	++*(size_t *)data;
}

static void test_only_so_many_events_are_kept(void **state)
{
	auto_world struct world world;
	size_t count = 0;

	(void)state;
	world_init(&world);
	for (int i = 0; i < LIMIT_EVENTS_KEPT + 10; i++) {
		struct store_txn *txn = store_txn_new();

		objects_put_event(world.objects, txn, &kinds[KIND_INSTANCE], &(struct meta){ .uid = "i", .name = "i" }, "t", false, "%d", i);
		submit(&world, txn);
	}
	objects_close(world.objects);
	world_open(&world);
	objects_take_events(world.objects, count_event, &count);
	assert_int_equal(count, LIMIT_EVENTS_KEPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_instance_is_where_its_status_says_and_concerns_where_it_should_be),
		cmocka_unit_test(test_nodes_hear_of_what_comes_to_them_and_of_what_leaves),
		cmocka_unit_test(test_what_has_a_node_is_its_own_and_the_rest_everyones),
		cmocka_unit_test(test_of_what_is_everyones_each_sees_its_own_status),
		cmocka_unit_test(test_the_last_that_is_alive_takes_the_object_with_it),
		cmocka_unit_test(test_parts_of_what_went_while_we_were_away_are_found),
		cmocka_unit_test(test_notes_are_told_by_prefix),
		cmocka_unit_test(test_events_of_all_nodes_are_numbered_in_the_order_of_the_store),
		cmocka_unit_test(test_only_so_many_events_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "1-hardware/telemetry/load.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/pages/sim/sim.h"

#define MS 1000000ull

static uint64_t virtual_now(void *data)
{
	return *(uint64_t *)data;
}

static const uint8_t here[PAGE_UID_BYTES] = { 1 }, there[PAGE_UID_BYTES] = { 2 };

static void write_page(struct page *shared, const uint8_t node[PAGE_UID_BYTES], uint64_t now, uint32_t run_queue)
{
	static struct page page;

	page.host = (struct page_host){ .cpus = 4, .run_queue = run_queue, .busy_permille = 250, .memory_total_bytes = 8 << 20,
					.memory_available_bytes = 1 << 20, .stamp_ns = now };
	memcpy(page.host.node, node, PAGE_UID_BYTES);
	page_seal(&page);
	page_write(shared, &page);
}

static void test_load(void **state)
{
	uint64_t now = 5000 * MS;
	struct sim_pages *world = sim_pages_new(virtual_now, &now);
	struct page_shared own, other;
	struct telemetry telemetry = { .node = { 1 }, .now_ns = virtual_now, .data = &now };
	struct pages_params params = { .key = { 1 }, .bind.any.sa_family = AF_INET, .world = world };
	struct pages_peer peers[] = { { .node = { 1 } }, { .node = { 2 } } };
	struct pages_driver *far;
	struct host_load load;
	struct err err;

	(void)state;
	assert_int_equal(page_shared_create(&own, &err), 0);
	assert_int_equal(page_shared_create(&other, &err), 0);
	telemetry.own = own.page;
	assert_int_equal(telemetry_load(&telemetry, here, &load, &err), -ENOENT);
	assert_int_equal(telemetry_load(&telemetry, there, &load, &err), -ENOENT);	/* A single host. */

	params.own = own.page;
	params.node[0] = 1;
	assert_int_equal(pages_sim.open(&params, &telemetry.pages, &err), 0);
	params.own = other.page;
	params.node[0] = 2;
	assert_int_equal(pages_sim.open(&params, &far, &err), 0);
	assert_int_equal(pages_sim.set_peers(telemetry.pages, peers, 2, &err), 0);
	assert_int_equal(telemetry_load(&telemetry, there, &load, &err), -ENOENT);	/* Nothing came yet. */

	write_page(own.page, here, now, 6);
	write_page(other.page, there, now, 1);
	assert_int_equal(pages_sim.publish(far, &err), 0);
	now += LOAD_OLD_MS * MS;
	assert_int_equal(telemetry_load(&telemetry, here, &load, &err), 0);
	assert_int_equal(load.run_queue_milli, 1500);
	assert_int_equal(load.busy_permille, 250);
	assert_int_equal(load.memory_available_bytes, 1 << 20);
	assert_int_equal(load.age_ms, LOAD_OLD_MS);
	assert_false(load.is_old);
	assert_int_equal(telemetry_load(&telemetry, there, &load, &err), 0);
	assert_int_equal(load.run_queue_milli, 250);
	assert_false(load.is_old);
	now += MS;
	assert_int_equal(telemetry_load(&telemetry, here, &load, &err), 0);
	assert_true(load.is_old);
	assert_int_equal(telemetry_load(&telemetry, there, &load, &err), 0);
	assert_true(load.is_old);
	assert_int_equal(load.age_ms, LOAD_OLD_MS + 1);
	pages_sim.close(far);
	pages_sim.close(telemetry.pages);
	page_shared_close(&own);
	page_shared_close(&other);
	sim_pages_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_load) };

	return cmocka_run_group_tests_name("telemetry load", tests, NULL, NULL);
}

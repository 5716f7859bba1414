#include "driver/pages/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "port/pages_conformance.h"

static uint64_t virtual_now(void *data)
{
	return *(uint64_t *)data;
}

static void virtual_wait(void *data, unsigned ms)
{
	*(uint64_t *)data += ms * 1000000ull;
}

static struct pages_params node(struct sim_pages *world, uint8_t number)
{
	return (struct pages_params){ .node = { number }, .key = { 1 }, .bind.any.sa_family = AF_INET, .world = world };
}

static void test_conformance(void **state)
{
	uint64_t now = 1000000000;
	struct sim_pages *world = sim_pages_new(virtual_now, &now), *elsewhere = sim_pages_new(virtual_now, &now);
	struct pages_conformance conformance = {
		.ops = &pages_sim, .nodes = { node(world, 1), node(world, 2) }, .stranger = node(elsewhere, 3),
		.peers = { { .node = { 1 } }, { .node = { 2 } }, { .node = { 3 } } },
		.now_ns = virtual_now, .wait_ms = virtual_wait, .data = &now,
	};
	struct err err;

	(void)state;
	if (pages_conformance(&conformance, &err) < 0)
		fail_msg("%s", err.msg);
	sim_pages_free(world);
	sim_pages_free(elsewhere);
}

/* A node that is cut off is still known, as it was, and gets older by the virtual clock alone. */
static void test_cut(void **state)
{
	uint64_t now = 5000000000, age_ms;
	struct sim_pages *world = sim_pages_new(virtual_now, &now);
	struct pages_params a = node(world, 1), b = node(world, 2);
	struct pages_peer peers[] = { { .node = { 1 } }, { .node = { 2 } } };
	static struct page page, seen;
	struct page_shared shared;
	struct pages_driver *from, *to;
	struct err err;

	(void)state;
	assert_int_equal(page_shared_create(&shared, &err), 0);
	a.own = b.own = shared.page;
	assert_int_equal(pages_sim.open(&a, &from, &err), 0);
	assert_int_equal(pages_sim.open(&b, &to, &err), 0);
	assert_int_equal(pages_sim.set_peers(to, peers, 2, &err), 0);
	page.host = (struct page_host){ .node = { 1 }, .cpus = 1, .run_queue = 5, .stamp_ns = now };
	page_seal(&page);
	page_write(shared.page, &page);
	assert_int_equal(pages_sim.publish(from, &err), 0);

	sim_pages_cut(world, a.node, true);
	now += 3600ull * 1000000000;
	page.host.run_queue = 6;
	page_seal(&page);
	page_write(shared.page, &page);
	assert_true(pages_sim.publish(from, &err) < 0);
	assert_int_equal(pages_sim.read(to, a.node, PAGES_HOST, &seen, &age_ms, &err), 0);
	assert_int_equal(seen.host.run_queue, 5);
	assert_int_equal(age_ms, 3600000);
	sim_pages_cut(world, a.node, false);
	assert_int_equal(pages_sim.publish(from, &err), 0);
	assert_int_equal(pages_sim.read(to, a.node, PAGES_HOST, &seen, &age_ms, &err), 0);
	assert_int_equal(seen.host.run_queue, 6);
	pages_sim.close(from);
	pages_sim.close(to);
	page_shared_close(&shared);
	sim_pages_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_conformance), cmocka_unit_test(test_cut) };

	return cmocka_run_group_tests_name("pages sim", tests, NULL, NULL);
}

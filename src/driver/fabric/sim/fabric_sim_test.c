#include "driver/fabric/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "port/fabric_conformance.h"

struct host {
	struct sim_fabric *world;
	struct fabric_driver *driver;
	struct fault fault;
};

static void open_driver(struct host *host)
{
	struct fabric_params params = { .node_tag = "1a2b", .world = host->world, .fault = &host->fault };
	struct err err;

	assert_int_equal(fabric_sim.open(&params, &host->driver, &err), 0);
}

static int set_up(void **state)
{
	struct host *host = alloc(sizeof(*host));

	host->world = sim_fabric_new();
	open_driver(host);
	*state = host;
	return 0;
}

static int tear_down(void **state)
{
	struct host *host = *state;

	fabric_sim.close(host->driver);
	sim_fabric_free(host->world);
	free(host);
	return 0;
}

static struct fabric_network a_network(void)
{
	return (struct fabric_network){ .uid = "net-1", .name = "blue", .ipv4.s_addr = htonl(0x0a000001), .ipv4_prefix = 16 };
}

static struct fabric_nic a_nic(const char *instance, unsigned number)
{
	return (struct fabric_nic){ .instance = instance, .hostname = "web", .network = "net-1", .number = number,
				    .mac = { 0x52, 0x54, 0, 0, (uint8_t)(number >> 8), (uint8_t)number },
				    .ipv4.s_addr = htonl(0x0a000100 + number) };
}

static void test_conformance(void **state)
{
	struct host *host = *state;
	struct fabric_params params = { .node_tag = "1a2b", .world = host->world };
	struct err err = { 0 };

	if (fabric_conformance(&fabric_sim, &params, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(sim_fabric_network_count(host->world), 0);
}

static void test_own_world(void **state)
{
	struct fabric_params params = { .node_tag = "1a2b" };
	struct fabric_network network = a_network();
	struct fabric_driver *driver;
	struct err err;

	(void)state;
	assert_int_equal(fabric_sim.open(&params, &driver, &err), 0);
	assert_int_equal(fabric_sim.network_up(driver, &network, &err), 0);
	fabric_sim.close(driver);
}

static void test_lookup(void **state)
{
	struct host *host = *state;
	struct fabric_network network = a_network();
	struct fabric_nic nic = a_nic("i-1", 7);
	char ifname[IFNAMSIZ];
	struct err err;

	assert_int_equal(fabric_sim.network_up(host->driver, &network, &err), 0);
	assert_int_equal(fabric_sim.nic_up(host->driver, &nic, ifname, &err), 0);
	assert_string_equal(ifname, "s1a2bt7");
	assert_string_equal(sim_fabric_network(host->world, "net-1")->name, "blue");
	assert_string_equal(sim_fabric_nic(host->world, "i-1", 0)->hostname, "web");
	assert_null(sim_fabric_nic(host->world, "i-1", 1));
}

/* A nic that is brought up again stays in its container; one that was down has left it. */
static void test_enter(void **state)
{
	struct host *host = *state;
	struct fabric_network network = a_network();
	struct fabric_nic nic = a_nic("i-1", 7);
	char ifname[IFNAMSIZ];
	struct err err;

	nic.kind = FABRIC_VETH;
	assert_int_equal(fabric_sim.network_up(host->driver, &network, &err), 0);
	assert_int_equal(fabric_sim.nic_up(host->driver, &nic, ifname, &err), 0);
	assert_int_equal(sim_fabric_nic_pid(host->world, "i-1", 0), 0);
	host->fault = (struct fault){ .crash_at = 1 };
	assert_int_equal(fabric_sim.nic_enter(host->driver, &nic, 123, &err), -ESHUTDOWN);
	assert_int_equal(sim_fabric_nic_pid(host->world, "i-1", 0), 0);
	host->fault = (struct fault){ 0 };
	assert_int_equal(fabric_sim.nic_enter(host->driver, &nic, 123, &err), 0);
	assert_int_equal(fabric_sim.nic_up(host->driver, &nic, ifname, &err), 0);
	assert_int_equal(sim_fabric_nic_pid(host->world, "i-1", 0), 123);
	assert_int_equal(fabric_sim.nic_down(host->driver, "i-1", 0, &err), 0);
	assert_int_equal(fabric_sim.nic_up(host->driver, &nic, ifname, &err), 0);
	assert_int_equal(sim_fabric_nic_pid(host->world, "i-1", 0), 0);
}

static void test_host_in_the_way(void **state)
{
	struct host *host = *state;
	struct fabric_network network = a_network();
	struct fabric_publish publish = { .host_port = 8080, .guest_port = 80 };
	struct fabric_nic nic = a_nic("i-1", 0);
	char ifname[IFNAMSIZ];
	struct err err;

	sim_fabric_use_port(host->world, FABRIC_TCP, 8080);
	sim_fabric_use_subnet(host->world, (struct in_addr){ htonl(0x0b000000) }, 8);
	nic.publish = &publish;
	nic.publish_count = 1;
	assert_int_equal(fabric_sim.network_up(host->driver, &network, &err), 0);
	assert_int_equal(fabric_sim.nic_up(host->driver, &nic, ifname, &err), -EBUSY);
	assert_string_equal(err.msg, "host port 8080/tcp is in use by another program: choose another one");
	assert_int_equal(fabric_sim.check_subnet(host->driver, (struct in_addr){ htonl(0x0b010000) }, 24, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "11.1.0.0/24"));
}

/* A crash at each step in turn: the world has the nic or has it not, and repeating makes it right. */
static void test_crash_at_every_step(void **state)
{
	struct host *host = *state;
	struct fabric_network network = a_network();
	struct fabric_nic nic = a_nic("i-1", 0);
	char ifname[IFNAMSIZ];
	bool is_done = false;
	struct err err;

	for (uint64_t step = 1; !is_done; step++) {
		host->fault = (struct fault){ .crash_at = step };
		is_done = fabric_sim.network_up(host->driver, &network, &err) == 0 &&
			  fabric_sim.nic_up(host->driver, &nic, ifname, &err) == 0;
		assert_true(is_done || err.code == -ESHUTDOWN);
		assert_true(is_done == (step > 4));		/* Two operations, before and after each. */
		assert_int_equal(sim_fabric_network_count(host->world), step > 1);
		assert_int_equal(sim_fabric_nic_count(host->world), step > 3);

		host->fault = (struct fault){ 0 };
		fabric_sim.close(host->driver);
		open_driver(host);
		assert_int_equal(fabric_sim.clear(host->driver, &err), 0);
	}
}

static void test_many(void **state)
{
	enum { COUNT = 1000 };
	struct host *host = *state;
	struct fabric_network network = a_network();
	struct fabric_inventory inventory;
	char ifname[IFNAMSIZ], uid[16];
	struct err err;

	assert_int_equal(fabric_sim.network_up(host->driver, &network, &err), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		struct fabric_nic nic = a_nic(uid, i);

		snprintf(uid, sizeof(uid), "i-%u", i);
		assert_int_equal(fabric_sim.nic_up(host->driver, &nic, ifname, &err), 0);
	}
	assert_int_equal(fabric_sim.inventory(host->driver, &inventory, &err), 0);
	assert_int_equal(inventory.nics.count, COUNT);
	fabric_inventory_done(&inventory);
	assert_int_equal(fabric_sim.clear(host->driver, &err), 0);
	assert_int_equal(sim_fabric_nic_count(host->world), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conformance, set_up, tear_down),
		cmocka_unit_test(test_own_world),
		cmocka_unit_test_setup_teardown(test_lookup, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_enter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_host_in_the_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_crash_at_every_step, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("fabric sim", tests, NULL, NULL);
}

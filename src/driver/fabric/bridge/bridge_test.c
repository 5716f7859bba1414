/* The bridge driver and its traces on the host: interfaces, rules, processes, files. What packets do: traffic_test.c. */
#include "driver/fabric/bridge/testbed.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <linux/if_tun.h>
#include <time.h>

#include "driver/fabric/bridge/nft.h"
#include "port/fabric_conformance.h"

static char *nft_tables(void)
{
	struct str out = { 0 };

	str_append(&out, "");
	assert_ok(nft_query((const char *const[]){ "list", "tables", NULL }, &out, &err));
	return out.data;
}

static void network_up(struct testbed *bed)
{
	assert_ok(fabric_bridge.network_up(bed->driver, &bed->network, &err));
}

static void nic_up(struct testbed *bed, const struct fabric_nic *nic)
{
	char ifname[IFNAMSIZ];

	assert_ok(fabric_bridge.nic_up(bed->driver, nic, ifname, &err));
}

static void reopen(struct testbed *bed)
{
	fabric_bridge.close(bed->driver);
	assert_ok(fabric_bridge.open(&bed->params, &bed->driver, &err));
}

/* A process that nobody has waited for yet has no command line any more. */
static bool is_running(int pid)
{
	auto_free char *path = text_format("/proc/%d/cmdline", pid);
	auto_str struct str line = { 0 };
	struct err ignored;

	return file_read_all(path, 4096, &line, &ignored) == 0 && line.size;
}

static bool rules_have(const char *words)
{
	auto_str struct str rules = { 0 };

	assert_ok(nft_query((const char *const[]){ "-p", "list", "ruleset", NULL }, &rules, &err));
	return strstr(str_text(&rules), words);
}

static void test_conformance(void **state)
{
	struct testbed *bed = testbed(state);

	assert_ok(fabric_conformance(&fabric_bridge, &bed->params, &err));
}

/* clear() leaves no interface, table, process, cgroup or record; tear-down proves the folders. */
static void test_clear_leaves_nothing(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	int pid;

	network_up(bed);
	nic_up(bed, &nic);
	pid = dnsmasq_pid(bed);
	assert_true(rules_have("s1a2bt5"));
	assert_ok(fabric_bridge.clear(bed->driver, &err));
	assert_int_equal(if_nametoindex("s1a2bb0"), 0);
	assert_int_equal(if_nametoindex("s1a2bt5"), 0);
	assert_false(is_running(pid));
	auto_free char *tables = nft_tables();
	assert_string_equal(tables, "");
	auto_free char *cgroup = text_format("%s/dnsmasq-s1a2bb0", bed->cgroup);
	assert_int_equal(access(cgroup, F_OK), -1);
}

static void test_two_daemons(void **state)
{
	struct testbed *bed = testbed(state);
	auto_free char *directory = text_format("%s/other", bed->directory);
	struct fabric_params params = { .node_tag = "ffff", .directory = directory, .cgroup = bed->params.cgroup };
	struct fabric_network network = { .uid = NETWORK_UID, .name = "blue", .ipv4 = ipv4("10.231.1.1"), .ipv4_prefix = 24,
					  .has_nat = true, .has_dhcp = true };
	struct fabric_nic nic = testbed_nic("web", 5);
	struct fabric_inventory inventory;
	struct fabric_driver *other;
	char ifname[IFNAMSIZ];
	int pid;

	network_up(bed);
	nic_up(bed, &nic);
	pid = dnsmasq_pid(bed);
	assert_ok(fabric_bridge.open(&params, &other, &err));
	assert_ok(fabric_bridge.inventory(other, &inventory, &err));
	assert_int_equal(inventory.networks.count + inventory.nics.count, 0);
	fabric_inventory_done(&inventory);
	assert_ok(fabric_bridge.network_up(other, &network, &err));
	assert_ok(fabric_bridge.nic_up(other, &nic, ifname, &err));
	assert_string_equal(ifname, "sfffft5");
	assert_ok(fabric_bridge.clear(other, &err));
	fabric_bridge.close(other);

	assert_int_equal(if_nametoindex("sffffb0"), 0);
	assert_int_not_equal(if_nametoindex("s1a2bt5"), 0);
	assert_true(is_running(pid));
	assert_true(rules_have("s1a2bt5") && !rules_have("strata_ffff"));
}

/* A daemon that starts finds its dnsmasq running and leaves it alone, unless its configuration changed. */
static void test_dnsmasq_survives(void **state)
{
	struct testbed *bed = testbed(state);
	int pid;

	network_up(bed);
	pid = dnsmasq_pid(bed);
	reopen(bed);
	network_up(bed);
	assert_int_equal(dnsmasq_pid(bed), pid);
	bed->network.domain = "blue.example";
	network_up(bed);
	assert_int_not_equal(dnsmasq_pid(bed), pid);
	assert_false(is_running(pid));
}

static void test_dnsmasq_comes_back(void **state)
{
	struct testbed *bed = testbed(state);
	int pid, pidfd;

	network_up(bed);
	pid = dnsmasq_pid(bed);
	pidfd = pidfd_open(pid, 0);
	assert_true(pidfd >= 0);
	assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
	wait_readable(pidfd);
	close(pidfd);
	network_up(bed);
	assert_int_not_equal(dnsmasq_pid(bed), pid);
	assert_true(is_running(dnsmasq_pid(bed)));
}

/* A pid file that names a stranger, after pids were used up once around, harms nobody. */
static void test_stale_pid_file(void **state)
{
	struct testbed *bed = testbed(state);
	auto_free char *path = text_format("%s/dnsmasq/s1a2bb0/pid", bed->directory);
	auto_free char *us = text_format("%d\n", (int)getpid());

	network_up(bed);
	assert_ok(fabric_bridge.network_down(bed->driver, NETWORK_UID, &err));
	auto_free char *folder = text_format("%s/dnsmasq/s1a2bb0", bed->directory);
	assert_ok(file_make_dirs(folder, 0755, &err));
	assert_ok(file_write_atomic(path, us, strlen(us), 0644, &err));
	network_up(bed);
	assert_int_not_equal(dnsmasq_pid(bed), getpid());
}

static void test_unreachable_folder(void **state)
{
	struct testbed *bed = testbed(state);

	assert_int_equal(chmod(bed->directory, 0700), 0);
	assert_fails(-EACCES, "chmod o+x", fabric_bridge.network_up(bed->driver, &bed->network, &err));
	assert_int_equal(chmod(bed->directory, 0711), 0);
	network_up(bed);
}

/* Elements that went to the kernel as bytes are what nft makes of the same in words. */
static void test_elements_as_bytes_and_text(void **state)
{
	static const char *const expected[] = {
		"\"s1a2bt5\" . 52:54:00:00:00:05", "\"s1a2bt5\" . 10.231.0.5", "\"s1a2bt5\" . 0xfd230001000000000000000000000005",
		"6 . 28080 : 10.231.0.5 . 80", "6 . 28080 : fd23:1::5 . 80",
		"192.0.2.1 . 17 . 28053 : 10.231.0.5 . 53", "2001:db8::1 . 17 . 28053 : fd23:1::5 . 53",
	};
	const struct fabric_publish publish[] = {
		{ FABRIC_TCP, ipv6("::"), 28080, 80 },
		{ FABRIC_UDP, ipv6("::ffff:192.0.2.1"), 28053, 53 },
		{ FABRIC_UDP, ipv6("2001:db8::1"), 28053, 53 },
	};
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);

	nic.publish = publish;
	nic.publish_count = ARRAY_COUNT(publish);
	network_up(bed);
	nic_up(bed, &nic);
	for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
		if (!rules_have(expected[i]))
			fail_msg("as bytes: %s is missing", expected[i]);
	RUN("nft", "flush", "ruleset");
	network_up(bed);
	for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
		if (!rules_have(expected[i]))
			fail_msg("as text: %s is missing", expected[i]);
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	assert_false(rules_have("s1a2bt5") || rules_have("28080") || rules_have("28053"));
}

/* Everything of a network or nic that somebody removed by hand comes back. */
static void test_repair(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);

	network_up(bed);
	nic_up(bed, &nic);
	RUN("nft", "flush", "ruleset");
	nic.hostname = "www";
	nic.ipv4 = ipv4("10.231.0.6");
	nic_up(bed, &nic);
	assert_true(rules_have("10.231.0.6") && rules_have("masquerade"));

	RUN("ip", "link", "del", "s1a2bb0");
	RUN("ip", "link", "del", "s1a2bt5");
	network_up(bed);
	nic_up(bed, &nic);
	assert_int_not_equal(if_nametoindex("s1a2bb0"), 0);
	assert_int_not_equal(if_nametoindex("s1a2bt5"), 0);
}

/* Addresses follow the network; those of before are gone. */
static void test_addresses_change(void **state)
{
	struct testbed *bed = testbed(state);

	network_up(bed);
	assert_fails(-EBUSY, "s1a2bb0", fabric_bridge.check_subnet(bed->driver, ipv4("10.231.0.0"), 24, &err));
	bed->network.ipv4 = ipv4("10.231.9.1");
	network_up(bed);
	assert_ok(fabric_bridge.check_subnet(bed->driver, ipv4("10.231.0.0"), 24, &err));
	assert_fails(-EBUSY, "10.231.9.1/24", fabric_bridge.check_subnet(bed->driver, ipv4("10.231.0.0"), 16, &err));
}

static void test_check_subnet_sees_routes(void **state)
{
	struct testbed *bed = testbed(state);

	RUN("ip", "link", "add", "up0", "type", "bridge");
	RUN("ip", "addr", "add", "192.0.2.2/24", "dev", "up0");
	RUN("ip", "link", "set", "up0", "up");
	RUN("ip", "route", "add", "10.50.0.0/16", "via", "192.0.2.1");
	RUN("ip", "route", "add", "default", "via", "192.0.2.1");
	assert_fails(-EBUSY, "up0", fabric_bridge.check_subnet(bed->driver, ipv4("10.50.3.0"), 24, &err));
	assert_ok(fabric_bridge.check_subnet(bed->driver, ipv4("10.51.0.0"), 24, &err));
}

/* A program that listens is named. */
static void test_port_of_a_program(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_publish publish = { .protocol = FABRIC_TCP, .host_port = 28080, .guest_port = 80 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(28080), .sin_addr = ipv4("127.0.0.1") };
	struct fabric_nic nic = testbed_nic("web", 5);
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_free char *owner = text_format("28080/tcp is in use by bridge_test (process %d)", (int)getpid());
	char ifname[IFNAMSIZ];

	nic.publish = &publish;
	nic.publish_count = 1;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	network_up(bed);
	assert_fails(-EBUSY, owner, fabric_bridge.nic_up(bed->driver, &nic, ifname, &err));
	close(take_fd(fd));
	nic_up(bed, &nic);
}

/* An interface that only looks like ours is left alone. */
static void test_foreign_interface(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	char ifname[IFNAMSIZ];

	network_up(bed);
	RUN("ip", "link", "add", "s1a2bt5", "type", "bridge");
	RUN("ip", "link", "set", "s1a2bt5", "alias", "mine");
	assert_fails(-EBUSY, "'mine'", fabric_bridge.nic_up(bed->driver, &nic, ifname, &err));
	assert_ok(fabric_bridge.clear(bed->driver, &err));
	assert_int_not_equal(if_nametoindex("s1a2bt5"), 0);
}

/* Records lost: the aliases still say what there is, and down removes it. */
static void test_aliases_suffice(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	struct fabric_inventory inventory;

	network_up(bed);
	nic_up(bed, &nic);
	for (const char *const *kind = (const char *const[]){ "networks", "nics", NULL }; *kind; kind++) {
		auto_free char *folder = text_format("%s/%s", bed->directory, *kind);

		assert_ok(file_remove_tree(folder, &err));
	}
	reopen(bed);
	assert_ok(fabric_bridge.inventory(bed->driver, &inventory, &err));
	assert_int_equal(inventory.networks.count, 1);
	assert_string_equal(inventory.networks.items[0].uid, NETWORK_UID);
	assert_int_equal(inventory.nics.count, 1);
	assert_string_equal(inventory.nics.items[0].uid, "web");
	fabric_inventory_done(&inventory);
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	assert_ok(fabric_bridge.network_down(bed->driver, NETWORK_UID, &err));
	assert_int_equal(if_nametoindex("s1a2bb0") + if_nametoindex("s1a2bt5"), 0);
}

/* QEMU opens the tap with these flags, and holds it while things change. */
static void test_tap_as_qemu_opens_it(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = testbed_nic("web", 5);
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, .ifr_name = "s1a2bt5" };
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	network_up(bed);
	nic_up(bed, &nic);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	nic.hostname = "www";
	nic_up(bed, &nic);
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	assert_int_equal(if_nametoindex("s1a2bt5"), 0);
}

static void test_probe(void **state)
{
	struct testbed *bed = testbed(state);

	assert_ok(fabric_bridge.probe(bed->driver, &err));
	RUN("nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }");
	assert_fails(-EPERM, "iptables -I FORWARD", fabric_bridge.probe(bed->driver, &err));
	RUN("nft", "add rule ip filter FORWARD iifname s1a2bb* accept");
	assert_ok(fabric_bridge.probe(bed->driver, &err));
}

static void test_bad_parameters(void **state)
{
	struct fabric_params params = { .node_tag = "12G4", .directory = "/tmp" };
	struct fabric_driver *driver;

	(void)state;
	assert_fails(-EINVAL, "'12G4'", fabric_bridge.open(&params, &driver, &err));
	params = (struct fabric_params){ .node_tag = "1a2b", .directory = "relative" };
	assert_fails(-EINVAL, "'relative'", fabric_bridge.open(&params, &driver, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conformance, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_clear_leaves_nothing, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_two_daemons, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_dnsmasq_survives, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_dnsmasq_comes_back, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_stale_pid_file, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_unreachable_folder, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_elements_as_bytes_and_text, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_repair, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_addresses_change, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_check_subnet_sees_routes, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_port_of_a_program, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_foreign_interface, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_aliases_suffice, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_tap_as_qemu_opens_it, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_probe, testbed_up, testbed_down),
		cmocka_unit_test(test_bad_parameters),
	};

	return cmocka_run_group_tests_name("fabric bridge", tests, NULL, NULL);
}

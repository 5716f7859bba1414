/* Nics of containers: a process in namespaces of its own, as a container's first one is, and what it can do once the nic has entered. */
#include "driver/fabric/bridge/testguest.h"

#include <resolv.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { WEB_PORT = 80, PUBLISHED_PORT = 28080, ENTER_ROUNDS = 21 };

struct container {
	struct fabric_nic nic;
	pid_t pid;
	int ns;				/* Its network namespace. */
};

/* In a user namespace of its own, so that the network namespace is not the host's to rule by right of birth. */
static pid_t start_process(void)
{
	int ready[2];
	char byte = 1;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		byte = unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
		(void)!write(ready[1], &byte, 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int open_namespace_of(pid_t pid)
{
	auto_free char *path = text_format("/proc/%d/ns/net", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct fabric_nic veth_nic(const char *hostname, unsigned number)
{
	struct fabric_nic nic = testbed_nic(hostname, number);

	nic.kind = FABRIC_VETH;
	return nic;
}

static void enter_container(struct testbed *bed, const struct container *container)
{
	assert_ok(fabric_bridge.nic_enter(bed->driver, &container->nic, container->pid, &err));
}

static struct container start_container(struct testbed *bed, const struct fabric_nic *nic)
{
	struct container container = { .nic = *nic, .pid = start_process() };
	char ifname[IFNAMSIZ];

	container.ns = open_namespace_of(container.pid);
	assert_ok(fabric_bridge.nic_up(bed->driver, nic, ifname, &err));
	enter_container(bed, &container);
	return container;
}

static void end_container(struct container *container)
{
	close(take_fd(container->ns));
	end_process(container->pid);
}

/* The kernel takes a namespace apart some time after its last process. */
static void wait_until_gone(const char *ifname)
{
	for (int i = 0; i < 1000 && if_nametoindex(ifname); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	assert_int_equal(if_nametoindex(ifname), 0);
}

/* What `ip ARGUMENTS` says in the namespace. */
#define IP(bed, ns, ...) ip_output(bed, ns, (const char *const[]){ "ip", __VA_ARGS__, NULL })
static char *ip_output(struct testbed *bed, int ns, const char *const *argv)
{
	struct str out = { 0 };
	struct spawn_io io = { .output = &out, .output_max = 64 << 10 };
	struct err err = { 0 };

	str_append(&out, "");
	enter(ns);
	if (spawn_run(&(struct spawn_params){ .argv = argv }, &io, &err) < 0)
		fail_msg("ip: %s", err.msg);
	enter(bed->host_ns);
	return out.data;
}

static void assert_says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("'%s' is not in: %s", words, text);
}

/* The IPv4 address of a name, asked as a container's resolver does. */
static struct in_addr resolve(struct testbed *bed, int ns, const char *name)
{
	auto_close int fd = open_socket(bed, ns, SOCK_DGRAM, "::", 0);
	struct sockaddr_in6 server = endpoint("::ffff:10.231.0.1", 53);
	uint8_t question[512];
	struct in_addr address = { 0 };
	struct packet answer;
	int size = res_mkquery(0, name, 1, 1, NULL, 0, NULL, question, sizeof(question));

	assert_true(size > 0);
	answer = ask(fd, question, (size_t)size, &server, sizeof(server));
	if (answer.size > 12 && answer.data[7] == 1)	/* One answer, which ends the message. */
		memcpy(&address, &answer.data[answer.size - 4], 4);
	return address;
}

/* dnsmasq reads the names of a new nic when the kernel tells it of the file. */
static void assert_resolves(struct testbed *bed, int ns, const char *name, const char *address)
{
	struct in_addr got = { 0 };

	for (int i = 0; i < 200 && got.s_addr != ipv4(address).s_addr; i++) {
		got = resolve(bed, ns, name);
		if (!got.s_addr)
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	assert_int_equal(got.s_addr, ipv4(address).s_addr);
}

static void test_what_is_inside(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = veth_nic("web", 5);
	auto_str struct str accepts = { 0 };

	bed->network.mtu = 1400;
	network_up(bed);
	struct container web = start_container(bed, &nic);
	auto_free char *links = IP(bed, web.ns, "-o", "link"), *addresses = IP(bed, web.ns, "-o", "addr");
	auto_free char *routes = IP(bed, web.ns, "route"), *routes6 = IP(bed, web.ns, "-6", "route");
	assert_says(links, "lo: <LOOPBACK,UP,LOWER_UP>");
	assert_says(links, "eth0@");
	assert_says(links, "UP,LOWER_UP> mtu 1400");
	assert_says(links, "52:54:00:00:00:05");
	assert_says(addresses, "inet 10.231.0.5/24 brd 10.231.0.255 scope global eth0");
	assert_says(addresses, "inet6 fd23:1::5/64 scope global nodad");
	assert_says(addresses, "inet6 fe80::5054:ff:fe00:5/64 scope link nodad");
	assert_null(strstr(addresses, "tentative"));
	enter(web.ns);
	assert_ok(file_read_all("/proc/sys/net/ipv6/conf/eth0/accept_ra", 8, &accepts, &err));
	enter(bed->host_ns);
	assert_string_equal(str_text(&accepts), "0\n");
	assert_says(routes, "default via 10.231.0.1 dev eth0");
	assert_says(routes6, "default via fd23:1::1 dev eth0");
	end_container(&web);
}

/* At once: nothing here waits for what the kernel does a moment later. */
static void test_traffic(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = veth_nic("web", 5), other = veth_nic("db", 6);
	struct fabric_publish publish = { .protocol = FABRIC_TCP, .host_port = PUBLISHED_PORT, .guest_port = WEB_PORT };

	network_up(bed);
	int outside = add_outside(bed);
	nic.publish = &publish;
	nic.publish_count = 1;
	struct container web = start_container(bed, &nic);
	auto_close int listener = open_socket(bed, web.ns, SOCK_STREAM, "::", WEB_PORT);
	assert_connects(bed, bed->host_ns, "::ffff:10.231.0.5", WEB_PORT, listener);
	assert_connects(bed, bed->host_ns, "::ffff:127.0.0.1", PUBLISHED_PORT, listener);
	assert_connects(bed, outside, "::ffff:192.0.2.1", PUBLISHED_PORT, listener);
	assert_connects(bed, outside, "2001:db8::1", PUBLISHED_PORT, listener);
	struct container db = start_container(bed, &other);
	assert_connects(bed, db.ns, "::ffff:10.231.0.5", WEB_PORT, listener);
	assert_connects(bed, db.ns, "fd23:1::5", WEB_PORT, listener);
	auto_close int away = open_socket(bed, outside, SOCK_STREAM, "::", WEB_PORT);
	assert_connects(bed, db.ns, "::ffff:192.0.2.2", WEB_PORT, away);
	end_container(&web);
	end_container(&db);
	close(outside);
}

static void test_talk_by_name(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = veth_nic("web", 5), other = veth_nic("db", 6);

	network_up(bed);
	struct container web = start_container(bed, &nic), db = start_container(bed, &other);
	auto_close int listener = open_socket(bed, db.ns, SOCK_STREAM, "::", 5432);
	assert_resolves(bed, web.ns, "db.blue.internal", "10.231.0.6");
	assert_resolves(bed, db.ns, "web", "10.231.0.5");
	assert_connects(bed, web.ns, "::ffff:10.231.0.6", 5432, listener);
	end_container(&web);
	end_container(&db);
}

/* Its own address may speak, another one it gives itself may not; nor another MAC. */
static void test_spoofed_source(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = veth_nic("web", 5);

	network_up(bed);
	struct container web = start_container(bed, &nic);
	auto_close int server = open_socket(bed, bed->host_ns, SOCK_DGRAM, "::ffff:10.231.0.1", 53000);
	RUN("nft", "insert rule inet strata_1a2b input udp dport 53000 accept");
	free(IP(bed, web.ns, "addr", "add", "10.231.0.66/24", "dev", "eth0"));
	auto_close int honest = open_socket(bed, web.ns, SOCK_DGRAM, "::ffff:10.231.0.5", 0);
	auto_close int forged = open_socket(bed, web.ns, SOCK_DGRAM, "::ffff:10.231.0.66", 0);
	send_text(forged, "::ffff:10.231.0.1", 53000, "forged");
	send_text(honest, "::ffff:10.231.0.1", 53000, "honest");
	expect_text(server, "honest");
	/* Entering again takes away what was added. */
	enter_container(bed, &web);
	auto_free char *addresses = IP(bed, web.ns, "-o", "addr");
	assert_null(strstr(addresses, "10.231.0.66"));
	free(IP(bed, web.ns, "link", "set", "eth0", "address", "52:54:00:00:00:77"));
	assert_int_equal(try_connect(bed, web.ns, "::ffff:10.231.0.1", 53) == 0, false);
	enter_container(bed, &web);
	assert_int_equal(try_connect(bed, web.ns, "::ffff:10.231.0.1", 53), 0);
	end_container(&web);
}

/* Bringing nic and network up again, and a new daemon, leave a running container's connections alone. */
static void test_up_while_it_runs(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = veth_nic("web", 5);
	struct fabric_publish publish = { .protocol = FABRIC_TCP, .host_port = PUBLISHED_PORT, .guest_port = WEB_PORT };
	unsigned index;
	char ifname[IFNAMSIZ];

	network_up(bed);
	struct container web = start_container(bed, &nic);
	auto_close int server = open_socket(bed, web.ns, SOCK_DGRAM, "::", 999);
	auto_close int client = open_socket(bed, bed->host_ns, SOCK_DGRAM, "::", 0);
	index = if_nametoindex("s1a2bt5");
	fabric_bridge.close(bed->driver);
	assert_ok(fabric_bridge.open(&bed->params, &bed->driver, &err));
	network_up(bed);
	nic.publish = &publish;
	nic.publish_count = 1;
	assert_ok(fabric_bridge.nic_up(bed->driver, &nic, ifname, &err));
	enter_container(bed, &web);
	assert_string_equal(ifname, "s1a2bt5");
	assert_int_equal(if_nametoindex("s1a2bt5"), index);
	send_text(client, "::ffff:10.231.0.5", 999, "still there");
	expect_text(server, "still there");
	end_container(&web);
}

/* The end of a container takes its interface along; what is left is a record, and the next life begins at once. */
static void test_next_life(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = veth_nic("web", 5);
	struct fabric_inventory inventory;

	network_up(bed);
	struct container first = start_container(bed, &nic);
	/* While somebody looks into the old namespace it lives, and the pair with it. */
	end_process(first.pid);
	assert_int_not_equal(if_nametoindex("s1a2bt5"), 0);
	struct container second = start_container(bed, &nic);
	close(first.ns);
	auto_close int listener = open_socket(bed, second.ns, SOCK_STREAM, "::", WEB_PORT);
	assert_connects(bed, bed->host_ns, "::ffff:10.231.0.5", WEB_PORT, listener);
	close(take_fd(listener));
	end_container(&second);
	wait_until_gone("s1a2bt5");
	assert_fails(-ESRCH, "has ended", fabric_bridge.nic_enter(bed->driver, &nic, second.pid, &err));
	assert_ok(fabric_bridge.inventory(bed->driver, &inventory, &err));
	assert_int_equal(inventory.nics.count, 1);
	fabric_inventory_done(&inventory);
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	assert_ok(fabric_bridge.inventory(bed->driver, &inventory, &err));
	assert_int_equal(inventory.nics.count, 0);
	fabric_inventory_done(&inventory);
}

/* A crash right after the pair was made: it has no name of an owner yet, and is nobody else's. */
static void test_crash_in_between(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_nic nic = veth_nic("web", 5);
	struct container web = { .nic = nic, .pid = start_process() };
	auto_free char *pid = text_format("%d", (int)web.pid);
	char ifname[IFNAMSIZ];

	web.ns = open_namespace_of(web.pid);
	network_up(bed);
	assert_ok(fabric_bridge.nic_up(bed->driver, &nic, ifname, &err));
	RUN("ip", "link", "add", "s1a2bt5", "type", "veth", "peer", "name", "eth0", "netns", pid);
	enter_container(bed, &web);
	auto_close int listener = open_socket(bed, web.ns, SOCK_STREAM, "::", WEB_PORT);
	assert_connects(bed, bed->host_ns, "::ffff:10.231.0.5", WEB_PORT, listener);
	assert_ok(fabric_bridge.nic_down(bed->driver, "web", 0, &err));
	RUN("ip", "link", "add", "s1a2bt5", "type", "veth", "peer", "name", "eth0", "netns", pid);
	assert_ok(fabric_bridge.clear(bed->driver, &err));
	assert_int_equal(if_nametoindex("s1a2bt5"), 0);
	end_container(&web);
}

/* Two networks, two nics: both are there, the first leads outside. */
static void test_two_nics(void **state)
{
	struct testbed *bed = testbed(state);
	struct fabric_network green = { .uid = "green", .name = "green", .index = 1, .ipv4 = ipv4("10.231.1.1"), .ipv4_prefix = 24 };
	struct fabric_nic nic = veth_nic("web", 5), second = veth_nic("web", 6);
	char ifname[IFNAMSIZ];

	network_up(bed);
	assert_ok(fabric_bridge.network_up(bed->driver, &green, &err));
	struct container web = start_container(bed, &nic);
	second.index = 1;
	second.network = "green";
	second.ipv4 = ipv4("10.231.1.6");
	second.ipv6 = (struct in6_addr){ 0 };
	assert_ok(fabric_bridge.nic_up(bed->driver, &second, ifname, &err));
	assert_ok(fabric_bridge.nic_enter(bed->driver, &second, web.pid, &err));
	auto_close int listener = open_socket(bed, web.ns, SOCK_STREAM, "::", WEB_PORT);
	assert_connects(bed, bed->host_ns, "::ffff:10.231.0.5", WEB_PORT, listener);
	assert_connects(bed, bed->host_ns, "::ffff:10.231.1.6", WEB_PORT, listener);
	auto_free char *route = IP(bed, web.ns, "route", "get", "192.0.2.9"), *addresses = IP(bed, web.ns, "-o", "addr", "show", "eth1");
	assert_says(route, "via 10.231.0.1 dev eth0");
	assert_null(strstr(addresses, "inet6"));
	end_container(&web);
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* It stands between `run` and the first instruction of every container. The bound is generous: machines are shared. */
static void test_is_quick(void **state)
{
	struct testbed *bed = testbed(state);
	double times[ENTER_ROUNDS];

	network_up(bed);
	for (unsigned i = 0; i < ENTER_ROUNDS; i++) {
		auto_free char *name = text_format("c%u", i);
		struct fabric_nic nic = veth_nic(name, 5 + i);
		pid_t pid = start_process();
		char ifname[IFNAMSIZ];

		assert_ok(fabric_bridge.nic_up(bed->driver, &nic, ifname, &err));
		times[i] = now_ms();
		assert_ok(fabric_bridge.nic_enter(bed->driver, &nic, pid, &err));
		times[i] = now_ms() - times[i];
		end_process(pid);
	}
	qsort(times, ENTER_ROUNDS, sizeof(times[0]), compare_times);
	print_message("nic_enter: median %.2f ms, slowest %.2f ms\n", times[ENTER_ROUNDS / 2], times[ENTER_ROUNDS - 1]);
	assert_true(times[ENTER_ROUNDS / 2] < 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_inside, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_traffic, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_talk_by_name, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_spoofed_source, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_up_while_it_runs, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_next_life, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_crash_in_between, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_two_nics, testbed_up, testbed_down),
		cmocka_unit_test_setup_teardown(test_is_quick, testbed_up, testbed_down),
	};

	return cmocka_run_group_tests_name("fabric enter", tests, NULL, NULL);
}

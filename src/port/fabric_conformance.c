#include "port/fabric_conformance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

struct run {
	const struct fabric_ops *ops;
	const struct fabric_params *params;
	struct fabric_driver *driver;
};

#define NETWORK_A "6e2f6f0a-1111-4a6b-9d3e-000000000001"
#define NETWORK_B "6e2f6f0a-1111-4a6b-9d3e-000000000002"
#define INSTANCE_A "0d6f3b52-2222-4c7d-8e1f-000000000001"
#define INSTANCE_B "0d6f3b52-2222-4c7d-8e1f-000000000002"

static struct in_addr ipv4(const char *text)
{
	struct in_addr address = { 0 };

	inet_pton(AF_INET, text, &address);
	return address;
}

static struct in6_addr ipv6(const char *text)
{
	struct in6_addr address = { 0 };

	inet_pton(AF_INET6, text, &address);
	return address;
}

static struct fabric_network network_a(void)
{
	return (struct fabric_network){
		.uid = NETWORK_A, .name = "blue", .index = 0, .ipv4 = ipv4("10.231.0.1"), .ipv4_prefix = 24,
		.ipv6 = ipv6("fd23:1::1"), .ipv6_prefix = 64, .has_nat = true, .has_dhcp = true,
	};
}

static struct fabric_network network_b(void)
{
	return (struct fabric_network){
		.uid = NETWORK_B, .name = "green", .domain = "green.example", .index = 1,
		.ipv4 = ipv4("10.231.1.1"), .ipv4_prefix = 24, .mtu = 1400,
	};
}

static struct fabric_nic nic_a(void)
{
	return (struct fabric_nic){
		.instance = INSTANCE_A, .hostname = "ant", .network = NETWORK_A, .number = 0,
		.mac = { 0x52, 0x54, 0, 0, 0, 1 }, .ipv4 = ipv4("10.231.0.5"), .ipv6 = ipv6("fd23:1::5"),
	};
}

static struct fabric_nic nic_b(void)
{
	return (struct fabric_nic){
		.instance = INSTANCE_B, .hostname = "bee", .network = NETWORK_A, .index = 1, .number = 1,
		.mac = { 0x52, 0x54, 0, 0, 0, 2 }, .ipv4 = ipv4("10.231.0.6"),
	};
}

static int expect(const char *what, int expected, int got, struct err *err)
{
	char reason[sizeof(err->msg)];

	if (got == expected)
		return 0;
	snprintf(reason, sizeof(reason), "%s", got < 0 ? err->msg : "success");
	return err_set(err, -EPROTO, "%s: %s instead of %s: %s", what, got ? strerrorname_np(-got) : "0",
		       expected ? strerrorname_np(-expected) : "0", reason);
}

/* 'call' must return 'expected', which with an error must also say something about 'words'. */
#define EXPECT(what, expected, call) do { \
	int r_ = expect(what, expected, (call), err); \
	if (r_ < 0) \
		return r_; \
} while (0)

static int expect_words(const char *what, const char *words, struct err *err)
{
	char got[sizeof(err->msg)];

	if (strstr(err->msg, words))
		return 0;
	memcpy(got, err->msg, sizeof(got));
	return err_set(err, -EPROTO, "%s: the message does not name '%s': %s", what, words, got);
}

static int expect_counts(struct run *run, const char *when, size_t networks, size_t nics, struct err *err)
{
	struct fabric_inventory inventory = { 0 };
	size_t got_networks, got_nics;

	EXPECT("inventory", 0, run->ops->inventory(run->driver, &inventory, err));
	got_networks = inventory.networks.count;
	got_nics = inventory.nics.count;
	fabric_inventory_done(&inventory);
	if (got_networks == networks && got_nics == nics)
		return 0;
	return err_set(err, -EPROTO, "inventory %s has %zu networks and %zu nics instead of %zu and %zu",
		       when, got_networks, got_nics, networks, nics);
}

static int test_empty(struct run *run, struct err *err)
{
	EXPECT("probe", 0, run->ops->probe(run->driver, err));
	EXPECT("network_down of none", 0, run->ops->network_down(run->driver, NETWORK_A, err));
	EXPECT("nic_down of none", 0, run->ops->nic_down(run->driver, INSTANCE_A, 0, err));
	EXPECT("clear of nothing", 0, run->ops->clear(run->driver, err));
	return expect_counts(run, "at first", 0, 0, err);
}

static int test_bad_values(struct run *run, struct err *err)
{
	struct fabric_network network = network_a();
	struct fabric_nic nic = nic_a();
	char ifname[IFNAMSIZ];

	network.name = "blue\nuser=root";
	EXPECT("network_up with a newline in its name", -EINVAL, run->ops->network_up(run->driver, &network, err));
	network = network_a();
	network.uid = "../x";
	EXPECT("network_up with a path as uid", -EINVAL, run->ops->network_up(run->driver, &network, err));
	network = network_a();
	network.ipv4_prefix = 33;
	EXPECT("network_up with prefix 33", -EINVAL, run->ops->network_up(run->driver, &network, err));
	network = network_a();
	network.ipv4 = ipv4("10.231.0.255");
	EXPECT("network_up on the broadcast address", -EINVAL, run->ops->network_up(run->driver, &network, err));
	network = network_a();
	network.mtu = 100;
	EXPECT("network_up with mtu 100", -EINVAL, run->ops->network_up(run->driver, &network, err));
	nic.hostname = "a b";
	EXPECT("nic_up with a space in its name", -EINVAL, run->ops->nic_up(run->driver, &nic, ifname, err));
	nic = nic_a();
	nic.mac[0] = 0xff;
	EXPECT("nic_up with a group address", -EINVAL, run->ops->nic_up(run->driver, &nic, ifname, err));
	return expect_counts(run, "after bad values", 0, 0, err);
}

static int test_up(struct run *run, struct err *err)
{
	struct fabric_network a = network_a(), b = network_b();
	struct fabric_nic nic = nic_a();
	char first[IFNAMSIZ] = "", again[IFNAMSIZ] = "", expected[IFNAMSIZ];

	EXPECT("nic_up before its network", -ENOENT, run->ops->nic_up(run->driver, &nic, first, err));
	EXPECT("network_up", 0, run->ops->network_up(run->driver, &a, err));
	EXPECT("network_up of another", 0, run->ops->network_up(run->driver, &b, err));
	b.index = a.index;
	EXPECT("network_up with another's index", -EBUSY, run->ops->network_up(run->driver, &b, err));
	EXPECT("nic_up", 0, run->ops->nic_up(run->driver, &nic, first, err));
	EXPECT("network_up again", 0, run->ops->network_up(run->driver, &a, err));
	nic.hostname = "aphid";
	nic.ipv4 = ipv4("10.231.0.7");
	EXPECT("nic_up with other values", 0, run->ops->nic_up(run->driver, &nic, again, err));
	snprintf(expected, sizeof(expected), "s%.4st%u", run->params->node_tag, nic.number);
	if (!text_equal(first, again) || !text_equal(first, expected))
		return err_set(err, -EPROTO, "nic_up: interfaces are '%s', then '%s', instead of '%s'", first, again, expected);
	return expect_counts(run, "after up", 2, 1, err);
}

static int test_publish(struct run *run, struct err *err)
{
	struct fabric_publish web = { .protocol = FABRIC_TCP, .host_port = 28080, .guest_port = 80 }, local = web;
	struct fabric_nic a = nic_a(), b = nic_b();
	char ifname[IFNAMSIZ];

	a.publish = b.publish = &web;
	a.publish_count = b.publish_count = 1;
	EXPECT("nic_up with a port", 0, run->ops->nic_up(run->driver, &a, ifname, err));
	EXPECT("nic_up with a port again", 0, run->ops->nic_up(run->driver, &a, ifname, err));
	EXPECT("nic_up with a port in use", -EBUSY, run->ops->nic_up(run->driver, &b, ifname, err));
	EXPECT("nic_up with a port in use", 0, expect_words("nic_up with a port in use", "28080/tcp", err));
	local.host_address = ipv6("::ffff:127.0.0.1");
	b.publish = &local;
	EXPECT("nic_up with a port in use everywhere", -EBUSY, run->ops->nic_up(run->driver, &b, ifname, err));
	local.protocol = FABRIC_UDP;
	EXPECT("nic_up with the same port of another protocol", 0, run->ops->nic_up(run->driver, &b, ifname, err));
	a.publish_count = 0;
	EXPECT("nic_up without the port", 0, run->ops->nic_up(run->driver, &a, ifname, err));
	b.publish = &web;
	EXPECT("nic_up with the port that became free", 0, run->ops->nic_up(run->driver, &b, ifname, err));
	return expect_counts(run, "with ports", 2, 2, err);
}

/* A new daemon on the same host. */
static int test_restart(struct run *run, struct err *err)
{
	struct fabric_publish web = { .protocol = FABRIC_TCP, .host_port = 28080, .guest_port = 80 };
	struct fabric_nic a = nic_a(), b = nic_b();
	char ifname[IFNAMSIZ];

	run->ops->close(run->driver);
	run->driver = NULL;
	EXPECT("open again", 0, run->ops->open(run->params, &run->driver, err));
	EXPECT("open again", 0, expect_counts(run, "after a restart", 2, 2, err));
	a.publish = b.publish = &web;
	a.publish_count = b.publish_count = 1;
	EXPECT("nic_up with a port in use since before a restart", -EBUSY, run->ops->nic_up(run->driver, &a, ifname, err));
	EXPECT("nic_up after a restart", 0, run->ops->nic_up(run->driver, &b, ifname, err));
	return expect_counts(run, "after a restart and an up", 2, 2, err);
}

/*
 * A process with a network namespace, as a container has one; the world of a driver that only pretends has none
 * to give, so it need not be one of its own. It waits to be killed.
 */
static int start_container(pid_t *ret_pid, struct err *err)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	if (pipe(ready) < 0 || (pid = fork()) < 0)
		return err_set(err, -errno, "start a process: %m");
	if (pid == 0) {
		(void)!unshare(CLONE_NEWUSER | CLONE_NEWNET);
		(void)!write(ready[1], &byte, 1);
		for (;;)
			pause();
	}
	(void)!read(ready[0], &byte, 1);
	close(ready[0]);
	close(ready[1]);
	*ret_pid = pid;
	return 0;
}

static void end_container(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int enter_container(struct run *run, struct fabric_nic *nic, pid_t pid, struct err *err)
{
	struct fabric_nic tap = nic_a();
	char first[IFNAMSIZ] = "", again[IFNAMSIZ] = "", expected[IFNAMSIZ];

	EXPECT("nic_enter before nic_up", -ENOENT, run->ops->nic_enter(run->driver, nic, pid, err));
	EXPECT("nic_enter of a tap", -EINVAL, run->ops->nic_enter(run->driver, &tap, pid, err));
	EXPECT("nic_up of a veth", 0, run->ops->nic_up(run->driver, nic, first, err));
	EXPECT("nic_up of a veth again", 0, run->ops->nic_up(run->driver, nic, first, err));
	EXPECT("nic_enter", 0, run->ops->nic_enter(run->driver, nic, pid, err));
	EXPECT("nic_enter again", 0, run->ops->nic_enter(run->driver, nic, pid, err));
	nic->ipv4 = ipv4("10.231.0.9");
	EXPECT("nic_up of an entered veth with other values", 0, run->ops->nic_up(run->driver, nic, again, err));
	EXPECT("nic_enter with other values", 0, run->ops->nic_enter(run->driver, nic, pid, err));
	snprintf(expected, sizeof(expected), "s%.4st%u", run->params->node_tag, nic->number);
	if (!text_equal(first, expected) || !text_equal(again, expected))
		return err_set(err, -EPROTO, "nic_up: veths are '%s', then '%s', instead of '%s'", first, again, expected);
	EXPECT("nic_enter", 0, expect_counts(run, "with a veth", 2, 3, err));
	run->ops->close(run->driver);
	run->driver = NULL;
	EXPECT("open again", 0, run->ops->open(run->params, &run->driver, err));
	EXPECT("open again", 0, expect_counts(run, "after a restart with a veth", 2, 3, err));
	EXPECT("nic_up after a restart", 0, run->ops->nic_up(run->driver, nic, again, err));
	return expect_counts(run, "after a restart and an up of a veth", 2, 3, err);
}

/* A container, its end, and another one with the same nic. */
static int test_enter(struct run *run, struct err *err)
{
	struct fabric_nic nic = nic_b();
	pid_t pid;
	int r;

	nic.kind = FABRIC_VETH;
	nic.index = 0;
	nic.number = 2;
	if ((r = start_container(&pid, err)) < 0)
		return r;
	r = enter_container(run, &nic, pid, err);
	end_container(pid);
	if (r < 0 || (r = start_container(&pid, err)) < 0)
		return r;
	r = expect("nic_up after the end", 0, run->ops->nic_up(run->driver, &nic, (char[IFNAMSIZ]){ 0 }, err), err);
	if (r == 0)
		r = expect("nic_enter of the next", 0, run->ops->nic_enter(run->driver, &nic, pid, err), err);
	end_container(pid);
	if (r < 0)
		return r;
	EXPECT("nic_down of a veth", 0, run->ops->nic_down(run->driver, nic.instance, nic.index, err));
	EXPECT("nic_down of a veth again", 0, run->ops->nic_down(run->driver, nic.instance, nic.index, err));
	return expect_counts(run, "after nic_down of a veth", 2, 2, err);
}

static int test_subnets(struct run *run, struct err *err)
{
	EXPECT("check_subnet of a free one", 0, run->ops->check_subnet(run->driver, ipv4("10.232.0.0"), 24, err));
	EXPECT("check_subnet of a network's", -EBUSY, run->ops->check_subnet(run->driver, ipv4("10.231.0.0"), 24, err));
	EXPECT("check_subnet of one around a network's", -EBUSY, run->ops->check_subnet(run->driver, ipv4("10.231.0.0"), 16, err));
	EXPECT("check_subnet of one within a network's", -EBUSY, run->ops->check_subnet(run->driver, ipv4("10.231.0.64"), 28, err));
	return 0;
}

static int test_down(struct run *run, struct err *err)
{
	EXPECT("nic_down", 0, run->ops->nic_down(run->driver, INSTANCE_B, 1, err));
	EXPECT("nic_down again", 0, run->ops->nic_down(run->driver, INSTANCE_B, 1, err));
	EXPECT("nic_down", 0, expect_counts(run, "after nic_down", 2, 1, err));
	EXPECT("network_down", 0, run->ops->network_down(run->driver, NETWORK_B, err));
	EXPECT("network_down again", 0, run->ops->network_down(run->driver, NETWORK_B, err));
	EXPECT("network_down", 0, expect_counts(run, "after network_down", 1, 1, err));
	EXPECT("clear", 0, run->ops->clear(run->driver, err));
	EXPECT("clear again", 0, run->ops->clear(run->driver, err));
	return expect_counts(run, "after clear", 0, 0, err);
}

int fabric_conformance(const struct fabric_ops *ops, const struct fabric_params *params, struct err *err)
{
	static int (*const tests[])(struct run *run, struct err *err) = {
		test_empty, test_bad_values, test_up, test_publish, test_restart, test_enter, test_subnets, test_down,
	};
	struct run run = { ops, params, NULL };
	int r = ops->open(params, &run.driver, err);

	for (size_t i = 0; r == 0 && i < ARRAY_COUNT(tests); i++)
		r = tests[i](&run, err);
	if (run.driver)
		ops->close(run.driver);
	return r;
}

/*
 * testbed.h - a host of its own for the tests of this folder: a fresh network namespace, a folder, a cgroup,
 * and guests in namespaces of theirs, plugged in where QEMU would be.
 *
 * The process moves between namespaces; sockets stay where they were made. When the test
 * program ends the kernel removes every interface; the dnsmasqs are ended in tear-down.
 */
#ifndef DRIVER_FABRIC_BRIDGE_TESTBED_H
#define DRIVER_FABRIC_BRIDGE_TESTBED_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "port/fabric.h"

enum { TESTBED_WAIT_MS = 5000 };

#define NETWORK_UID "6e2f6f0a-1111-4a6b-9d3e-000000000001"

struct testbed {
	char directory[64];
	char cgroup[128];		/* Empty: this host has no cgroup v2 we may use. */
	int host_ns;			/* The fresh namespace that plays the host. */
	struct fabric_params params;
	struct fabric_driver *driver;
	struct fabric_network network;
};

/* assert_int_equal(0, ...) with the reason. */
#define assert_ok(call) do { \
	struct err err = { 0 }; \
	if ((call) < 0) \
		fail_msg("%s: %s", #call, err.msg); \
} while (0)
#define assert_fails(code_, words_, call) do { \
	struct err err = { 0 }; \
	assert_int_equal((call), (code_)); \
	if (!strstr(err.msg, (words_))) \
		fail_msg("%s: '%s' does not say '%s'", #call, err.msg, words_); \
} while (0)

static inline struct in_addr ipv4(const char *text)
{
	struct in_addr address;

	assert_int_equal(inet_pton(AF_INET, text, &address), 1);
	return address;
}

static inline struct in6_addr ipv6(const char *text)
{
	struct in6_addr address;

	assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
	return address;
}

/* Runs a program to its end in the present namespace: RUN("ip", "link", ...). */
#define RUN(...) run_program((const char *const[]){ __VA_ARGS__, NULL })
static inline void run_program(const char *const *argv)
{
	struct err err = { 0 };

	if (spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err) < 0)
		fail_msg("%s %s: %s", argv[0], argv[1], err.msg);
}

static inline int open_namespace(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

/* A new namespace with lo up; the process stays where it was. */
static inline int new_namespace(int back_to)
{
	int ns;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	ns = open_namespace();
	RUN("ip", "link", "set", "lo", "up");
	enter(back_to);
	return ns;
}

/* Both ends of a cable: 'name' here, 'peer' in the namespace 'ns'. */
static inline void add_cable(const char *name, const char *peer, int ns)
{
	auto_free char *path = text_format("/proc/%d/fd/%d", (int)getpid(), ns);

	RUN("ip", "link", "add", name, "type", "veth", "peer", "name", peer, "netns", path);
}

static inline bool find_cgroup(struct testbed *bed)
{
	for (const char *const *root = (const char *const[]){ "/sys/fs/cgroup/unified", "/sys/fs/cgroup", NULL }; *root; root++) {
		auto_free char *procs = text_format("%s/cgroup.procs", *root);

		snprintf(bed->cgroup, sizeof(bed->cgroup), "%s/strata-test-%d", *root, (int)getpid());
		if (access(procs, W_OK) == 0 && mkdir(bed->cgroup, 0755) == 0)
			return true;
	}
	bed->cgroup[0] = '\0';
	return false;
}

static inline int testbed_up(void **state)
{
	struct testbed *bed = alloc(sizeof(*bed));

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		free(bed);
		*state = NULL;
		print_message("skipped: network namespaces need root\n");
		return 0;
	}
	bed->host_ns = open_namespace();
	RUN("ip", "link", "set", "lo", "up");
	snprintf(bed->directory, sizeof(bed->directory), "/tmp/strata-fabric-XXXXXX");
	assert_non_null(mkdtemp(bed->directory));
	assert_int_equal(chmod(bed->directory, 0711), 0);
	bed->params = (struct fabric_params){ .node_tag = "1a2b", .directory = bed->directory };
	if (find_cgroup(bed))
		bed->params.cgroup = bed->cgroup;
	bed->network = (struct fabric_network){
		.uid = NETWORK_UID, .name = "blue", .index = 0, .ipv4 = ipv4("10.231.0.1"), .ipv4_prefix = 24,
		.ipv6 = ipv6("fd23:1::1"), .ipv6_prefix = 64, .has_nat = true, .has_dhcp = true,
	};
	assert_ok(fabric_bridge.open(&bed->params, &bed->driver, &err));
	*state = bed;
	return 0;
}

static inline int testbed_down(void **state)
{
	struct testbed *bed = *state;
	struct err err = { 0 };
	int r;

	if (!bed)
		return 0;
	enter(bed->host_ns);
	r = fabric_bridge.clear(bed->driver, &err);
	fabric_bridge.close(bed->driver);
	if (r == 0)
		r = file_remove_tree(bed->directory, &err);
	if (r == 0 && bed->cgroup[0] && rmdir(bed->cgroup) < 0)
		r = err_set(&err, -errno, "remove cgroup %s: %m", bed->cgroup);
	if (r < 0)
		print_message("tear-down: %s\n", err.msg);
	close(bed->host_ns);
	free(bed);
	return r;
}

static inline struct testbed *testbed(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* The number is the last byte of every address of the guest. */
static inline struct fabric_nic testbed_nic(const char *hostname, unsigned number)
{
	auto_free char *v4 = text_format("10.231.0.%u", number), *v6 = text_format("fd23:1::%x", number);

	return (struct fabric_nic){
		.instance = hostname, .hostname = hostname, .network = NETWORK_UID, .number = number,
		.mac = { 0x52, 0x54, 0, 0, 0, (uint8_t)number }, .ipv4 = ipv4(v4), .ipv6 = ipv6(v6),
	};
}

/* Waits until the socket has something to read; fails the test when nothing comes. */
static inline void wait_readable(int fd)
{
	assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, TESTBED_WAIT_MS), 1);
}

/* The pid in dnsmasq's pid file. */
static inline int dnsmasq_pid(const struct testbed *bed)
{
	auto_free char *path = text_format("%s/dnsmasq/s%sb0/pid", bed->directory, bed->params.node_tag);
	auto_str struct str text = { 0 };

	assert_ok(file_read_all(path, 64, &text, &err));
	return atoi(str_text(&text));
}

#endif

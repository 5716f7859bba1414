#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "driver/pages/udp/peers.h"
#include "port/pages_conformance.h"

static uint64_t real_now(void *data)
{
	(void)data;
	return pages_now_ns();
}

static void real_wait(void *data, unsigned ms)
{
	(void)data;
	nanosleep(&(struct timespec){ .tv_nsec = (long)ms * 1000000 }, NULL);
}

static union pages_address address(const char *text)
{
	union pages_address parsed;
	struct err err;

	assert_int_equal(pages_address_parse(text, &parsed, &err), 0);
	return parsed;
}

static void run_conformance(const struct pages_ops *ops, const char *const addresses[3], const char *group, bool to_peers)
{
	struct pages_conformance conformance = { .ops = ops, .now_ns = real_now, .wait_ms = real_wait };
	struct pages_params *params[] = { &conformance.nodes[0], &conformance.nodes[1], &conformance.stranger };
	struct err err;

	for (uint8_t i = 0; i < 3; i++) {
		*params[i] = (struct pages_params){ .node = { (uint8_t)(i + 1) }, .key = { i < 2 ? 1 : 2 }, .bind = address(addresses[i]) };
		if (group)
			params[i]->group = address(group);
		conformance.peers[i].node[0] = (uint8_t)(i + 1);
		if (to_peers)
			conformance.peers[i].address = params[i]->bind;
	}
	if (pages_conformance(&conformance, &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_unicast(void **state)
{
	static const char *const addresses[] = { "127.0.0.1:17474", "127.0.0.2:17474", "127.0.0.3:17474" };

	(void)state;
	run_conformance(&pages_udp, addresses, NULL, true);
}

static bool has_ipv6(void)
{
	FILE *file = fopen("/proc/net/if_inet6", "re");
	int first = file ? fgetc(file) : EOF;

	if (file)
		fclose(file);
	return first != EOF;
}

static void test_unicast_ipv6(void **state)
{
	static const char *const addresses[] = { "[::1]:17475", "[::1]:17476", "[::1]:17477" };

	(void)state;
	if (!has_ipv6()) {
		print_message("this host has no IPv6\n");
		skip();
	}
	run_conformance(&pages_udp, addresses, NULL, true);
}

/* Three hosts: network namespaces, each with a veth pair to a bridge. */

static const char *const make_hosts =
	"set -e; ip link add tbridge type bridge mcast_snooping 0; ip link set tbridge up\n"
	"for i in 1 2 3; do\n"
	"	ip netns add telemetry$i; ip link add tele$i type veth peer name eth0 netns telemetry$i\n"
	"	ip link set tele$i master tbridge up; ip -n telemetry$i addr add 10.99.0.$i/24 dev eth0\n"
	"	ip -n telemetry$i addr add fd99::$i/64 dev eth0 nodad 2>/dev/null || :\n"
	"	ip -n telemetry$i link set eth0 up; ip -n telemetry$i link set lo up\n"
	"done";
static const char *const remove_hosts = "for i in 1 2 3; do ip netns del telemetry$i; done 2>/dev/null; ip link del tbridge 2>/dev/null";

/* Opened in the namespace of its node: sockets stay where they were made. */
static int open_in_namespace(const struct pages_params *params, struct pages_driver **ret_driver, struct err *err)
{
	auto_free char *path = text_format("/run/netns/telemetry%u", params->node[0] ? params->node[0] : 1);
	auto_close int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), there = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	assert_true(here >= 0 && there >= 0);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	r = pages_udp.open(params, ret_driver, err);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	return r;
}

static void test_namespaces(void **state)
{
	static const char *const addresses[] = { "10.99.0.1", "10.99.0.2", "10.99.0.3" };
	static const char *const ipv6_addresses[] = { "fd99::1", "fd99::2", "fd99::3" };
	struct pages_ops ops = pages_udp;

	(void)state;
	if (!getenv("STRATA_IN_SANDBOX")) {
		print_message("makes network namespaces: run it in tools/sandbox\n");
		skip();
	}
	assert_true(system(make_hosts) == 0);
	ops.open = open_in_namespace;
	run_conformance(&ops, addresses, NULL, true);
	run_conformance(&ops, addresses, "239.83.84.1", false);
	if (has_ipv6())
		run_conformance(&ops, ipv6_addresses, "ff05::5354", false);
	assert_true(system(remove_hosts) == 0);
}

/* What comes from outside */

static struct page *page_with(uint8_t node, uint64_t stamp_ns, uint16_t instances)
{
	struct page *page = alloc(sizeof(*page));

	page->host = (struct page_host){ .node = { node }, .boot = { 1 }, .cpus = 1, .stamp_ns = stamp_ns, .wall_ms = (int64_t)(stamp_ns / 1000000) };
	page->instance_count = instances;
	for (unsigned i = 0; i < instances; i++)
		page->instances[i].memory_bytes = stamp_ns + i;
	page_seal(page);
	return page;
}

static const uint8_t key[PAGES_KEY_BYTES] = { 1 }, other_key[PAGES_KEY_BYTES] = { 2 };

static int decode(const uint8_t *bytes, size_t size)
{
	struct datagram datagram;
	struct err err;

	return datagram_decode(bytes, size, key, &datagram, &err);
}

static void test_authentic(void **state)
{
	auto_free struct page *page = page_with(1, 1000, 100);
	uint8_t bytes[DATAGRAM_BYTES];

	(void)state;
	assert_int_equal(datagram_parts(100), 4);
	for (unsigned part = 0; part < 4; part++) {
		size_t size = datagram_encode(page, part, 2000, key, bytes);

		assert_in_range(size, 1, DATAGRAM_BYTES);
		assert_int_equal(decode(bytes, size), 0);
		assert_int_equal(decode(bytes, size - 1), -EBADMSG);
		/* Whichever byte is another, it is refused. */
		for (size_t i = 0; i < size; i++) {
			bytes[i] ^= 0x10;
			assert_true(decode(bytes, size) < 0);
			bytes[i] ^= 0x10;
		}
		assert_int_equal(decode(bytes, size), 0);
	}
	assert_int_equal(decode(bytes, datagram_encode(page, 0, 2000, other_key, bytes)), -EACCES);
}

/* With the key, and wrong all the same. */
static void test_impossible(void **state)
{
	auto_free struct page *page = page_with(1, 1000, 3);
	uint8_t bytes[DATAGRAM_BYTES];

	(void)state;
	page->host.busy_permille = 1001;
	assert_int_equal(decode(bytes, datagram_encode(page, 0, 0, key, bytes)), -EBADMSG);
	page->host.busy_permille = 1000;
	assert_int_equal(decode(bytes, datagram_encode(page, 0, 0, key, bytes)), 0);
	page->host.cpus = 0;
	assert_int_equal(decode(bytes, datagram_encode(page, 0, 0, key, bytes)), -EBADMSG);
}

static enum peers_verdict take_part(struct peers *peers, const struct page *page, unsigned part, uint64_t sent_ns, uint64_t now_ns)
{
	uint8_t bytes[DATAGRAM_BYTES];
	size_t size = datagram_encode(page, part, sent_ns, key, bytes);
	struct datagram datagram;
	struct err err;

	assert_int_equal(datagram_decode(bytes, size, key, &datagram, &err), 0);
	return peers_take(peers, &datagram, now_ns);
}

static uint64_t read_age(const struct peers *peers, uint64_t now_ns, struct page *ret_page)
{
	static const uint8_t node[PAGE_UID_BYTES] = { 1 };
	uint64_t age_ms;
	struct err err;

	assert_int_equal(peers_read(peers, node, PAGES_ALL, now_ns, ret_page, &age_ms, &err), 0);
	return age_ms;
}

static void set_peer(struct peers *peers)
{
	static const uint8_t own[PAGE_UID_BYTES] = { 9 };
	struct pages_peer wanted[] = { { .node = { 9 } }, { .node = { 1 } }, { .node = { 1 } } };

	peers_set(peers, wanted, ARRAY_COUNT(wanted), own);
}

static void test_replay(void **state)
{
	auto_free struct page *first = page_with(1, 1000000, 60), *second = page_with(1, 2000000, 60), *rebooted = page_with(1, 500000, 0);
	auto_free struct page *stranger = page_with(2, 1000000, 0), *seen = alloc(sizeof(*seen));
	struct peers peers = { 0 };

	(void)state;
	set_peer(&peers);
	assert_int_equal(peers_take(&peers, &(struct datagram){ .head.node = { 9 } }, 1), PEER_STRANGER);
	assert_int_equal(take_part(&peers, stranger, 0, 1, 1), PEER_STRANGER);
	assert_int_equal(take_part(&peers, first, 0, 1, 1), PEER_TAKEN);
	assert_int_equal(take_part(&peers, first, 0, 1, 1), PEER_REPLAYED);
	assert_int_equal(take_part(&peers, first, 2, 1, 1), PEER_TAKEN);	/* In any order. */
	read_age(&peers, 1, seen);
	assert_int_equal(seen->instance_count, 0);				/* Not before all are there. */
	assert_int_equal(take_part(&peers, first, 1, 1, 1), PEER_TAKEN);
	read_age(&peers, 1, seen);
	assert_int_equal(seen->instance_count, 60);
	assert_int_equal(seen->instances[59].memory_bytes, 1000059);

	/* A newer page whose last part is lost: its host's part counts, and the table stays that of the page before. */
	assert_int_equal(take_part(&peers, second, 0, 1, 1), PEER_TAKEN);
	assert_int_equal(take_part(&peers, first, 0, 1, 1), PEER_REPLAYED);
	assert_int_equal(take_part(&peers, second, 1, 1, 1), PEER_TAKEN);
	read_age(&peers, 1, seen);
	assert_int_equal(seen->host.stamp_ns, 2000000);
	assert_int_equal(seen->instances[59].memory_bytes, 1000059);
	set_peer(&peers);							/* Who stays is not disturbed. */
	read_age(&peers, 1, seen);
	assert_int_equal(seen->host.stamp_ns, 2000000);

	/* Another boot: by the wall clock. */
	rebooted->host.boot[0] = 2;
	assert_int_equal(take_part(&peers, rebooted, 0, 1, 1), PEER_REPLAYED);
	rebooted->host.wall_ms = 3;
	assert_int_equal(take_part(&peers, rebooted, 0, 1, 1), PEER_TAKEN);
	assert_int_equal(take_part(&peers, second, 2, 1, 1), PEER_REPLAYED);
	peers_done(&peers);
}

#define MS 1000000ull

/* The peer's clock is 1000 s ahead; its datagrams need 1 ms, but one is held back for 300 ms. */
static void test_held_back(void **state)
{
	auto_free struct page *page = page_with(1, 1000000 * MS, 0), *seen = alloc(sizeof(*seen));
	struct peers peers = { 0 };
	uint64_t now = 5000 * MS;

	(void)state;
	set_peer(&peers);
	for (int i = 0; i < 20; i++, now += 100 * MS, page->host.stamp_ns += 100 * MS) {
		uint64_t held = i == 10 ? 300 * MS : 0;

		assert_int_equal(take_part(&peers, page, 0, page->host.stamp_ns + 2 * MS, now + 1 * MS + held), PEER_TAKEN);
		assert_int_equal(read_age(&peers, now + 1 * MS + held, seen), (2 * MS + held) / MS);
		assert_int_equal(read_age(&peers, now + 500 * MS, seen), 501);
	}
	peers_done(&peers);
}

static void test_in_use(void **state)
{
	struct page_shared shared;
	struct pages_driver *one, *two;
	struct err err;

	(void)state;
	assert_int_equal(page_shared_create(&shared, &err), 0);
	struct pages_params params = { .own = shared.page, .node = { 1 }, .key = { 1 }, .bind = address("127.0.0.1:17478") };

	assert_int_equal(pages_udp.open(&params, &one, &err), 0);
	assert_int_equal(pages_udp.open(&params, &two, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "17478"));
	/* Nothing is published before it was written. */
	assert_int_equal(pages_udp.publish(one, &err), -ENODATA);
	params.group = address("10.0.0.1");
	params.bind = address("127.0.0.1:17479");
	assert_int_equal(pages_udp.open(&params, &two, &err), -EINVAL);
	pages_udp.close(one);
	page_shared_close(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unicast), cmocka_unit_test(test_unicast_ipv6), cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_authentic), cmocka_unit_test(test_impossible), cmocka_unit_test(test_replay),
		cmocka_unit_test(test_held_back), cmocka_unit_test(test_in_use),
	};

	return cmocka_run_group_tests_name("pages udp", tests, NULL, NULL);
}

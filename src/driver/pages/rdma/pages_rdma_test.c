/*
 * The conformance of the RDMA driver needs a device: tests/system/telemetry_rdma.sh runs this program in a guest that has
 * one of software, with STRATA_TEST_RDMA=ADDRESS. Everywhere else what needs none is tested.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "driver/pages/rdma/hello.h"
#include "port/pages_conformance.h"

static const char *device_address(void)
{
	const char *address = getenv("STRATA_TEST_RDMA");

	if (!address) {
		print_message("no RDMA device: see tests/system/telemetry_rdma.sh\n");
		skip();
	}
	return address;
}

static union pages_address address_at(const char *address, unsigned port)
{
	auto_free char *text = text_format("%s:%u", address, port);
	union pages_address parsed;
	struct err err;

	assert_int_equal(pages_address_parse(text, &parsed, &err), 0);
	return parsed;
}

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

static void test_conformance(void **state)
{
	const char *address = device_address();
	struct pages_conformance conformance = { .ops = &pages_rdma, .now_ns = real_now, .wait_ms = real_wait };
	struct pages_params *params[] = { &conformance.nodes[0], &conformance.nodes[1], &conformance.stranger };
	struct err err;

	(void)state;
	for (uint8_t i = 0; i < 3; i++) {
		*params[i] = (struct pages_params){ .node = { (uint8_t)(i + 1) }, .key = { i < 2 ? 1 : 2 }, .bind = address_at(address, 17474 + i) };
		conformance.peers[i] = (struct pages_peer){ .node = { (uint8_t)(i + 1) }, .address = params[i]->bind };
	}
	if (pages_conformance(&conformance, &err) < 0)
		fail_msg("%s", err.msg);
}

enum { OWNER_PORT = 17484, READER_PORT = 17485, ROUNDS = 200, WAITS = 3000 };

static const uint8_t owner_uid[PAGE_UID_BYTES] = { 1 }, reader_uid[PAGE_UID_BYTES] = { 2 };

static struct pages_driver *open_one(const char *address, const struct page *own, bool is_owner)
{
	struct pages_params params = { .own = own, .key = { 1 }, .bind = address_at(address, is_owner ? OWNER_PORT : READER_PORT) };
	struct pages_peer other = { .address = address_at(address, is_owner ? READER_PORT : OWNER_PORT) };
	struct pages_driver *driver;
	struct err err;

	memcpy(params.node, is_owner ? owner_uid : reader_uid, PAGE_UID_BYTES);
	memcpy(other.node, is_owner ? reader_uid : owner_uid, PAGE_UID_BYTES);
	if (pages_rdma.open(&params, &driver, &err) < 0 || pages_rdma.set_peers(driver, &other, 1, &err) < 0)
		fail_msg("%s", err.msg);
	return driver;
}

/*
 * A process of its own that owns the page: from its first SIGCONT until it is killed. It is made before any other driver is open:
 * the libraries are not for both sides of a fork.
 */
static pid_t prepare_owner(const char *address, const struct page *own)
{
	pid_t child = fork();

	if (child == 0) {
		raise(SIGSTOP);
		open_one(address, own, true);
		for (;;)
			pause();
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
	return child;
}

static void write_number(struct page *shared, uint32_t number)
{
	static struct page page;

	page.host = (struct page_host){ .boot = { 1 }, .cpus = 1, .run_queue = number, .stamp_ns = pages_now_ns() };
	memcpy(page.host.node, owner_uid, PAGE_UID_BYTES);
	page_seal(&page);
	page_write(shared, &page);
}

/* Until the page with that number is read; a read that takes too long says what was seen before. */
static void wait_number(struct pages_driver *reader, uint32_t number, unsigned wait_ms)
{
	static struct page seen;
	uint64_t age_ms;
	struct err err;

	for (int i = 0; i < WAITS; i++) {
		if (pages_rdma.read(reader, owner_uid, PAGES_HOST, &seen, &age_ms, &err) == 0 && seen.host.run_queue == number)
			return;
		if (wait_ms)
			real_wait(NULL, wait_ms);
	}
	fail_msg("page %u was waited for in vain", number);
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* Between two processes. The owner's CPU has no part in it: it is stopped, and what comes into its page is read all the same. */
static void test_one_sided(void **state)
{
	const char *address = device_address();
	struct page_shared shared, own;
	struct pages_driver *reader;
	uint64_t spent[ROUNDS];
	struct err err;
	pid_t owner, next_owner;

	(void)state;
	assert_int_equal(page_shared_create(&shared, &err), 0);
	assert_int_equal(page_shared_create(&own, &err), 0);
	owner = prepare_owner(address, shared.page);
	next_owner = prepare_owner(address, shared.page);
	assert_int_equal(kill(owner, SIGCONT), 0);
	reader = open_one(address, own.page, false);
	write_number(shared.page, 1000);
	wait_number(reader, 1000, 10);

	assert_int_equal(kill(owner, SIGSTOP), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t begin;

		write_number(shared.page, i);
		begin = clock_monotonic_ns();
		wait_number(reader, i, 0);
		spent[i] = clock_monotonic_ns() - begin;
	}
	qsort(spent, ROUNDS, sizeof(spent[0]), compare);
	print_message("a read: median %llu us\n", (unsigned long long)spent[ROUNDS / 2] / 1000);

	/* It dies, and comes again: so does the connection. */
	assert_int_equal(kill(owner, SIGKILL), 0);
	assert_int_equal(waitpid(owner, NULL, 0), owner);
	assert_int_equal(kill(next_owner, SIGCONT), 0);
	write_number(shared.page, 2000);
	wait_number(reader, 2000, 10);
	assert_int_equal(kill(next_owner, SIGKILL), 0);
	assert_int_equal(waitpid(next_owner, NULL, 0), next_owner);
	pages_rdma.close(reader);
	page_shared_close(&shared);
	page_shared_close(&own);
}

static void test_no_device(void **state)
{
	struct page_shared shared;
	struct pages_driver *driver;
	struct err err = { 0 };

	(void)state;
	if (getenv("STRATA_TEST_RDMA"))
		skip();
	assert_int_equal(page_shared_create(&shared, &err), 0);
	struct pages_params params = { .own = shared.page, .node = { 1 }, .key = { 1 }, .bind = address_at("127.0.0.1", 17474) };
	int r = pages_rdma.open(&params, &driver, &err);

	if (r == 0) {
		pages_rdma.close(driver);
		page_shared_close(&shared);
		skip();					/* This host has one. */
	}
	print_message("%s\n", err.msg);
	assert_int_equal(r, -ENODEV);
	assert_non_null(strstr(err.msg, "RDMA"));
	page_shared_close(&shared);
}

static void test_hello(void **state)
{
	static const uint8_t key[PAGES_KEY_BYTES] = { 1 }, other_key[PAGES_KEY_BYTES] = { 2 }, from[PAGE_UID_BYTES] = { 3 }, to[PAGE_UID_BYTES] = { 4 };
	struct hello_question question, seen, other;
	struct hello_answer answer = { .remote_key = 7, .address = 8, .now_ns = 9 }, answer_seen;
	uint8_t padded[92] = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(hello_ask(key, from, to, &question, &err), 0);
	assert_int_equal(hello_ask(key, from, to, &other, &err), 0);
	assert_memory_not_equal(question.nonce, other.nonce, sizeof(other.nonce));
	memcpy(padded, &question, sizeof(question));
	assert_int_equal(hello_check_question(padded, sizeof(padded), key, to, &seen, &err), 0);
	assert_memory_equal(seen.from, from, sizeof(from));
	assert_int_equal(hello_check_question(padded, sizeof(question) - 1, key, to, &seen, &err), -EBADMSG);
	assert_int_equal(hello_check_question(padded, sizeof(padded), key, from, &seen, &err), -EACCES);
	assert_int_equal(hello_check_question(padded, sizeof(padded), other_key, to, &seen, &err), -EACCES);
	for (size_t i = 0; i < sizeof(question); i++) {
		padded[i] ^= 4;
		assert_true(hello_check_question(padded, sizeof(padded), key, to, &seen, &err) < 0);
		padded[i] ^= 4;
	}
	hello_answer(key, &question, &answer);
	assert_int_equal(hello_check_answer(&answer, sizeof(answer), key, &question, &answer_seen, &err), 0);
	assert_int_equal(answer_seen.remote_key, 7);
	/* To another question it is none. */
	assert_int_equal(hello_check_answer(&answer, sizeof(answer), key, &other, &answer_seen, &err), -EACCES);
	assert_int_equal(hello_check_answer(&answer, sizeof(answer) - 1, key, &question, &answer_seen, &err), -EBADMSG);
	answer.address++;
	assert_int_equal(hello_check_answer(&answer, sizeof(answer), key, &question, &answer_seen, &err), -EACCES);
}

int main(void)
{
	/* Processes are made before this one has opened the libraries. */
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hello), cmocka_unit_test(test_no_device), cmocka_unit_test(test_one_sided),
					    cmocka_unit_test(test_conformance) };

	return cmocka_run_group_tests_name("pages rdma", tests, NULL, NULL);
}

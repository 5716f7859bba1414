#include "port/page.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

/* All that a page says follows from its number, so that a mixture of two is seen. */
static void fill(struct page *page, uint64_t number)
{
	page->host = (struct page_host){ .cpus = 4, .stamp_ns = number, .wall_ms = (int64_t)number, .run_queue = (uint32_t)number,
					 .nic_backlog_bytes = number };
	page->instance_count = (uint16_t)(number % (PAGE_INSTANCES_MAX + 1));
	for (unsigned i = 0; i < page->instance_count; i++)
		page->instances[i] = (struct page_instance){ .cpu_ns = number + i };
	page_seal(page);
}

static bool is_of_one_piece(const struct page *page)
{
	uint64_t number = page->host.stamp_ns;

	for (unsigned i = 0; i < page->instance_count; i++)
		if (page->instances[i].cpu_ns != number + i)
			return false;
	return page->host.nic_backlog_bytes == number && page->instance_count == number % (PAGE_INSTANCES_MAX + 1);
}

static void test_check(void **state)
{
	auto_free struct page *page = alloc(sizeof(*page));
	struct err err;

	(void)state;
	fill(page, 3);
	assert_int_equal(page_check(page, sizeof(*page), &err), 0);
	assert_int_equal(page_check(page, page->size, &err), 0);
	assert_int_equal(page_check(page, page->size - 1, &err), -EBADMSG);
	assert_int_equal(page_check(page, 0, &err), -EBADMSG);
	for (size_t i = offsetof(struct page, checksum); i < page->size; i++) {
		((uint8_t *)page)[i] ^= 1;
		assert_int_equal(page_check(page, sizeof(*page), &err), -EBADMSG);
		((uint8_t *)page)[i] ^= 1;
	}
	page->version = PAGE_VERSION + 1;
	assert_int_equal(page_check(page, sizeof(*page), &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "run the same strata on all hosts"));
}

static void test_uid(void **state)
{
	static const char *const wrong[] = { "", "01234567-89ab-4cde-8f01-23456789abc", "01234567-89ab-4cde-8f01-23456789abcde",
					     " 1234567-89ab-4cde-8f01-23456789abcd", "-1234567-89ab-4cde-8f01-23456789abcd",
					     "0x234567-89ab-4cde-8f01-23456789abcd", "0123456789ab4cde8f0123456789abcd" };
	uint8_t uid[PAGE_UID_BYTES];
	char text[PAGE_UID_TEXT_SIZE];
	struct err err;

	(void)state;
	assert_int_equal(page_uid_parse("01234567-89ab-4CDE-8f01-23456789abcd", uid, &err), 0);
	assert_int_equal(uid[6], 0x4c);
	assert_string_equal(page_uid_text(uid, text), "01234567-89ab-4cde-8f01-23456789abcd");
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_int_equal(page_uid_parse(wrong[i], uid, &err), -EINVAL);
}

static void test_nothing_yet(void **state)
{
	auto_free struct page *seen = alloc(sizeof(*seen)), *value = alloc(sizeof(*value));
	struct page_shared shared;
	struct err err;

	(void)state;
	assert_int_equal(page_shared_create(&shared, &err), 0);
	assert_int_equal(page_read(shared.page, seen), -ENODATA);
	assert_int_equal(page_read_host(shared.page, &seen->host), -ENODATA);
	/* The writer died while it wrote; the next one takes over. */
	shared.page->sequence = 7;
	assert_int_equal(page_read(shared.page, seen), -EAGAIN);
	fill(value, 5);
	page_write(shared.page, value);
	assert_int_equal(page_read(shared.page, seen), 0);
	assert_true(is_of_one_piece(seen));
	assert_int_equal(page_check(seen, sizeof(*seen), &err), 0);
	page_shared_close(&shared);
	page_shared_close(&shared);
}

enum { WRITES = 20000 };

static void *write_pages(void *data)
{
	auto_free struct page *value = alloc(sizeof(*value));

	for (uint64_t number = 1; number <= WRITES; number++) {
		fill(value, number);
		page_write(data, value);
	}
	return NULL;
}

/* Until the last page is seen. Returns whether all was of one piece and never went back. */
static bool read_pages(const struct page *shared)
{
	auto_free struct page *seen = alloc(sizeof(*seen));
	uint64_t last = 0;

	while (last < WRITES) {
		struct page_host host;
		int r = page_read(shared, seen);

		if (r == -ENODATA || r == -EAGAIN)
			continue;
		if (r < 0 || seen->host.stamp_ns < last || !is_of_one_piece(seen))
			return false;
		if (page_read_host(shared, &host) == 0 && (host.stamp_ns < seen->host.stamp_ns || host.nic_backlog_bytes != host.stamp_ns))
			return false;
		last = seen->host.stamp_ns;
	}
	return true;
}

/* Another process maps it by its descriptor, without the right to write. */
static void read_in_child(int fd)
{
	const struct page *page;
	struct err err;

	if (page_shared_map(fd, &page, &err) < 0)
		_exit(2);
	_exit(read_pages(page) ? 0 : 1);
}

static void test_one_writer_many_readers(void **state)
{
	struct page_shared shared;
	pthread_t writer;
	struct err err;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(page_shared_create(&shared, &err), 0);
	child = fork();
	if (child == 0)
		read_in_child(shared.fd);
	assert_int_equal(pthread_create(&writer, NULL, write_pages, shared.page), 0);
	assert_true(read_pages(shared.page));
	pthread_join(writer, NULL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	page_shared_close(&shared);
}

static void test_map_refuses(void **state)
{
	auto_close int fd = memfd_create("small", MFD_CLOEXEC);
	const struct page *page;
	struct err err;

	(void)state;
	assert_int_equal(page_shared_map(fd, &page, &err), -EBADMSG);
	assert_true(page_shared_map(-1, &page, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check), cmocka_unit_test(test_uid), cmocka_unit_test(test_nothing_yet),
		cmocka_unit_test(test_one_writer_many_readers), cmocka_unit_test(test_map_refuses),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}

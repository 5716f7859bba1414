#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

/* Examples of FIPS 180-2, appendix B. */
#define SUM_OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SUM_OF_MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void test_parts_give_the_sum_of_the_whole(void **state)
{
	auto_sha256 struct sha256 sha256 = { 0 };
	char text[SHA256_TEXT_SIZE];

	(void)state;
	sha256_init(&sha256);
	sha256_update(&sha256, "a", 1);
	sha256_update(&sha256, "", 0);
	sha256_update(&sha256, "bc", 2);
	sha256_finish(&sha256, text);
	assert_string_equal(text, SUM_OF_ABC);
}

static void test_file_is_summed_from_its_beginning(void **state)
{
	auto_close int fd = memfd_create("sum", MFD_CLOEXEC);
	auto_free char *million = alloc(1000000);
	const bool is_cancelled = true;
	char text[SHA256_TEXT_SIZE];
	struct err err;

	(void)state;
	memset(million, 'a', 1000000);
	assert_int_equal(write(fd, million, 1000000), 1000000);		/* The position is now at the end. */
	assert_int_equal(sha256_file(fd, NULL, text, &err), 0);
	assert_string_equal(text, SUM_OF_MILLION_A);
	assert_int_equal(sha256_file(fd, &is_cancelled, text, &err), -ECANCELED);
	assert_int_equal(sha256_file(-1, NULL, text, &err), -EBADF);
}

static void test_sums_are_recognised(void **state)
{
	(void)state;
	assert_true(sha256_is_text(SUM_OF_ABC));
	assert_false(sha256_is_text(SUM_OF_ABC "0"));
	assert_false(sha256_is_text("ba78"));
	assert_false(sha256_is_text(""));
	assert_false(sha256_is_text("za7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_give_the_sum_of_the_whole),
		cmocka_unit_test(test_file_is_summed_from_its_beginning),
		cmocka_unit_test(test_sums_are_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

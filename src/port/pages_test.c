#include "port/pages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static const char *parsed(const char *text)
{
	static char shown[80];
	char host[INET6_ADDRSTRLEN];
	union pages_address address;
	struct err err;

	if (pages_address_parse(text, &address, &err) < 0)
		return err.code == -EINVAL ? "EINVAL" : "other";
	if (address.any.sa_family == AF_INET)
		inet_ntop(AF_INET, &address.ipv4.sin_addr, host, sizeof(host));
	else
		inet_ntop(AF_INET6, &address.ipv6.sin6_addr, host, sizeof(host));
	snprintf(shown, sizeof(shown), "%s %u", host, ntohs(address.ipv4.sin_port));
	return shown;
}

static void test_address(void **state)
{
	static const char *const wrong[] = { "", ":", "host", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:7x", "10.0.0.1:-1",
					     "[fd00::1", "[fd00::1]7", "[fd00::1]:", "10.0.0.256", "[10.0.0.1]x", "10.0.0.1:1:1",
					     "1111111111111111111111111111111111111111111111111111111111111111111111111111" };

	(void)state;
	assert_string_equal(parsed("10.0.0.1"), "10.0.0.1 7474");
	assert_string_equal(parsed("10.0.0.1:9"), "10.0.0.1 9");
	assert_string_equal(parsed("fd00::1"), "fd00::1 7474");
	assert_string_equal(parsed("[fd00::1]"), "fd00::1 7474");
	assert_string_equal(parsed("[fd00::1]:65535"), "fd00::1 65535");
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_string_equal(parsed(wrong[i]), "EINVAL");
}

#define S 1000000000ull
#define MS 1000000ull

static void test_clock(void **state)
{
	struct pages_clock clock = { 0 };

	(void)state;
	/* The peer booted later: its clock is 100 s behind. Least transit 1 ms. */
	pages_clock_note(&clock, 1000 * S + 5 * MS, 900 * S);
	assert_int_equal(pages_clock_age_ns(&clock, 1000 * S + 5 * MS, 900 * S), 0);
	pages_clock_note(&clock, 1001 * S + 1 * MS, 901 * S);
	pages_clock_note(&clock, 1002 * S + 9 * MS, 902 * S);
	assert_int_equal(pages_clock_age_ns(&clock, 1002 * S + 9 * MS, 902 * S), 8 * MS);
	/* Never negative: a stamp that was not noted. */
	assert_int_equal(pages_clock_age_ns(&clock, 1002 * S, 950 * S), 0);
	/* Its crystal is slower by 100 parts in a million: the estimate follows within two windows. */
	for (uint64_t second = 0; second < 3600; second++)
		pages_clock_note(&clock, (1003 + second) * S + 1 * MS + second * MS / 10, (903 + second) * S);
	assert_in_range(pages_clock_age_ns(&clock, 4602 * S + 1 * MS + 3599 * MS / 10, 4502 * S), 0, 7 * MS);
	/* After hours of silence, in which it drifted, the next stamp counts and no old one. */
	pages_clock_note(&clock, 20000 * S + 5 * S, 19900 * S);
	assert_int_equal(pages_clock_age_ns(&clock, 20000 * S + 5 * S, 19900 * S), 0);
	/* Whatever others write: nothing overflows. */
	clock = (struct pages_clock){ 0 };
	pages_clock_note(&clock, 200 * S, UINT64_C(1) << 63);
	pages_clock_age_ns(&clock, 200 * S, 1);
	assert_int_equal(pages_clock_age_ns(&clock, 200 * S, UINT64_C(1) << 63), 0);
}

static void test_later(void **state)
{
	struct page_host old = { .boot = { 1 }, .stamp_ns = 10, .wall_ms = 10 }, host = old;

	(void)state;
	assert_false(pages_is_later(&host, &old));
	host.wall_ms = 11;
	assert_false(pages_is_later(&host, &old));
	host.stamp_ns = 11;
	host.wall_ms = 1;		/* The administrator set it back. */
	assert_true(pages_is_later(&host, &old));
	host.boot[0] = 2;
	assert_false(pages_is_later(&host, &old));
	host.stamp_ns = 1;
	host.wall_ms = 11;
	assert_true(pages_is_later(&host, &old));
}

/* RFC 4231, test case 1 has a key of 20 bytes; zeros behind it are no other key. */
static void test_mac(void **state)
{
	uint8_t key[PAGES_KEY_BYTES], mac[PAGES_MAC_BYTES];
	static const uint8_t right[] = { 0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b,
					 0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7 };

	(void)state;
	memset(key, 0, sizeof(key));
	memset(key, 0x0b, 20);
	pages_mac(key, "Hi There", 8, mac);
	assert_memory_equal(mac, right, sizeof(right));
	assert_true(pages_mac_is(key, "Hi There", 8, mac));
	assert_false(pages_mac_is(key, "Hi there", 8, mac));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_address), cmocka_unit_test(test_clock), cmocka_unit_test(test_later),
					    cmocka_unit_test(test_mac) };

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}

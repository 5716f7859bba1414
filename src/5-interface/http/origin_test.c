#include "5-interface/http/origin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"

static void test_there_and_back(void **state)
{
	static const struct { struct peer peer; bool is_tls; const char *text; } cases[] = {
		{ { .uid = 1000, .gid = 100, .pid = 77 }, false, "unix 1000 100 77" },
		{ { .uid = (uid_t)-1, .gid = (gid_t)-1 }, false, "unix 4294967295 4294967295 0" },
		{ { .subject = (char *)(uintptr_t)"alice" }, true, "tls alice" },
		{ { .subject = (char *)(uintptr_t)"4b1a", .is_node = true }, true, "node 4b1a" },
		{ { .is_stranger = true }, true, "join" },
		/* What would end the header, or be two words. */
		{ { .subject = (char *)(uintptr_t)"a b\r\nX: y\xc3\xa9" }, true, "tls a?b??X:?y??" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		auto_str struct str text = { 0 }, again = { 0 };
		struct origin origin, back;
		struct err err;

		origin_of_peer(&cases[i].peer, cases[i].is_tls, &origin);
		origin_write(&origin, &text);
		assert_string_equal(text.data, cases[i].text);
		assert_int_equal(origin_parse(text.data, &back, &err), 0);
		assert_string_equal(back.channel, origin.channel);
		origin_write(&back, &again);
		assert_string_equal(again.data, text.data);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "unix", "unix 1", "unix 1 2", "unix 1 2 3 4", "unix 1 2 -3", "unix 4294967296 2 3", "unix 1 2 2147483648",
		"unix 99999999999999999999 1 1", "unix  1 2 3", "unix 1 2 3 ", "tls", "tls ", "tls a b", "tls a\x01", "tls \xc3\xa9",
		"node", "join x", "join ", "root alice", "unixx 1 2 3", "tl alice", "TLS alice",
		"tls 0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	struct origin origin;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		if (origin_parse(bad[i], &origin, &err) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

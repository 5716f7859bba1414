#include "base/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

/* RFC 4648, section 10. */
static const char *const vectors[][2] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfd", "//79" },
};

static void both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
		auto_str struct str encoded = { 0 }, decoded = { 0 };
		struct err err;

		base64_encode(vectors[i][0], strlen(vectors[i][0]), &encoded);
		assert_string_equal(str_text(&encoded), vectors[i][1]);
		assert_int_equal(base64_decode(vectors[i][1], &decoded, &err), 0);
		assert_string_equal(str_text(&decoded), vectors[i][0]);
	}
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg==Zg==", "Z===", "====", "Zm 9", "Zm9v\n", "Z=9v" };

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		auto_str struct str decoded = { 0 };
		struct err err;

		assert_int_equal(base64_decode(bad[i], &decoded, &err), -EPROTO);
		assert_int_equal(decoded.size, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_ways), cmocka_unit_test(nonsense_is_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "4-service/cluster/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

/* "a b! c": hosts by age, '!' is down. "a b" were members; 'expected' are now. */
static void check(const char *hosts_text, const char *present_text, const char *expected)
{
	auto_free char *hosts_copy = text_copy(hosts_text), *present_copy = text_copy(present_text);
	struct roster_host hosts[8] = { 0 };
	struct roster present = { 0 }, roster;
	auto_str struct str text = { 0 };
	char *rest = hosts_copy, *word;
	size_t count = 0;

	while ((word = strsep(&rest, " ")) && *word) {
		hosts[count] = (struct roster_host){ .uid = word, .created_at = (int64_t)count, .is_up = !strchr(word, '!') };
		word[strcspn(word, "!")] = '\0';
		count++;
	}
	rest = present_copy;
	while ((word = strsep(&rest, " ")) && *word)
		roster_add(&present, word);
	roster_make(hosts, count, &present, &roster);
	for (size_t i = 0; i < roster.uids.count; i++)
		str_printf(&text, "%s%s", i ? " " : "", roster.uids.items[i]);
	assert_string_equal(str_text(&text), expected);
	roster_done(&present);
	roster_done(&roster);
}

static void test_one_or_three(void **state)
{
	(void)state;
	check("a", "a", "a");
	check("a b", "a", "a");
	check("a b c", "a", "a b c");
	check("a b c d", "a", "a b c");
	check("a b c d", "a c d", "a c d");
}

static void test_who_is_down_is_not_chosen_but_stays(void **state)
{
	(void)state;
	check("a b! c", "a", "a");
	check("a b! c d", "a", "a c d");
	check("a b! c d", "a b c", "a b c");
	check("a! b c", "a b c", "a b c");
}

static void test_who_is_removed_is_replaced(void **state)
{
	(void)state;
	check("a c d", "a b c", "a c d");
	check("a c", "a b c", "a");
	check("a! c", "a b c", "c");
	check("a c d!", "a b c", "a");
	check("b", "a b c", "b");
	check("b c d", "a", "b c d");
}

static void test_order_does_not_matter(void **state)
{
	struct roster a = { 0 }, b = { 0 };

	(void)state;
	roster_add(&a, "x");
	roster_add(&a, "y");
	roster_add(&b, "y");
	assert_false(roster_equal(&a, &b));
	roster_add(&b, "x");
	assert_true(roster_equal(&a, &b));
	roster_done(&a);
	roster_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_or_three),
		cmocka_unit_test(test_who_is_down_is_not_chosen_but_stays),
		cmocka_unit_test(test_who_is_removed_is_replaced),
		cmocka_unit_test(test_order_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

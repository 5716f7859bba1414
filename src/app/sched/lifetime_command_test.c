/* strata-sched lifetime: its table, what it may know, and that every broken line is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/sched/sched.h"
#include "base/mem.h"
#include "base/str.h"

static char folder[] = "/tmp/strata-lifetime-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	auto_free char *path = text_format("%s/vms", folder);

	(void)state;
	(void)unlink(path);
	return rmdir(folder);
}

static char *write_file(const char *text)
{
	char *path = text_format("%s/vms", folder);
	auto_fclose FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	return path;
}

static int run(const char *vms, const char *classes, char **ret_text, struct err *err)
{
	auto_free char *path = write_file(vms), *text = NULL;
	size_t size;
	FILE *original = stdout;

	stdout = open_memstream(&text, &size);
	int r = sched_lifetime(&(struct sched_options){ .vms = path, .classes = classes }, err);

	(void)fclose(stdout);
	stdout = original;
	*ret_text = take(text);
	return r;
}

static void fails(const char *vms, const char *classes, const char *message)
{
	auto_free char *text = NULL;
	struct err err = { 0 };

	assert_int_equal(run(vms, classes, &text, &err), -EINVAL);
	if (!strstr(err.msg, message))
		fail_msg("'%s' does not contain '%s'", err.msg, message);
	assert_string_equal(text, "");
}

#define HEADER "vmid,cpu,mem,at,lt\n"
#define ROWS HEADER "0,1,2,0,100\n1,1,2,1,100\n"

static void test_broken_lines_are_named(void **state)
{
	(void)state;
	fails("", NULL, "vms: is empty, a header line is missing");
	fails("vmid,cpu,mem,at\n0,1,2,3\n", NULL, "vms:1: there is no column 'lt'");
	fails(ROWS "2,1,2,3\n", NULL, "vms:4: has 4 fields, the header has 5");
	fails(ROWS "2,1,2,3,-5\n", NULL, "vms:4: lt is '-5': use a number of zero or more");
	fails(ROWS "2,1,2,3,99999999999\n", NULL, "vms:4: lt is '99999999999': use a smaller number");
	fails(ROWS "2,-1,2,3,5\n", NULL, "vms:4: cpu is '-1'");
	fails(ROWS "2,1,x,3,5\n", NULL, "vms:4: mem is 'x'");
	fails(ROWS "2,1,2,3.5,5\n", NULL, "vms:4: at is '3.5': use a whole number");
	fails(ROWS "2,1,2,0,5\n", NULL, "vms:4: arrives before the machine above it: sort by 'at'");
	fails(HEADER "0,1,2,0,100\n", NULL, "vms: 1 machines are too few");
	fails(ROWS, "900,", "--classes '900,'");
	fails(ROWS, "60,30", "bound 30 s of a class: give growing ones");
	fails(ROWS, "9000000000000000000", "of at most 100 years");
	fails(ROWS, "1,2,3,4,5,6", "use at most 5 growing numbers");
}

/* Machine 3 arrives in the second in which machine 1 ends: that is not known yet, so the last value is that of machine 0. */
static void test_only_the_past_is_known(void **state)
{
	auto_free char *text = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(run("cpu,mem,at,lt,image\n1,2,0,10,a\n1,2,5,95,b\n4,8,50,1,\n1,2,100,10,a\n", "60", &text, &err), 0);
	assert_non_null(strstr(text, "instances       4 of 2 flavours"));
	assert_non_null(strstr(text, "classes         to 60 s 75.0%, longer 25.0%\n"));
	assert_non_null(strstr(text, "last value          25.00%       50.00%"));
	assert_non_null(strstr(text, "majority            75.00%      100.00%"));
	assert_non_null(strstr(text, "forecasts       4, rate "));
}

/* What the clock and the past tell is used: every hour a machine of a minute, between them one of two hours. */
static void test_a_rhythm_is_found(void **state)
{
	auto_str struct str rows = { 0 };
	auto_free char *text = NULL;
	struct err err = { 0 };
	double all = 0, second = 0;

	(void)state;
	str_append(&rows, HEADER);
	for (int i = 0; i < 1000; i++)
		str_printf(&rows, "%d,1,2,%d,%d\n", i, 1800 * i, i % 2 ? 7200 : 60);
	assert_int_equal(run(str_text(&rows), NULL, &text, &err), 0);
	const char *found = strstr(text, "forecast ");

	assert_non_null(found);
	assert_int_equal(sscanf(found, "forecast %lf%% %lf%%", &all, &second), 2);
	assert_true(all > 95 && second == 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broken_lines_are_named),
		cmocka_unit_test(test_only_the_past_is_known),
		cmocka_unit_test(test_a_rhythm_is_found),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

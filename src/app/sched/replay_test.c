/* The files that strata-sched reads and writes: every broken line is named, placements are what fgd_eval.py --check reads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/sched/csv.h"
#include "app/sched/sched.h"
#include "base/mem.h"
#include "base/str.h"

static char folder[] = "/tmp/strata-sched-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static const char *const files[] = { "nodes", "arrivals", "out" };

static int remove_folder(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		auto_free char *path = text_format("%s/%s", folder, files[i]);

		(void)unlink(path);
	}
	return rmdir(folder);
}

static char *write_file(const char *name, const char *text)
{
	char *path = text_format("%s/%s", folder, name);
	auto_fclose FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	return path;
}

#define NODES "node_index,sn,cpu_milli,memory_mib,gpu,model\n0,a,8000,1000,2,T4\n1,b,8000,1000,1,A10\n"
#define HEADER "seq,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"

static int replay(const char *nodes, const char *arrivals, const char *policy, struct err *err)
{
	auto_free char *nodes_path = write_file("nodes", nodes), *arrivals_path = write_file("arrivals", arrivals), *out = text_format("%s/out", folder);

	return sched_replay(&(struct sched_options){ .nodes = nodes_path, .arrivals = arrivals_path, .policy = policy, .out = out, .explain = -1 },
			    err);
}

static void test_placements_are_written(void **state)
{
	char text[256] = { 0 };
	auto_free char *path = text_format("%s/out", folder);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(replay(NODES, HEADER "0,1000,100,1,500,\n1,1000,100,1,1000,A10|P100\n2,1000,100,2,1000,\n3,1000,100,0,0,\n"
				"4,100,1,1,400,T4\n5,100,1,1,400,T4\n", "first-fit", &err), 0);
	auto_fclose FILE *file = fopen(path, "re");

	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	assert_string_equal(text, "seq,node_index,gpu_ids\n0,0,0\n1,1,0\n2,-1,\n3,0,\n4,0,0\n5,0,1\n");
}

static void fails(const char *nodes, const char *arrivals, const char *message)
{
	struct err err = { 0 };

	assert_int_equal(replay(nodes, arrivals, NULL, &err), -EINVAL);
	if (!strstr(err.msg, message))
		fail_msg("'%s' does not contain '%s'", err.msg, message);
}

static void test_broken_lines_are_named(void **state)
{
	(void)state;
	fails("", HEADER, "nodes: is empty, a header line is missing");
	fails("node_index,sn,cpu_milli,memory_mib,gpu,model\n", HEADER, "nodes: has no nodes, only a header");
	fails("node_index,sn\n", HEADER, "nodes:1: there is no column 'cpu_milli'");
	fails(NODES "2,c,8000\n", HEADER, "nodes:4: has 3 fields, the header has 6");
	fails(NODES "2,c,-1,1000,1,T4\n", HEADER, "nodes:4: cpu_milli is '-1': use a number of zero or more");
	fails(NODES "2,c,99999999999,1000,1,T4\n", HEADER, "nodes:4: cpu_milli is '99999999999': use a smaller number");
	fails(NODES "3,c,1,1000,1,T4\n", HEADER, "nodes:4: node_index is 3, the rows before it end at 2");
	fails(NODES "2,c,1,1000,99,T4\n", HEADER, "nodes:4: gpu is '99'");
	fails(NODES "2,c,1,1000,1,\n", HEADER, "nodes:4: GPU model '' has no name");
	fails(NODES, HEADER "0,1000,100,2,500,\n", "arrivals:2: 500 thousandths of 2 GPUs: a share is of one GPU");
	fails(NODES, HEADER "0,1000,100,1,0,\n", "arrivals:2: 0 thousandths of a GPU");
	fails(NODES, HEADER "0,1.5,100,0,0,\n", "arrivals:2: cpu_milli is '1.5': use a whole number");
	fails(NODES, HEADER "0,,100,0,0,\n", "arrivals:2: cpu_milli is ''");
	fails(NODES, HEADER "7,1,100,0,0,\n", "arrivals:2: seq is 7, it should be 0");
}

static void test_numbers_with_a_point(void **state)
{
	auto_free char *path = write_file("nodes", "a,b\n194.0,0.125\n1.2345,\n");
	auto_csv struct csv csv = { 0 };
	struct err err = { 0 };
	int64_t value = 0;

	(void)state;
	assert_int_equal(csv_open(&csv, path, &err), 0);
	assert_int_equal(csv_next(&csv, &err), 1);
	assert_int_equal(csv_integer(&csv, 0, 0, 1000, &value, &err), 0);
	assert_int_equal(value, 194);
	assert_int_equal(csv_milli(&csv, 1, 1000, &value, &err), 0);
	assert_int_equal(value, 125);
	assert_int_equal(csv_next(&csv, &err), 1);
	assert_int_equal(csv_milli(&csv, 0, 10000, &value, &err), -EINVAL);
	assert_int_equal(csv_milli(&csv, 1, 10000, &value, &err), -EINVAL);
	assert_int_equal(csv_next(&csv, &err), 0);
}

/* What it prints, for people and for bench/sched.c. */
static long total_wait(const char *vms)
{
	auto_free char *text = NULL;
	size_t size;
	FILE *original = stdout;
	struct err err = { 0 };
	long wait_s = -1;

	stdout = open_memstream(&text, &size);
	int r = sched_vmtrace(&(struct sched_options){ .vms = vms, .servers = 2 }, &err);

	(void)fclose(stdout);
	stdout = original;
	assert_int_equal(r, 0);
	const char *found = strstr(text, "total wait      ");

	assert_non_null(found);
	assert_int_equal(sscanf(found, "total wait %ld s", &wait_s), 1);
	return wait_s;
}

/* Two servers: what waits, waits until the first one leaves; a machine of more than 10 GB takes both halves. */
static void test_waiting_is_summed(void **state)
{
	auto_free char *path = write_file("nodes", "vmid,cpu,mem,at,lt\n0,64,128,0,100\n1,64,128,0,50\n2,64,128,10,5\n3,1,1,20,5\n4,1,1,500,5\n");
	struct err err = { 0 };

	(void)state;
	assert_int_equal(total_wait(path), 40 + 30);
	assert_int_equal(sched_vmtrace(&(struct sched_options){ .vms = path, .servers = 2, .start = 9 }, &err), -EINVAL);
	assert_string_equal(err.msg, "row 9 is beyond the 5 machines of the trace");
	auto_free char *unsorted = write_file("arrivals", "vmid,cpu,mem,at,lt\n0,1,1,10,1\n1,1,1,9,1\n");

	assert_int_equal(sched_vmtrace(&(struct sched_options){ .vms = unsorted, .servers = 2 }, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "arrivals:3: arrives before the machine above it"));
	auto_free char *huge = write_file("out", "vmid,cpu,mem,at,lt\n0,99,128,10,1\n");

	assert_int_equal(sched_vmtrace(&(struct sched_options){ .vms = huge, .servers = 2 }, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "out:2: fits no empty server"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_placements_are_written),
		cmocka_unit_test(test_broken_lines_are_named),
		cmocka_unit_test(test_numbers_with_a_point),
		cmocka_unit_test(test_waiting_is_summed),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

#include "1-hardware/telemetry/host_sampler.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

/* A host as files say it. */
struct host {
	char root[64];
	struct page_shared shared;
	struct host_sampler *sampler;
	struct page seen;
};

static void write_file(const struct host *host, const char *path, const char *text)
{
	auto_free char *whole = text_format("%s%s", host->root, path), *folder = text_copy(whole);
	struct err err;

	*strrchr(folder, '/') = '\0';
	assert_int_equal(file_make_dirs(folder, 0755, &err), 0);
	/* In place, as the kernel's files change: the descriptor stays good. */
	FILE *file = fopen(whole, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static void write_host(const struct host *host)
{
	write_file(host, "/proc/stat", "cpu  100 0 100 700 100 0 0 0 5 0\ncpu0 1 2 3\nintr 1 2 3\nctxt 9\nprocs_running 4\nprocs_blocked 2\n");
	write_file(host, "/proc/loadavg", "0.50 1.25 2.00 4/321 12345\n");
	write_file(host, "/proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n");
	write_file(host, "/proc/pressure/cpu", "some avg10=1.05 avg60=2.00 avg300=3.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	write_file(host, "/proc/pressure/io", "some avg10=99.99 avg60=2.00 avg300=3.00 total=78\nfull avg10=12.30 avg60=0.00 avg300=0.00 total=79\n");
	write_file(host, "/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	write_file(host, "/proc/sys/kernel/random/boot_id", "01234567-89ab-4cde-8f01-23456789abcd\n");
	write_file(host, "/sys/block/sda/device/model", "");
	write_file(host, "/sys/block/sda/stat", "  1 2 10 3 4 5 20 6 7 80 90 1 1 1 1 1 1\n");
	write_file(host, "/sys/block/sdb/device/model", "");
	write_file(host, "/sys/block/sdb/stat", "1 2 100 3 4 5 200 6 1 8 9\n");
	write_file(host, "/sys/block/dm-0/stat", "1 2 10000 3 4 5 10000 6 100 100 100\n");
	write_file(host, "/sys/class/net/eth0/device/vendor", "");
	write_file(host, "/sys/class/net/eth0/statistics/rx_bytes", "11\n");
	write_file(host, "/sys/class/net/eth0/statistics/tx_bytes", "12\n");
	write_file(host, "/sys/class/net/eth0/statistics/rx_packets", "13\n");
	write_file(host, "/sys/class/net/eth0/statistics/tx_packets", "14\n");
	write_file(host, "/sys/class/net/eth0/statistics/rx_dropped", "15\n");
	write_file(host, "/sys/class/net/eth0/statistics/tx_dropped", "16\n");
	write_file(host, "/sys/class/net/eth0/queues/tx-0/byte_queue_limits/inflight", "1500\n");
	write_file(host, "/sys/class/net/eth0/queues/tx-1/byte_queue_limits/inflight", "500\n");
	write_file(host, "/sys/class/net/br0/statistics/rx_bytes", "100000\n");
}

static int set_up(void **state)
{
	struct host *host = alloc(sizeof(*host));
	struct err err;

	snprintf(host->root, sizeof(host->root), "%s", "/tmp/strata-sampler-XXXXXX");
	assert_non_null(mkdtemp(host->root));
	write_host(host);
	assert_int_equal(page_shared_create(&host->shared, &err), 0);
	*state = host;
	return 0;
}

static int tear_down(void **state)
{
	struct host *host = *state;
	struct err err;

	host_sampler_free(host->sampler);
	page_shared_close(&host->shared);
	file_remove_tree(host->root, &err);
	free(host);
	return 0;
}

static void open_sampler(struct host *host)
{
	struct host_sampler_params params = { .root = host->root, .node = { 7 }, .page = host->shared.page };
	struct err err;

	if (host_sampler_new(&params, &host->sampler, &err) < 0)
		fail_msg("%s", err.msg);
}

static void sample(struct host *host)
{
	struct err err;

	host_sampler_sample(host->sampler);
	assert_int_equal(page_read(host->shared.page, &host->seen), 0);
	if (page_check(&host->seen, sizeof(host->seen), &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_values(void **state)
{
	struct host *host = *state;
	const struct page_host *seen = &host->seen.host;

	open_sampler(host);
	sample(host);
	assert_int_equal(seen->node[0], 7);
	assert_int_equal(seen->boot[1], 0x23);
	assert_int_equal(seen->known, PAGE_KNOWS_ALL & ~PAGE_KNOWS_BUSY);
	assert_int_equal(seen->cpus, sysconf(_SC_NPROCESSORS_ONLN));
	assert_int_equal(seen->run_queue, 3);		/* Who reads does not count. */
	assert_int_equal(seen->blocked, 2);
	assert_int_equal(seen->load1_milli, 500);
	assert_int_equal(seen->load5_milli, 1250);
	assert_int_equal(seen->load15_milli, 2000);
	assert_int_equal(seen->cpu.some_avg10, 105);
	assert_int_equal(seen->cpu.some_total_us, 77);
	assert_int_equal(seen->io.some_avg10, 9999);
	assert_int_equal(seen->io.full_avg10, 1230);
	assert_int_equal(seen->io.full_total_us, 79);
	assert_int_equal(seen->memory_total_bytes, 1000 << 10);
	assert_int_equal(seen->memory_available_bytes, 600 << 10);
	assert_int_equal(seen->swap_total_bytes, 50 << 10);
	assert_int_equal(seen->swap_free_bytes, 20 << 10);
	/* Of both disks, and not of what is made of them. */
	assert_int_equal(seen->disk_in_flight, 8);
	assert_int_equal(seen->disk_busy_ms, 88);
	assert_int_equal(seen->disk_wait_ms, 99);
	assert_int_equal(seen->disk_read_bytes, 110 * 512);
	assert_int_equal(seen->disk_written_bytes, 220 * 512);
	assert_int_equal(seen->nic_rx_bytes, 11);
	assert_int_equal(seen->nic_tx_drops, 16);
	assert_int_equal(seen->nic_backlog_bytes, 2000);
	assert_in_range(clock_ns(CLOCK_BOOTTIME) - seen->stamp_ns, 0, 10000000000ull);
}

static void test_busy(void **state)
{
	struct host *host = *state;

	open_sampler(host);
	sample(host);
	/* 100 ticks more, of which 20 idle and 5 waiting for a disk. */
	write_file(host, "/proc/stat", "cpu  150 0 125 720 105 0 0 0 5 0\nprocs_blocked 0\n");
	sample(host);
	assert_true(host->seen.host.known & PAGE_KNOWS_BUSY);
	assert_int_equal(host->seen.host.busy_permille, 750);
	/* After ten samples what was before is forgotten. */
	for (int i = 0; i < 12; i++)
		sample(host);
	assert_int_equal(host->seen.host.busy_permille, 0);
}

/* A kernel without PSI, a host without disks and nics of its own. */
static void test_little_known(void **state)
{
	struct host *host = *state;
	auto_free char *pressure = text_format("%s/proc/pressure", host->root), *sys = text_format("%s/sys", host->root);
	struct err err;

	assert_int_equal(file_remove_tree(pressure, &err), 0);
	assert_int_equal(file_remove_tree(sys, &err), 0);
	open_sampler(host);
	sample(host);
	assert_int_equal(host->seen.host.known, 0);
	assert_int_equal(host->seen.host.memory_total_bytes, 1000 << 10);
}

static void test_no_proc(void **state)
{
	struct host *host = *state;
	struct host_sampler_params params = { .root = "/nonexistent", .page = host->shared.page };
	struct err err;

	assert_int_equal(host_sampler_new(&params, &host->sampler, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/proc/stat"));
	write_file(host, "/proc/sys/kernel/random/boot_id", "\n");
	params.root = host->root;
	assert_int_equal(host_sampler_new(&params, &host->sampler, &err), -EINVAL);
}

static void test_instances(void **state)
{
	struct host *host = *state;
	auto_free char *v2 = text_format("%s/two/cpu.stat", host->root), *v2_memory = text_format("%s/two/memory.current", host->root);
	auto_free char *v1 = text_format("%s/one/cpuacct.usage", host->root), *v1_memory = text_format("%s/one/memory.usage_in_bytes", host->root);
	struct host_sampler_instance list[] = { { { 1 }, v1, v1_memory }, { { 2 }, v2, v2_memory } };
	struct page_instance *seen = host->seen.instances;
	uint64_t before_ns;

	write_file(host, "/one/cpuacct.usage", "5000\n");
	write_file(host, "/one/memory.usage_in_bytes", "4096\n");
	open_sampler(host);
	host_sampler_set_instances(host->sampler, list, 2);
	sample(host);
	assert_int_equal(host->seen.instance_count, 2);
	assert_int_equal(host->seen.host.instances_total, 2);
	assert_int_equal(seen[0].uid[0], 1);
	assert_int_equal(seen[0].cpu_ns, 5000);
	assert_int_equal(seen[0].memory_bytes, 4096);
	assert_int_equal(seen[1].cpu_ns, 0);		/* Not there yet. */

	write_file(host, "/two/cpu.stat", "nr_periods 0\nusage_usec 9\nuser_usec 4\n");
	write_file(host, "/two/memory.current", "8192\n");
	sample(host);
	assert_int_equal(seen[1].cpu_ns, 9000);
	assert_int_equal(seen[1].memory_bytes, 8192);

	/* The order changes, one goes, and the other one keeps its history: half a second of CPU time since. */
	before_ns = host->seen.host.stamp_ns;
	write_file(host, "/two/cpu.stat", "usage_usec 500009\n");
	host_sampler_set_instances(host->sampler, &list[1], 1);
	sample(host);
	assert_int_equal(host->seen.instance_count, 1);
	assert_int_equal(seen[0].uid[0], 2);
	assert_int_equal(seen[0].cpu_permille, 500000000ull * 1000 / (host->seen.host.stamp_ns - before_ns));
	/* It is deleted: its last values stay while it is on the list. */
	assert_int_equal(unlink(v2), 0);
	sample(host);
	assert_int_equal(seen[0].cpu_ns, 500009000);
	host_sampler_set_instances(host->sampler, NULL, 0);
	sample(host);
	assert_int_equal(host->seen.instance_count, 0);
}

static void test_too_many(void **state)
{
	struct host *host = *state;
	struct host_sampler_instance *list = alloc_array(NULL, 600, sizeof(*list));

	memset(list, 0, 600 * sizeof(*list));
	open_sampler(host);
	host_sampler_set_instances(host->sampler, list, 600);
	sample(host);
	assert_int_equal(host->seen.instance_count, PAGE_INSTANCES_MAX);
	assert_int_equal(host->seen.host.instances_total, 600);
	free(list);
}

static void count_sample(void *data)
{
	__atomic_add_fetch((unsigned *)data, 1, __ATOMIC_RELAXED);
}

/* This host, by the thread: whatever it is, it says what page_check() takes, and ever later stamps. */
static void test_thread(void **state)
{
	struct host *host = *state;
	unsigned count = 0;
	struct host_sampler_params params = { .page = host->shared.page, .period_ms = 1, .on_sample = count_sample, .data = &count };
	struct err err;

	assert_int_equal(host_sampler_new(&params, &host->sampler, &err), 0);
	assert_int_equal(host_sampler_start(host->sampler, &err), 0);
	for (int i = 0; i < 10000 && __atomic_load_n(&count, __ATOMIC_RELAXED) < 20; i++) {
		uint64_t stamp = host->seen.host.stamp_ns;

		usleep(1000);
		if (page_read(host->shared.page, &host->seen) < 0)
			continue;
		assert_true(host->seen.host.stamp_ns >= stamp);
		assert_int_equal(page_check(&host->seen, sizeof(host->seen), &err), 0);
	}
	host_sampler_free(take(host->sampler));
	assert_in_range(count, 20, 100000);
	assert_true(host->seen.host.memory_available_bytes > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_busy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_little_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_proc, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_instances, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_thread, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("telemetry sampler", tests, NULL, NULL);
}

/*
 * Telemetry: what it costs to read a page and to make one, the sampler's share of a CPU, and how old what another host sees is, between two
 * network namespaces over UDP: idle, and with more busy processes than CPUs. Both hosts have one clock, so ages are exact.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "1-hardware/telemetry/load.h"
#include "1-hardware/telemetry/host_sampler.h"
#include "base/clock.h"
#include "lib/node.h"

enum { READS = 1000, ROUNDS = 101, SAMPLES = 500, QUICK_SAMPLES = 100, INSTANCES = 100, SHARE_SECONDS = 20, QUICK_SHARE_SECONDS = 5,
       AGES = 3000, QUICK_AGES = 600, AGE_EVERY_US = 7013, BUSY_PER_CPU = 4 };

static const uint8_t here[PAGE_UID_BYTES] = { 1 }, there[PAGE_UID_BYTES] = { 2 };

/* Reading a page */

static volatile uint64_t sink;

typedef void read_fn(const struct page *from, struct page *to);

static void read_host(const struct page *from, struct page *to) { sink += (uint64_t)page_read_host(from, &to->host); }
static void copy_host(const struct page *from, struct page *to) { memcpy(&to->host, &from->host, sizeof(to->host)); }
static void read_all(const struct page *from, struct page *to) { sink += (uint64_t)page_read(from, to); }
static void copy_all(const struct page *from, struct page *to) { memcpy(to, from, sizeof(*to)); }

static double time_reads(read_fn *fn, const struct page *from, struct page *to)
{
	uint64_t begin = clock_monotonic_ns();

	for (int i = 0; i < READS; i++) {
		fn(from, to);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	return (double)(clock_monotonic_ns() - begin) / READS;
}

static void measure_read(const char *promise, read_fn *fn, read_fn *floor, const struct page *from)
{
	static struct page to;
	auto_samples struct samples own = { 0 }, least = { 0 };

	for (int i = 0; i < ROUNDS; i++) {
		samples_add(&own, time_reads(fn, from, &to));
		samples_add(&least, time_reads(floor, from, &to));
	}
	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.0f ns (99%%: %.0f ns)", samples_median(&own), samples_rank(&own, 0.99)),
		.floor = cell("memcpy of as many bytes %.0f ns", samples_median(&least)),
		.comparison = cell("%.2f", samples_median(&own) / samples_median(&least)),
		.target = "≤ 1 µs",
	});
}

static int measure_reads(struct err *err)
{
	static struct page page;
	struct page_shared shared;
	int r = page_shared_create(&shared, err);

	if (r < 0)
		return r;
	page.instance_count = PAGE_INSTANCES_MAX;
	page.host.cpus = 1;
	page_seal(&page);
	page_write(shared.page, &page);
	measure_read("the host's part of a local page", read_host, copy_host, shared.page);
	measure_read("a local page with 512 instances", read_all, copy_all, shared.page);
	page_shared_close(&shared);
	return 0;
}

/* Making one */

static const char *cpu_file(void)
{
	return access("/sys/fs/cgroup/cpuacct/cpuacct.usage", R_OK) == 0 ? "/sys/fs/cgroup/cpuacct/cpuacct.usage" : "/sys/fs/cgroup/cpu.stat";
}

/* The files that every host has, and one for each instance. */
static void read_files(const int *fds, size_t count)
{
	char text[64 << 10];

	for (size_t i = 0; i < count; i++)
		sink += (uint64_t)pread(fds[i], text, sizeof(text), 0);
}

static size_t open_files(int *fds, size_t instances)
{
	static const char *const paths[] = { "/proc/stat", "/proc/loadavg", "/proc/meminfo", "/proc/pressure/cpu", "/proc/pressure/memory",
					     "/proc/pressure/io" };
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(paths) + instances; i++) {
		int fd = open(i < ARRAY_COUNT(paths) ? paths[i] : cpu_file(), O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			fds[count++] = fd;
	}
	return count;
}

static void set_instances(struct host_sampler *sampler, size_t count)
{
	struct host_sampler_instance list[INSTANCES] = { 0 };

	for (size_t i = 0; i < count; i++)
		list[i] = (struct host_sampler_instance){ .uid = { (uint8_t)(i + 1) }, .cpu_path = cpu_file() };
	host_sampler_set_instances(sampler, list, count);
}

static int measure_sample(const struct bench *bench, size_t instances, struct err *err)
{
	auto_samples struct samples own = { 0 }, least = { 0 };
	auto_free char *promise = text_format("one sample, %zu instances", instances);
	struct page_shared shared;
	struct host_sampler *sampler;
	int fds[16 + INSTANCES], r = page_shared_create(&shared, err);
	size_t count = open_files(fds, instances);

	if (r == 0)
		r = host_sampler_new(&(struct host_sampler_params){ .page = shared.page, .node = { 1 } }, &sampler, err);
	if (r < 0)
		return r;
	set_instances(sampler, instances);
	for (int i = 0; i < (bench->is_quick ? QUICK_SAMPLES : SAMPLES); i++) {
		double begin = now_ms(), middle;

		host_sampler_sample(sampler);
		middle = now_ms();
		read_files(fds, count);
		samples_add(&own, middle - begin);
		samples_add(&least, now_ms() - middle);
	}
	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.0f µs", samples_median(&own) * 1000),
		.floor = cell("pread of the %zu files in /proc and cgroups %.0f µs", count, samples_median(&least) * 1000),
		.comparison = cell("%.2f; +%.0f µs", samples_median(&own) / samples_median(&least),
				   (samples_median(&own) - samples_median(&least)) * 1000),
		.target = "-",
	});
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	host_sampler_free(sampler);
	page_shared_close(&shared);
	return 0;
}

static double cpu_seconds(void)
{
	return (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
}

static int measure_share(const struct bench *bench, size_t instances, struct err *err)
{
	auto_free char *promise = text_format("the sampler's share of one CPU, %zu instances", instances);
	unsigned seconds = bench->is_quick ? QUICK_SHARE_SECONDS : SHARE_SECONDS;
	struct page_shared shared;
	struct host_sampler *sampler;
	double begin, used, least;
	int fds[16 + INSTANCES], r = page_shared_create(&shared, err);
	size_t count = open_files(fds, instances);

	if (r == 0)
		r = host_sampler_new(&(struct host_sampler_params){ .page = shared.page, .node = { 1 } }, &sampler, err);
	if (r < 0)
		return r;
	set_instances(sampler, instances);
	begin = cpu_seconds();
	r = host_sampler_start(sampler, err);
	if (r == 0)
		sleep(seconds);
	used = cpu_seconds() - begin;
	host_sampler_free(sampler);
	/* The same work at the same pace, without all that is ours. */
	begin = cpu_seconds();
	for (unsigned i = 0; r == 0 && i < seconds * 10; i++) {
		usleep(HOST_SAMPLER_PERIOD_MS * 1000);
		read_files(fds, count);
	}
	least = cpu_seconds() - begin;
	if (r == 0)
		row_print(&(struct row){
			.promise = promise,
			.measured = cell("%.2f %%", used / seconds * 100),
			.floor = cell("pread of the same files, ten times a second %.2f %%", least / seconds * 100),
			.comparison = cell("%.2f", used / least),
			.target = "< 0.5 %",
		});
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	page_shared_close(&shared);
	return r;
}

/* Age at another host */

struct far { struct pages_driver *pages; };

static void publish(void *data)
{
	struct err ignored;
	struct far *far = data;

	far->pages->ops->publish(far->pages, &ignored);
}

static int open_pages(const struct page *own, const uint8_t node[PAGE_UID_BYTES], const char *address, const uint8_t other[PAGE_UID_BYTES],
		      const char *other_address, struct pages_driver **ret_pages, struct err *err)
{
	struct pages_params params = { .own = own, .key = { 1 } };
	struct pages_peer peer = { 0 };
	int r = pages_address_parse(address, &params.bind, err);

	memcpy(params.node, node, PAGE_UID_BYTES);
	memcpy(peer.node, other, PAGE_UID_BYTES);
	if (r == 0)
		r = pages_address_parse(other_address, &peer.address, err);
	if (r == 0)
		r = pages_udp.open(&params, ret_pages, err);
	return r < 0 ? r : (*ret_pages)->ops->set_peers(*ret_pages, &peer, 1, err);
}

/* The other host, as a process in a network namespace of its own; ends with us. 'go': its interface is there. */
static int live_there(int ready, int go)
{
	struct page_shared shared;
	struct host_sampler *sampler;
	struct far far;
	struct err err;
	char byte = 'r';

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) < 0 || write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		return 1;
	if (page_shared_create(&shared, &err) < 0 || open_pages(shared.page, there, "10.98.0.2", here, "10.98.0.1", &far.pages, &err) < 0 ||
	    host_sampler_new(&(struct host_sampler_params){ .page = shared.page, .node = { 2 }, .on_sample = publish, .data = &far }, &sampler, &err) < 0 ||
	    host_sampler_start(sampler, &err) < 0) {
		fprintf(stderr, "telemetry: %s\n", err.msg);
		return 1;
	}
	for (;;)
		pause();
}

#define RUN(...) run_program((const char *const[]){ __VA_ARGS__, NULL }, NULL, err)

static int make_link(pid_t pid, struct err *err)
{
	auto_free char *other = text_format("%d", (int)pid);
	int r = RUN("ip", "link", "add", "tele0", "type", "veth", "peer", "name", "eth0", "netns", other);

	if (r == 0)
		r = RUN("ip", "addr", "add", "10.98.0.1/24", "dev", "tele0");
	if (r == 0)
		r = RUN("ip", "link", "set", "tele0", "up");
	if (r == 0)
		r = RUN("nsenter", "-t", other, "-n", "ip", "addr", "add", "10.98.0.2/24", "dev", "eth0");
	return r < 0 ? r : RUN("nsenter", "-t", other, "-n", "ip", "link", "set", "eth0", "up");
}

static int start_there(pid_t *ret_pid, struct err *err)
{
	int ready[2], go[2], r = 0;
	char byte;

	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %m");
	*ret_pid = fork();
	if (*ret_pid == 0)
		_exit(live_there(ready[1], go[0]));
	if (*ret_pid < 0 || read(ready[0], &byte, 1) != 1)
		return err_set(err, -EIO, "start the other host: %m");
	r = make_link(*ret_pid, err);
	if (r == 0 && write(go[1], "g", 1) != 1)
		r = err_set(err, -EIO, "start the other host: %m");
	return r;
}

struct ages { struct samples exact, reported, local; unsigned old; };

/* Asked at moments that have nothing to do with the samples'. */
static int collect(const struct telemetry *telemetry, int count, struct ages *ages, struct err *err)
{
	int waits = 0;

	for (int i = 0; i < count; i++) {
		static struct page page;
		struct page_host own;
		struct host_load load;
		uint64_t age_ms;

		usleep(AGE_EVERY_US);
		if (telemetry_load(telemetry, there, &load, err) < 0 || page_read_host(telemetry->own, &own) < 0) {
			if (++waits > 1000)
				return err_set(err, -ETIMEDOUT, "nothing came from the other host");
			i--;
			continue;
		}
		if (telemetry->pages->ops->read(telemetry->pages, there, PAGES_HOST, &page, &age_ms, err) < 0)
			return err->code;
		samples_add(&ages->exact, (double)(pages_now_ns() - page.host.stamp_ns) / 1e6);
		samples_add(&ages->local, (double)(pages_now_ns() - own.stamp_ns) / 1e6);
		samples_add(&ages->reported, (double)load.age_ms);
		ages->old += load.is_old;
	}
	return 0;
}

static int measure_ages(const struct bench *bench, const struct telemetry *telemetry, const char *promise, struct err *err)
{
	struct ages ages = { 0 };
	int count = bench->is_quick ? QUICK_AGES : AGES, r = collect(telemetry, count, &ages, err);

	if (r == 0)
		row_print(&(struct row){
			.promise = promise,
			.measured = cell("%.0f ms, 99%%: %.0f ms, most %.0f ms; told as %.0f ms; %u of %d too old", samples_median(&ages.exact),
					 samples_rank(&ages.exact, 0.99), samples_rank(&ages.exact, 1), samples_median(&ages.reported), ages.old, count),
			.floor = cell("the own page %.0f ms, 99%%: %.0f ms", samples_median(&ages.local), samples_rank(&ages.local, 0.99)),
			.comparison = cell("%+.1f ms", samples_median(&ages.exact) - samples_median(&ages.local)),
			.target = "≤ 200 ms",
		});
	samples_done(&ages.exact);
	samples_done(&ages.reported);
	samples_done(&ages.local);
	return r;
}

static void spin(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		sink++;
}

static int measure_busy(const struct bench *bench, const struct telemetry *telemetry, struct err *err)
{
	size_t count = (size_t)sysconf(_SC_NPROCESSORS_ONLN) * BUSY_PER_CPU;
	auto_free char *promise = text_format("the same, beside %zu busy processes", count);
	auto_free pid_t *busy = alloc_array(NULL, count, sizeof(*busy));
	int r;

	for (size_t i = 0; i < count; i++)
		if ((busy[i] = fork()) == 0)
			spin();
	r = measure_ages(bench, telemetry, promise, err);
	for (size_t i = 0; i < count; i++) {
		kill(busy[i], SIGKILL);
		waitpid(busy[i], NULL, 0);
	}
	return r;
}

static int measure_far(const struct bench *bench, struct err *err)
{
	struct telemetry telemetry = { .node = { 1 } };
	struct page_shared shared;
	struct host_sampler *sampler;
	pid_t other = -1;
	int r = start_there(&other, err);

	if (r == 0)
		r = page_shared_create(&shared, err);
	if (r == 0)
		r = open_pages(shared.page, here, "10.98.0.1", there, "10.98.0.2", &telemetry.pages, err);
	if (r == 0)
		r = host_sampler_new(&(struct host_sampler_params){ .page = shared.page, .node = { 1 } }, &sampler, err);
	if (r < 0)
		return r;
	telemetry.own = shared.page;
	r = host_sampler_start(sampler, err);
	if (r == 0)
		r = measure_ages(bench, &telemetry, "age of another host's load, over UDP", err);
	if (r == 0)
		r = measure_busy(bench, &telemetry, err);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	host_sampler_free(sampler);
	telemetry.pages->ops->close(telemetry.pages);
	page_shared_close(&shared);
	return r;
}

static int measure(const struct bench *bench, struct err *err)
{
	int r = measure_reads(err);

	if (r == 0)
		r = measure_sample(bench, 0, err);
	if (r == 0)
		r = measure_sample(bench, INSTANCES, err);
	if (r == 0)
		r = measure_share(bench, 0, err);
	if (r == 0)
		r = measure_share(bench, INSTANCES, err);
	return r < 0 ? r : measure_far(bench, err);
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

#include "1-hardware/telemetry/host_sampler.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "1-hardware/telemetry/devices.h"
#include "1-hardware/telemetry/instances.h"
#include "1-hardware/telemetry/parse.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"

enum { DEVICES_EVERY = 100 };			/* Samples between two looks at which devices there are. */

enum { NICE = -10, TEXT_SIZE = 64 << 10 };	/* /proc/stat has a line for each CPU and a word for each interrupt. */

enum file { FILE_STAT, FILE_LOADAVG, FILE_MEMINFO, FILE_PRESSURE_CPU, FILE_PRESSURE_MEMORY, FILE_PRESSURE_IO, FILES };

static const struct { const char *path; bool is_needed; } files[FILES] = {
	[FILE_STAT] = { "/proc/stat", true },
	[FILE_LOADAVG] = { "/proc/loadavg", true },
	[FILE_MEMINFO] = { "/proc/meminfo", true },
	[FILE_PRESSURE_CPU] = { "/proc/pressure/cpu", false },
	[FILE_PRESSURE_MEMORY] = { "/proc/pressure/memory", false },
	[FILE_PRESSURE_IO] = { "/proc/pressure/io", false },
};

struct host_sampler {
	struct page *shared;			/* Borrowed. */
	struct page own;			/* Made here, then written there. */
	char *root;
	void (*on_sample)(void *data);
	void *data;
	unsigned period_ms;
	struct source sources[FILES];
	struct devices devices;
	struct rate busy;
	uint64_t samples;
	char text[TEXT_SIZE];

	pthread_mutex_t instances_mutex;
	struct instances instances;
	size_t instances_total;

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t stop_mutex;
	pthread_cond_t stop_changed;
	bool is_stopping;
};

/* New sampler */

static int open_sources(struct host_sampler *sampler, struct err *err)
{
	for (int i = 0; i < FILES; i++) {
		int r = source_open(&sampler->sources[i], sampler->root, files[i].path);

		if (r < 0 && files[i].is_needed)
			return err_set(err, r, "telemetry: open '%s%s': %m: is /proc mounted?", sampler->root, files[i].path);
	}
	return 0;
}

static int read_boot(struct host_sampler *sampler, struct err *err)
{
	auto_free char *path = text_format("%s/proc/sys/kernel/random/boot_id", sampler->root);
	auto_str struct str text = { 0 };
	int r = file_read_all(path, 64, &text, err);

	if (r < 0)
		return err_prefix(err, "telemetry");
	if (text.size && text.data[text.size - 1] == '\n')
		text.data[text.size - 1] = '\0';
	return page_uid_parse(str_text(&text), sampler->own.host.boot, err);
}

static uint32_t online_cpus(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < 1 ? 1 : count > PAGE_CPUS_MAX ? PAGE_CPUS_MAX : (uint32_t)count;
}

int host_sampler_new(const struct host_sampler_params *params, struct host_sampler **ret_sampler, struct err *err)
{
	struct host_sampler *sampler = alloc(sizeof(*sampler));
	pthread_condattr_t attributes;
	int r;

	assert(params->page);
	*sampler = (struct host_sampler){ .shared = params->page, .root = text_copy(params->root ? params->root : ""),
				     .on_sample = params->on_sample, .data = params->data,
				     .period_ms = params->period_ms ? params->period_ms : HOST_SAMPLER_PERIOD_MS };
	memcpy(sampler->own.host.node, params->node, PAGE_UID_BYTES);
	pthread_mutex_init(&sampler->instances_mutex, NULL);
	pthread_mutex_init(&sampler->stop_mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&sampler->stop_changed, &attributes);
	pthread_condattr_destroy(&attributes);

	r = open_sources(sampler, err);
	if (r == 0)
		r = read_boot(sampler, err);
	if (r < 0) {
		host_sampler_free(sampler);
		return r;
	}
	*ret_sampler = sampler;
	return 0;
}

void host_sampler_free(struct host_sampler *sampler)
{
	if (!sampler)
		return;
	if (sampler->has_thread) {
		pthread_mutex_lock(&sampler->stop_mutex);
		sampler->is_stopping = true;
		pthread_cond_signal(&sampler->stop_changed);
		pthread_mutex_unlock(&sampler->stop_mutex);
		pthread_join(sampler->thread, NULL);
	}
	for (int i = 0; i < FILES; i++)
		source_close(&sampler->sources[i]);
	devices_done(&sampler->devices);
	instances_done(&sampler->instances);
	pthread_mutex_destroy(&sampler->instances_mutex);
	pthread_mutex_destroy(&sampler->stop_mutex);
	pthread_cond_destroy(&sampler->stop_changed);
	free(sampler->root);
	free(sampler);
}

void host_sampler_set_instances(struct host_sampler *sampler, const struct host_sampler_instance *instances, size_t count)
{
	pthread_mutex_lock(&sampler->instances_mutex);
	instances_set(&sampler->instances, instances, count);
	sampler->instances_total = count;
	pthread_mutex_unlock(&sampler->instances_mutex);
}

/* One sample */

static const char *read_file(struct host_sampler *sampler, enum file file)
{
	return source_read(&sampler->sources[file], sampler->text, sizeof(sampler->text)) == 0 ? sampler->text : NULL;
}

static void sample_cpu(struct host_sampler *sampler, struct page_host *host)
{
	const char *text = read_file(sampler, FILE_LOADAVG);
	struct cpu_times times;

	if (text)
		parse_loadavg(text, host);
	text = read_file(sampler, FILE_STAT);
	if (!text || !parse_stat(text, host, &times))
		return;
	host->busy_permille = rate_permille(&sampler->busy, times.busy, times.total);
	/* Ticks of a CPU may be corrected downwards. */
	if (host->busy_permille > 1000)
		host->busy_permille = 1000;
	if (sampler->samples)
		host->known |= PAGE_KNOWS_BUSY;
}

static void sample_pressure(struct host_sampler *sampler, struct page_host *host)
{
	struct page_pressure *const pressures[] = { &host->cpu, &host->memory, &host->io };

	for (size_t i = 0; i < ARRAY_COUNT(pressures); i++) {
		const char *text = read_file(sampler, FILE_PRESSURE_CPU + (enum file)i);

		if (text && parse_pressure(text, pressures[i]))
			host->known |= PAGE_KNOWS_PRESSURE;
	}
}

static void sample_memory(struct host_sampler *sampler, struct page_host *host)
{
	const char *text = read_file(sampler, FILE_MEMINFO);

	if (text)
		parse_meminfo(text, host);
}

static void sample_instances(struct host_sampler *sampler, uint64_t now_ns)
{
	pthread_mutex_lock(&sampler->instances_mutex);
	instances_read(&sampler->instances, now_ns, &sampler->own);
	sampler->own.host.instances_total = (uint32_t)sampler->instances_total;
	pthread_mutex_unlock(&sampler->instances_mutex);
}

void host_sampler_sample(struct host_sampler *sampler)
{
	struct page_host *host = &sampler->own.host;

	if (sampler->samples % DEVICES_EVERY == 0) {
		devices_find(&sampler->devices, sampler->root);
		host->cpus = online_cpus();
	}
	/* The moment before: a page is never younger than it says. */
	host->stamp_ns = clock_ns(CLOCK_BOOTTIME);
	host->wall_ms = clock_wall_ms();
	sample_cpu(sampler, host);
	sample_pressure(sampler, host);
	sample_memory(sampler, host);
	devices_read(&sampler->devices, host);
	sample_instances(sampler, host->stamp_ns);
	sampler->samples++;
	page_seal(&sampler->own);
	page_write(sampler->shared, &sampler->own);
	if (sampler->on_sample)
		sampler->on_sample(sampler->data);
}

/* The thread */

static struct timespec add_ms(struct timespec time, unsigned ms)
{
	time.tv_sec += ms / 1000;
	time.tv_nsec += (long)(ms % 1000) * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_nsec -= 1000000000;
		time.tv_sec++;
	}
	return time;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* Until 'due', or false when the sampler is to end. */
static bool wait_until(struct host_sampler *sampler, const struct timespec *due)
{
	bool goes_on;

	pthread_mutex_lock(&sampler->stop_mutex);
	while (!sampler->is_stopping && pthread_cond_timedwait(&sampler->stop_changed, &sampler->stop_mutex, due) != ETIMEDOUT)
		;
	goes_on = !sampler->is_stopping;
	pthread_mutex_unlock(&sampler->stop_mutex);
	return goes_on;
}

static void *sample_until_stopped(void *data)
{
	struct host_sampler *sampler = data;
	struct timespec due, now;

	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);	/* Without the right to it: as all others. */
	clock_gettime(CLOCK_MONOTONIC, &due);
	do {
		host_sampler_sample(sampler);
		due = add_ms(due, sampler->period_ms);
		/* What was missed (the host slept, the process was stopped) is not made up for. */
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (is_before(&due, &now))
			due = now;
	} while (wait_until(sampler, &due));
	return NULL;
}

int host_sampler_start(struct host_sampler *sampler, struct err *err)
{
	int r = thread_start("telemetry", sample_until_stopped, sampler, &sampler->thread, err);

	sampler->has_thread = r == 0;
	return r;
}

#include "1-hardware/telemetry/instances.h"

#include <string.h>

#include "base/str.h"

static void close_instance(struct sampled_instance *instance)
{
	source_close(&instance->cpu);
	source_close(&instance->memory);
	free(instance->cpu_path);
	free(instance->memory_path);
	*instance = (struct sampled_instance){ 0 };
}

static bool is_same(const struct sampled_instance *instance, const struct host_sampler_instance *wanted)
{
	return memcmp(instance->values.uid, wanted->uid, PAGE_UID_BYTES) == 0 && text_equal(instance->cpu_path, wanted->cpu_path) &&
	       text_equal(instance->memory_path, wanted->memory_path);
}

/* Lists mostly stay as they are, so the search begins where the last one ended. */
static struct sampled_instance *find(struct instances *instances, const struct host_sampler_instance *wanted, size_t *at)
{
	for (size_t i = 0; i < instances->list.count; i++) {
		size_t place = (*at + i) % instances->list.count;

		if (is_same(&instances->list.items[place], wanted)) {
			*at = place + 1;
			return &instances->list.items[place];
		}
	}
	return NULL;
}

static void open_instance(struct sampled_instance *instance, const struct host_sampler_instance *wanted)
{
	*instance = (struct sampled_instance){ .cpu_path = text_copy(wanted->cpu_path), .memory_path = text_copy(wanted->memory_path) };
	memcpy(instance->values.uid, wanted->uid, PAGE_UID_BYTES);
}

void instances_set(struct instances *instances, const struct host_sampler_instance *wanted, size_t count)
{
	struct instances old = *instances;
	size_t at = 0;

	*instances = (struct instances){ 0 };
	for (size_t i = 0; i < count && i < PAGE_INSTANCES_MAX; i++) {
		struct sampled_instance *kept = find(&old, &wanted[i], &at), *added = vec_push(&instances->list);

		if (kept) {
			*added = *kept;
			*kept = (struct sampled_instance){ 0 };
		} else {
			open_instance(added, &wanted[i]);
		}
	}
	instances_done(&old);
}

/* Version 2 tells microseconds among other things, version 1 nanoseconds alone. */
static bool read_cpu(const struct source *source, uint64_t *ret_ns)
{
	char text[SOURCE_TEXT_SIZE];
	uint64_t us;

	if (source_read(source, text, sizeof(text)) < 0)
		return false;
	if (text_number_after(text, "usage_usec ", &us))
		*ret_ns = us * 1000;
	else
		*ret_ns = strtoull(text, NULL, 10);
	return true;
}

/* A cgroup may be there later than the instance is on the list, and come again under the same path. */
static void open_if_needed(struct source *source, const char *path)
{
	if (path && !source_is_open(source))
		source_open(source, "", path);
}

static void read_one(struct sampled_instance *instance, uint64_t now_ns)
{
	struct page_instance *values = &instance->values;

	open_if_needed(&instance->cpu, instance->cpu_path);
	open_if_needed(&instance->memory, instance->memory_path);
	if (read_cpu(&instance->cpu, &values->cpu_ns))
		values->cpu_permille = rate_permille(&instance->rate, values->cpu_ns, now_ns);
	else
		source_close(&instance->cpu);
	if (source_read_number(&instance->memory, &values->memory_bytes) < 0)
		source_close(&instance->memory);
}

void instances_read(struct instances *instances, uint64_t now_ns, struct page *page)
{
	for (size_t i = 0; i < instances->list.count; i++) {
		read_one(&instances->list.items[i], now_ns);
		page->instances[i] = instances->list.items[i].values;
	}
	page->instance_count = (uint16_t)instances->list.count;
}

void instances_done(struct instances *instances)
{
	for (size_t i = 0; i < instances->list.count; i++)
		close_instance(&instances->list.items[i]);
	vec_done(&instances->list);
}

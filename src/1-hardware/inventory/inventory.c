#include "1-hardware/inventory/inventory.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { FACTS_BYTES = 1 << 20 };

/* The rest of the first line of 'path' that begins with 'key', without 'separator's, spaces and quotes around it. */
static char *read_fact(const char *path, const char *key, char separator)
{
	auto_str struct str text = { 0 };
	struct err ignored = { 0 };
	char *save = NULL;

	if (file_read_all(path, FACTS_BYTES, &text, &ignored) < 0 || !text.data)
		return NULL;
	for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = line + strlen(key);
		size_t length;

		if (!text_starts_with(line, key))
			continue;
		while (*value && (*value == separator || strchr(" \t\"", *value)))
			value++;
		length = strlen(value);
		while (length && strchr("\" \t", value[length - 1]))
			length--;
		return text_copy_length(value, length);
	}
	return NULL;
}

static uint64_t read_kib(const char *key)
{
	auto_free char *text = read_fact("/proc/meminfo", key, ':');

	return text ? strtoull(text, NULL, 10) * 1024 : 0;
}

static int64_t count_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return sysconf(_SC_NPROCESSORS_ONLN);
	return CPU_COUNT(&set);
}

void inventory_read(const char *directory, struct node_status *status)
{
	struct utsname names;
	struct statvfs disk;

	if (uname(&names) == 0) {
		text_replace(&status->hostname, names.nodename);
		text_replace(&status->kernel, names.release);
		text_replace(&status->architecture, names.machine);
	}
	free(status->os);
	status->os = read_fact("/etc/os-release", "PRETTY_NAME=", '=');
	free(status->cpu_model);
	status->cpu_model = read_fact("/proc/cpuinfo", "model name", ':');
	status->cpus = count_cpus();
	status->memory = read_kib("MemTotal");
	status->memory_free = read_kib("MemAvailable");
	if (statvfs(directory, &disk) == 0) {
		status->disk = (uint64_t)disk.f_blocks * disk.f_frsize;
		status->disk_free = (uint64_t)disk.f_bavail * disk.f_frsize;
	}
}

char *inventory_boot_id(void)
{
	auto_str struct str text = { 0 };
	struct err ignored = { 0 };

	if (file_read_all("/proc/sys/kernel/random/boot_id", 64, &text, &ignored) < 0 || text.size < 36)
		return text_copy("unknown");
	return text_copy_length(text.data, 36);
}

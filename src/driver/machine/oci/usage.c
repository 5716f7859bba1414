#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/machine/oci/oci.h"
#include "driver/machine/oci/state.h"

/* The number after 'label' at the beginning of a line; 0 when it is not there. */
static uint64_t number_after(const char *text, const char *label)
{
	size_t length = strlen(label);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, label, length) == 0)
			return strtoull(line + length, NULL, 10);
	}
	return 0;
}

static uint64_t sum_after(const char *text, const char *label)
{
	uint64_t sum = 0;

	for (const char *at = text; (at = strstr(at, label)); at += strlen(label))
		sum += strtoull(at + strlen(label), NULL, 10);
	return sum;
}

/* From the file of whichever version counts. */
static bool read_counter(const struct layout *layout, const char *uid, const char *controller, const char *file1,
			 const char *file2, char *text, size_t size)
{
	auto_free char *path1 = layout_file1(layout, uid, controller, file1);
	auto_free char *path2 = path1 ? NULL : layout_file2(layout, uid, file2);

	oci_state_read(AT_FDCWD, path1 ? path1 : path2, text, size);
	return path1 != NULL;
}

/* Without what the kernel would give back first: pages of files that nobody has used lately. */
static void read_memory(const struct layout *layout, const char *uid, struct machine_usage *usage)
{
	char used[64], details[4096];
	bool is_version1 = read_counter(layout, uid, "memory", "memory.usage_in_bytes", "memory.current", used, sizeof(used));
	uint64_t total = strtoull(used, NULL, 10), cache;

	read_counter(layout, uid, "memory", "memory.stat", "memory.stat", details, sizeof(details));
	cache = number_after(details, is_version1 ? "total_inactive_file " : "inactive_file ");
	usage->memory_bytes = total > cache ? total - cache : total;
}

static void read_disk(const struct layout *layout, const char *uid, struct machine_usage *usage)
{
	char text[4096];
	bool is_version1 = read_counter(layout, uid, "blkio", "blkio.throttle.io_service_bytes", "io.stat", text, sizeof(text));

	usage->disk_read_bytes = sum_after(text, is_version1 ? " Read " : " rbytes=");
	usage->disk_write_bytes = sum_after(text, is_version1 ? " Write " : " wbytes=");
}

/* "  eth0: 1296 16 0 0 0 0 0 0 1296 16 ...": received bytes first, sent ones ninth. */
static void read_network(pid_t pid, struct machine_usage *usage)
{
	char path[64], text[8192], *rest = text, *line;

	snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)pid);
	oci_state_read(AT_FDCWD, path, text, sizeof(text));
	while ((line = strsep(&rest, "\n"))) {
		char *colon = strchr(line, ':');
		unsigned long long received, sent;

		if (!colon || strstr(line, " lo:") || strncmp(line, "lo:", 3) == 0)
			continue;
		if (sscanf(colon + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &received, &sent) != 2)
			continue;
		usage->net_receive_bytes += received;
		usage->net_transmit_bytes += sent;
	}
}

int oci_usage(struct machine_driver *driver, const char *uid, struct machine_usage *ret_usage, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	auto_free char *cpu = layout_file2(&oci->layout, uid, "cpu.stat");
	struct machine_usage usage = { 0 };
	char text[1024];
	pid_t pid;
	int r = oci_find(oci, uid, &pid, err);

	if (r < 0)
		return r;
	/* Counted in version 2 whatever holds the controllers. */
	oci_state_read(AT_FDCWD, cpu, text, sizeof(text));
	usage.cpu_ns = number_after(text, "usage_usec ") * 1000;
	read_memory(&oci->layout, uid, &usage);
	read_counter(&oci->layout, uid, "pids", "pids.current", "pids.current", text, sizeof(text));
	usage.pids = strtoull(text, NULL, 10);
	read_disk(&oci->layout, uid, &usage);
	read_network(pid, &usage);
	*ret_usage = usage;
	return 0;
}

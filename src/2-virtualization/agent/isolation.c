/*
 * isolation.c - what keeps a container apart from the host, as the kernel says it and not as it was asked for.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/agent/instance_job.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/process.h"

enum { LINK_BYTES = 64 };

static void add(struct field_list *out, char *text)
{
	*(char **)field_list_push(out, sizeof(char *)) = text;
}

static bool read_proc(pid_t pid, const char *name, struct str *text)
{
	auto_free char *path = text_format("/proc/%d/%s", (int)pid, name);
	struct err ignored;

	return file_read_all(path, LIMIT_TEXT_BYTES, text, &ignored) == 0;
}

static void add_ids(pid_t pid, struct field_list *out)
{
	auto_str struct str map = { 0 };
	uint64_t inside, outside, count;

	if (!read_proc(pid, "uid_map", &map) || sscanf(str_text(&map), "%" SCNu64 " %" SCNu64 " %" SCNu64, &inside, &outside, &count) != 3)
		return;
	if (inside == outside)
		add(out, text_copy("no user namespace: its root is the host's"));
	else
		add(out, text_format("user namespace: ids %" PRIu64 "-%" PRIu64 " are %" PRIu64 "-%" PRIu64 " on the host", inside,
				     inside + count - 1, outside, outside + count - 1));
}

static bool read_namespace(const char *pid, const char *name, char link[LINK_BYTES])
{
	auto_free char *path = text_format("/proc/%s/ns/%s", pid, name);
	ssize_t size = readlink(path, link, LINK_BYTES - 1);

	link[size > 0 ? size : 0] = '\0';
	return size > 0;
}

static void add_namespaces(pid_t pid, struct field_list *out)
{
	static const char *const names[] = { "user", "pid", "net", "ipc", "uts", "mnt", "cgroup" };
	auto_free char *number = text_format("%d", (int)pid);
	auto_str struct str own = { 0 };

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char its[LINK_BYTES], ours[LINK_BYTES];

		if (read_namespace(number, names[i], its) && read_namespace("self", names[i], ours) && strcmp(its, ours) != 0)
			str_printf(&own, "%s%s", own.size ? ", " : "", names[i]);
	}
	if (own.size)
		add(out, text_format("namespaces of its own: %s", str_text(&own)));
}

/* Of "/proc/PID/status". */
static uint64_t number_of(const char *status, const char *label, int base)
{
	const char *line = strstr(status, label);

	return line ? strtoull(line + strlen(label), NULL, base) : 0;
}

static void add_rights(pid_t pid, struct field_list *out)
{
	auto_str struct str status = { 0 };
	uint64_t bounding;

	if (!read_proc(pid, "status", &status))
		return;
	bounding = number_of(str_text(&status), "\nCapBnd:", 16);
	add(out, text_format("capabilities: %d of %d", __builtin_popcountll(bounding), CAPABILITY_COUNT));
	if (number_of(str_text(&status), "\nSeccomp:", 10) == 2)
		add(out, text_copy("seccomp: system calls that are not listed are refused"));
	if (number_of(str_text(&status), "\nNoNewPrivs:", 10))
		add(out, text_copy("no new privileges"));
}

void isolation_read(pid_t pid, struct field_list *out)
{
	if (pid <= 0)
		return;
	add_ids(pid, out);
	add_namespaces(pid, out);
	add_rights(pid, out);
}

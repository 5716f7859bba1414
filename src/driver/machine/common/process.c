#include "driver/machine/common/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* Fields of /proc/<pid>/stat counted from the one after the name (proc(5) calls that one 3). */
enum { STAT_USER_TIME = 14 - 3, STAT_SYSTEM_TIME = 15 - 3, STAT_START_TIME = 22 - 3, STAT_FIELDS = 20 };
enum { FILE_BYTES = 2048 };

static bool read_proc(pid_t pid, const char *name, char text[FILE_BYTES])
{
	char path[64];
	auto_close int fd = -1;
	ssize_t count;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	count = fd < 0 ? 0 : read(fd, text, FILE_BYTES - 1);
	text[count > 0 ? count : 0] = '\0';
	return count > 0;
}

static bool read_stat(pid_t pid, uint64_t fields[STAT_FIELDS])
{
	char text[FILE_BYTES], *cursor;

	if (!read_proc(pid, "stat", text))
		return false;
	/* The name may contain anything, also spaces and parentheses. */
	cursor = strrchr(text, ')');
	if (!cursor || strlen(cursor) < 4)
		return false;
	cursor += 3;			/* Past ") " and the one letter of field 3. */
	fields[0] = 0;
	for (size_t i = 1; i < STAT_FIELDS; i++)
		fields[i] = strtoull(cursor, &cursor, 10);
	return true;
}

int64_t process_started_at(pid_t pid)
{
	uint64_t fields[STAT_FIELDS];

	if (!read_stat(pid, fields))
		return 0;
	return clock_wall_ms() - (int64_t)(clock_ns(CLOCK_BOOTTIME) / 1000000) +
	       (int64_t)(fields[STAT_START_TIME] * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t read_resident(pid_t pid)
{
	char text[FILE_BYTES];
	unsigned long long total, resident;

	if (!read_proc(pid, "statm", text) || sscanf(text, "%llu %llu", &total, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t number_after(const char *text, const char *label)
{
	const char *at = strstr(text, label);

	return at ? strtoull(at + strlen(label), NULL, 10) : 0;
}

int process_usage(pid_t pid, struct process_usage *ret_usage, struct err *err)
{
	uint64_t fields[STAT_FIELDS], ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);
	char io[FILE_BYTES];

	if (!read_stat(pid, fields))
		return err_set(err, -ENOENT, "the machine's process is gone");
	read_proc(pid, "io", io);
	*ret_usage = (struct process_usage){
		.cpu_ns = (fields[STAT_USER_TIME] + fields[STAT_SYSTEM_TIME]) * (1000000000 / ticks_per_s),
		.memory_bytes = read_resident(pid),
		.read_bytes = number_after(io, "\nread_bytes: "),
		.write_bytes = number_after(io, "\nwrite_bytes: "),
	};
	return 0;
}

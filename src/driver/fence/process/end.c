#include "driver/fence/process/end.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	PASSES = 50,
	PASS_NS = 1000000,		/* The killed need the processor to die, and ours goes before theirs. */
	DEPTH_MAX = 32,
	TEXT_BYTES = 4096,
};

enum version { NO_CGROUP, VERSION_1, VERSION_2 };

/* Neither what is no cgroup nor a root: v2's has no cgroup.events, v1's alone has release_agent. */
static enum version version_of(int folder)
{
	struct statfs fs;

	if (folder < 0 || fstatfs(folder, &fs) < 0)
		return NO_CGROUP;
	if (fs.f_type == CGROUP2_SUPER_MAGIC)
		return faccessat(folder, "cgroup.events", F_OK, 0) == 0 ? VERSION_2 : NO_CGROUP;
	if (fs.f_type == CGROUP_SUPER_MAGIC)
		return faccessat(folder, "release_agent", F_OK, 0) < 0 ? VERSION_1 : NO_CGROUP;
	return NO_CGROUP;
}

static bool has_processes_v2(int folder)
{
	auto_close int fd = openat(folder, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char text[TEXT_BYTES];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "populated 1") != NULL;
}

static bool kill_v2(int folder)
{
	auto_close int fd = openat(folder, "cgroup.kill", O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, "1", 1) == 1;
}

/* Calls kill(pid, signal) for each process in the cgroup itself; signal 0 only counts. */
static size_t signal_own(int folder, int signal)
{
	int fd = openat(folder, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	size_t count = 0;
	int pid;

	while (file && fscanf(file, "%d", &pid) == 1) {
		/* 0: a process of another namespace, which has no number here. */
		if (pid > 1 && pid != getpid())
			kill(pid, signal);
		count++;
	}
	if (file)
		fclose(file);
	else
		closep(&fd);
	return count;
}

static size_t signal_all(int folder, int signal, unsigned depth)
{
	size_t count = signal_own(folder, signal);
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)) && depth < DEPTH_MAX) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		auto_close int below = openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (below >= 0)
			count += signal_all(below, signal, depth + 1);
	}
	if (directory)
		closedir(directory);
	else
		closep(&copy);
	return count;
}

static bool kill_one_by_one(int folder)
{
	const struct timespec pause = { .tv_nsec = PASS_NS };
	bool found_any = false;

	for (int pass = 0; pass < PASSES && signal_all(folder, SIGKILL, 0) > 0; pass++) {
		found_any = true;
		nanosleep(&pause, NULL);
	}
	return found_any;
}

bool fence_end(const char *cgroup)
{
	auto_close int folder = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum version version = version_of(folder);

	if (version == NO_CGROUP || (version == VERSION_2 && !has_processes_v2(folder)))
		return false;
	return (version == VERSION_2 && kill_v2(folder)) || kill_one_by_one(folder);
}

bool fence_is_populated(const char *cgroup)
{
	auto_close int folder = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum version version = version_of(folder);

	return version == VERSION_2 ? has_processes_v2(folder) : version == VERSION_1 && signal_all(folder, 0, 0) > 0;
}

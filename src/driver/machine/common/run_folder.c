#include "driver/machine/common/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

int run_folder_create(int parent_fd, const char *uid, struct err *err)
{
	if (mkdirat(parent_fd, uid, 0700) < 0)
		return err_set(err, -errno, "make run directory '%s': %m", shown(uid));
	return run_folder_open(parent_fd, uid, err);
}

int run_folder_open(int parent_fd, const char *uid, struct err *err)
{
	int fd = openat(parent_fd, uid, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT, "machine '%s' does not run", shown(uid));
	if (fd < 0)
		return err_set(err, -errno, "open run directory '%s': %m", shown(uid));
	return fd;
}

void run_folder_mark(int dir_fd, const char *name)
{
	auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)fd;
}

bool run_folder_is_marked(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, 0) == 0;
}

bool run_folder_is_killed(int dir_fd)
{
	struct stat st;

	return run_folder_is_marked(dir_fd, "killed") || (fstat(dir_fd, &st) == 0 && st.st_nlink == 0);
}

const char *run_folder_last_line(int dir_fd, char tail[static RUN_FOLDER_LOG_TAIL_BYTES + 1])
{
	auto_close int fd = openat(dir_fd, "log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	const off_t most = RUN_FOLDER_LOG_TAIL_BYTES;
	const char *newline;
	struct stat st;
	ssize_t count = 0;

	if (fd >= 0 && fstat(fd, &st) == 0)
		count = pread(fd, tail, (size_t)most, st.st_size > most ? st.st_size - most : 0);
	while (count > 0 && tail[count - 1] == '\n')
		count--;
	tail[count > 0 ? count : 0] = '\0';
	newline = strrchr(tail, '\n');
	return newline ? newline + 1 : tail;
}

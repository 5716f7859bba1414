#include "driver/machine/oci/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { LOG_TAIL_BYTES = 4096 };

int oci_state_create(int parent_fd, const char *uid, struct err *err)
{
	if (mkdirat(parent_fd, uid, 0700) < 0)
		return err_set(err, -errno, "make run directory '%s': %m", shown(uid));
	return oci_state_open(parent_fd, uid, err);
}

int oci_state_open(int parent_fd, const char *uid, struct err *err)
{
	int fd = openat(parent_fd, uid, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT, "machine '%s' does not run", shown(uid));
	if (fd < 0)
		return err_set(err, -errno, "open run directory '%s': %m", shown(uid));
	return fd;
}

int oci_state_write(int dir_fd, const char *name, const char *text, struct err *err)
{
	auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(err, -errno, "write '%s': %m", name);
	return file_write_at(fd, text, strlen(text), 0, err);
}

bool oci_state_read(int dir_fd, const char *name, char *text, size_t size)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t count = fd < 0 ? -1 : read(fd, text, size - 1);

	text[count > 0 ? count : 0] = '\0';
	return count >= 0;
}

long oci_state_number(int dir_fd, const char *name, long fallback)
{
	char text[32], *end;
	long number;

	if (!oci_state_read(dir_fd, name, text, sizeof(text)))
		return fallback;
	number = strtol(text, &end, 10);
	return end == text ? fallback : number;
}

void oci_state_mark(int dir_fd, const char *name)
{
	auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)fd;			/* Without the mark the end is reported as a failure, which is safe. */
}

bool oci_state_is_marked(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, 0) == 0;
}

bool oci_state_is_killed(int dir_fd)
{
	struct stat st;

	return oci_state_is_marked(dir_fd, "killed") || (fstat(dir_fd, &st) == 0 && st.st_nlink == 0);
}

void oci_state_collect_monitor(int dir_fd)
{
	pid_t pid = (pid_t)oci_state_number(dir_fd, "monitor", 0);
	char path[40], text[256], wanted[40];

	/* Nothing but an ended conmon of ours: the number could be somebody else's by now. */
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	snprintf(wanted, sizeof(wanted), "(conmon) Z %d ", (int)getpid());
	if (pid > 0 && oci_state_read(AT_FDCWD, path, text, sizeof(text)) && strstr(text, wanted))
		waitpid(pid, NULL, WNOHANG);
}

void oci_state_last_words(int dir_fd, char *words, size_t size)
{
	auto_close int fd = openat(dir_fd, "log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char tail[LOG_TAIL_BYTES + 1];
	const char *newline;
	struct stat st;
	ssize_t count = 0;

	if (fd >= 0 && fstat(fd, &st) == 0)
		count = pread(fd, tail, LOG_TAIL_BYTES, st.st_size > LOG_TAIL_BYTES ? st.st_size - LOG_TAIL_BYTES : 0);
	while (count > 0 && tail[count - 1] == '\n')
		count--;
	tail[count > 0 ? count : 0] = '\0';
	newline = strrchr(tail, '\n');
	text_shown(newline ? newline + 1 : tail, size - 4, words, size);
}

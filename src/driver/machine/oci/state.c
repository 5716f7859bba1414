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
#include "driver/machine/common/run_folder.h"

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
	char tail[RUN_FOLDER_LOG_TAIL_BYTES + 1];

	text_shown(run_folder_last_line(dir_fd, tail), size - 4, words, size);
}

#include "driver/machine/oci/oom.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver/machine/oci/state.h"

unsigned long oom_count(const struct layout *layout, const char *uid)
{
	auto_free char *path1 = layout_file1(layout, uid, "memory", "memory.oom_control");
	auto_free char *path2 = path1 ? NULL : layout_file2(layout, uid, "memory.events");
	char text[512];
	const char *at;

	if (!oci_state_read(AT_FDCWD, path1 ? path1 : path2, text, sizeof(text)))
		return 0;
	at = strstr(text, "\noom_kill ");
	return at ? strtoul(at + strlen("\noom_kill "), NULL, 10) : 0;
}

/* Version 1 writes to an eventfd that is registered in the group. */
static int open1(const struct layout *layout, const char *uid, const char *control_path)
{
	auto_free char *path = layout_file1(layout, uid, "memory", "cgroup.event_control");
	auto_close int control = open(control_path, O_RDONLY | O_CLOEXEC);
	auto_close int registry = open(path, O_WRONLY | O_CLOEXEC);
	auto_close int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	char line[40];
	int length = snprintf(line, sizeof(line), "%d %d", event, control);

	if (control < 0 || registry < 0 || event < 0 || write(registry, line, (size_t)length) != length)
		return -1;
	return take_fd(event);
}

int oom_open(const struct layout *layout, const char *uid, uint32_t *ret_events)
{
	auto_free char *path1 = layout_file1(layout, uid, "memory", "memory.oom_control");
	auto_free char *path2 = path1 ? NULL : layout_file2(layout, uid, "memory.events");

	*ret_events = path1 ? EPOLLIN : EPOLLPRI;
	return path1 ? open1(layout, uid, path1) : open(path2, O_RDONLY | O_CLOEXEC);
}

void oom_clear(int fd)
{
	char text[512];

	/* An eventfd cannot be read at a place, a file must be. */
	if (pread(fd, text, sizeof(text), 0) < 0)
		(void)!read(fd, text, sizeof(text));
}

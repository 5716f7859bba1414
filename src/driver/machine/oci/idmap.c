/*
 * Theory of operation: a user namespace is made by a process and lives as long as an fd of it. The
 * process is a child in our own memory that only waits until it is killed: nothing is copied.
 */
#include "driver/machine/oci/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/mem.h"
#include "base/str.h"

#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

enum { STACK_BYTES = 16 << 10 };

CHILD_CODE static int wait_for_ever(void *data)
{
	(void)data;
	/* Should our thread end before it kills us. */
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	do
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
	while (true);
	return 0;
}

static int write_map(pid_t pid, const char *file, uint32_t base, uint32_t count)
{
	char path[64], line[64];
	auto_close int fd = -1;
	int length = snprintf(line, sizeof(line), "0 %u %u\n", base, count);

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, line, (size_t)length) != length ? -errno : 0;
}

static int take_namespace(pid_t pid, uint32_t base, uint32_t count)
{
	char path[64];
	int fd, r = write_map(pid, "uid_map", base, count);

	if (r == 0)
		r = write_map(pid, "gid_map", base, count);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int explain_namespace(int code, uint32_t base, uint32_t count, struct err *err)
{
	if (code == -ENOSPC || code == -EUSERS)
		return err_set(err, code, "the kernel makes no more user namespaces: raise the sysctl user.max_user_namespaces");
	if (code == -EINVAL)
		return err_set(err, code, "ids %u to %u cannot be mapped", base, base + count - 1);
	return err_set(err, code, "make a user namespace: %m");
}

int idmap_open(uint32_t base, uint32_t count, struct err *err)
{
	char stack[STACK_BYTES] __attribute__((aligned(16)));
	sigset_t all, old;
	pid_t pid;
	int fd;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(wait_for_ever, stack + sizeof(stack), CLONE_VM | CLONE_NEWUSER | SIGCHLD, NULL);
	fd = pid < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return explain_namespace(fd, base, count, err);
	fd = take_namespace(pid, base, count);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd < 0 ? explain_namespace(fd, base, count, err) : fd;
}

static int explain_mount(const char *path, int code, struct err *err)
{
	if (code == -EINVAL || code == -EOPNOTSUPP)
		return err_set(err, -EOPNOTSUPP, "the file system of '%s' cannot map ids for containers (idmapped mounts):"
			       " keep it on ext4, xfs or btrfs, and use Linux 5.19 or later", shown(path));
	if (code == -ENOSYS)
		return err_set(err, -EOPNOTSUPP, "the kernel cannot map ids in mounts: use Linux 5.19 or later");
	return err_set(err, code, "map the ids of '%s': %m", shown(path));
}

int idmap_mount(const char *path, int idmap, bool is_recursive, bool is_read_only, struct err *err)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (is_recursive ? AT_RECURSIVE : 0);
	auto_close int fd = open_tree(AT_FDCWD, path, flags);
	struct mount_attr attributes = {
		/* Device files are only what the container was given. */
		.attr_set = MOUNT_ATTR_NODEV,
		.userns_fd = idmap >= 0 ? (unsigned)idmap : 0,
	};

	if (fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	if (is_read_only)
		attributes.attr_set |= MOUNT_ATTR_RDONLY;
	if (idmap >= 0)
		attributes.attr_set |= MOUNT_ATTR_IDMAP;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | (is_recursive ? AT_RECURSIVE : 0), &attributes, sizeof(attributes)) < 0)
		return explain_mount(path, -errno, err);
	return take_fd(fd);
}

/*
 * Theory of operation.
 *
 * clone_vfork() starts the child inside our memory and suspends the calling thread until
 * the child calls exec or exits; clone.h says why, and what the child may not do: above all
 * not call glibc's setuid(), which would signal *our* threads. It works through the table
 * of steps and reports the one that failed by writing it into 'struct child'.
 */
#include "base/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/mem.h"
#include "base/vec.h"

enum { CHILD_STACK_BYTES = 16 << 10 };

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Everything the child needs, made before it exists. */
struct child {
	const struct spawn_params *params;
	char *program;			/* With a slash. */
	int cgroup_fd;			/* Of cgroup v2, to be born in; -1: none. */
	char *cgroup_procs;		/* Null: stay where born. */
	VEC(char *) env;		/* Strings owned. */
	int *scratch_fds;		/* One per params->fds. */
	int above_targets;		/* Above 2 and every params->fds[].to. */
	pid_t parent;

	/* Written by the child. */
	int error;			/* errno, or 0 */
	const struct step *failed;
};

struct step {
	const char *what;
	int (*run)(struct child *child);	/* errno, or 0 */
};

/* In the child */

CHILD_CODE static int result_of(long r)
{
	return r < 0 ? errno : 0;
}

CHILD_CODE static int reset_signals(struct child *child)
{
	/* All zeros is SIG_DFL, or an empty set, in every architecture's layout. */
	const uint64_t zeros[16] = { 0 };

	(void)child;
	for (int signal = 1; signal <= 64; signal++)
		syscall(SYS_rt_sigaction, signal, zeros, NULL, sizeof(uint64_t));
	return 0;
}

CHILD_CODE static int leave_group(struct child *child)
{
	if (child->params->has_own_session)
		return result_of(syscall(SYS_setsid));
	if (child->params->has_own_group)
		return result_of(syscall(SYS_setpgid, 0, 0));
	return 0;
}

CHILD_CODE static int join_cgroup(struct child *child)
{
	int fd;

	if (!child->cgroup_procs)
		return 0;
	fd = (int)syscall(SYS_openat, AT_FDCWD, child->cgroup_procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	return result_of(syscall(SYS_write, fd, "0", 1));
}

CHILD_CODE static int prepare(struct child *child)
{
	return child->params->prepare ? child->params->prepare(child->params->prepare_data) : 0;
}

CHILD_CODE static int change_directory(struct child *child)
{
	return result_of(syscall(SYS_chdir, child->params->directory ? child->params->directory : "/"));
}

CHILD_CODE static bool is_named(const struct spawn_params *params, int fd)
{
	for (size_t i = 0; i < params->fd_count; i++)
		if (params->fds[i].to == fd)
			return true;
	return false;
}

/* First all copies above the targets, so that no target overwrites a source that is still needed. */
CHILD_CODE static int arrange_fds(struct child *child)
{
	const struct spawn_params *params = child->params;
	int null_fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);

	null_fd = (int)syscall(SYS_fcntl, null_fd, F_DUPFD_CLOEXEC, child->above_targets);
	if (null_fd < 0)
		return errno;
	for (size_t i = 0; i < params->fd_count; i++) {
		child->scratch_fds[i] = (int)syscall(SYS_fcntl, params->fds[i].from, F_DUPFD_CLOEXEC,
						     child->above_targets);
		if (child->scratch_fds[i] < 0)
			return errno;
	}
	if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return errno;
	for (size_t i = 0; i < params->fd_count; i++)
		if (syscall(SYS_dup3, child->scratch_fds[i], params->fds[i].to, 0) < 0)
			return errno;
	for (int fd = 0; fd <= 2; fd++)
		if (!is_named(params, fd) && syscall(SYS_dup3, null_fd, fd, 0) < 0)
			return errno;
	return 0;
}

CHILD_CODE static int drop_privileges(struct child *child)
{
	const struct spawn_params *params = child->params;

	if (!params->has_user)
		return 0;
	if (syscall(SYS_setgroups, params->group_count, params->groups) < 0 ||
	    syscall(SYS_setresgid, params->group, params->group, params->group) < 0 ||
	    syscall(SYS_setresuid, params->user, params->user, params->user) < 0)
		return errno;
	return result_of(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* After drop_privileges(), which would clear it again. */
CHILD_CODE static int tie_to_parent(struct child *child)
{
	if (!child->params->ends_with_parent)
		return 0;
	if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return errno;
	return syscall(SYS_getppid) == child->parent ? 0 : ESRCH;
}

CHILD_CODE static int execute(struct child *child)
{
	const uint64_t empty_set = 0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &empty_set, NULL, sizeof(empty_set));
	syscall(SYS_execve, child->program, child->params->argv, child->env.items);
	return errno;
}

static const struct step steps[] = {
	{ "reset signals", reset_signals },
	{ "leave the process group", leave_group },
	{ "join the cgroup", join_cgroup },
	{ "prepare", prepare },
	{ "enter the folder", change_directory },
	{ "arrange file descriptors", arrange_fds },
	{ "drop privileges", drop_privileges },
	{ "tie to the parent", tie_to_parent },
	{ "execute", execute },
};

CHILD_CODE static void child_main(void *data)
{
	struct child *child = data;

	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		int error = steps[i].run(child);

		if (error) {
			child->failed = &steps[i];
			child->error = error;
			break;
		}
	}
	for (;;)
		syscall(SYS_exit_group, 127);
}

/* In the parent */

/* Debian packages of programs that are not named like their package. */
static const char *package_of(const char *program)
{
	static const char *const packages[][2] = {
		{ "bpftool", "bpftool" }, { "btrfs", "btrfs-progs" }, { "cloud-localds", "cloud-image-utils" },
		{ "conmon", "conmon" }, { "cpio", "cpio" }, { "crun", "crun" }, { "curl", "curl" },
		{ "dnsmasq", "dnsmasq-base" }, { "etcd", "etcd-server" }, { "genisoimage", "genisoimage" },
		{ "ip", "iproute2" }, { "mkfs.ext4", "e2fsprogs" }, { "mke2fs", "e2fsprogs" },
		{ "mkfs.vfat", "dosfstools" }, { "mmdebstrap", "mmdebstrap" }, { "nft", "nftables" },
		{ "ovs-vsctl", "openvswitch-switch" }, { "qemu-img", "qemu-utils" },
		{ "qemu-io", "qemu-utils" }, { "qemu-nbd", "qemu-utils" },
		{ "qemu-system-x86_64", "qemu-system-x86" }, { "rbd", "ceph-common" },
		{ "resize2fs", "e2fsprogs" }, { "sfdisk", "fdisk" }, { "skopeo", "skopeo" },
		{ "swtpm", "swtpm" }, { "tc", "iproute2" }, { "umoci", "umoci" },
		{ "virtiofsd", "virtiofsd" }, { "xorriso", "xorriso" },
	};

	for (size_t i = 0; i < ARRAY_COUNT(packages); i++)
		if (strcmp(packages[i][0], program) == 0)
			return packages[i][1];
	return NULL;
}

static const char *search_path(void)
{
	const char *path = getenv("PATH");

	return path && *path ? path : DEFAULT_PATH;
}

/* The first executable 'name' in the colon-separated 'path', on the heap, or null. */
static char *find_in(const char *path, const char *name)
{
	while (*path) {
		size_t length = strcspn(path, ":");
		char *candidate = text_format("%.*s/%s", (int)length, path, name);

		/* An empty or relative element would mean the current folder: never. */
		if (path[0] == '/' && access(candidate, X_OK) == 0)
			return candidate;
		free(candidate);
		path += length + (path[length] == ':');
	}
	return NULL;
}

int spawn_find(const char *name, char **ret_path, struct err *err)
{
	const char *package = package_of(name);
	char *program;

	if (strchr(name, '/')) {
		*ret_path = text_copy(name);
		return 0;
	}
	program = find_in(search_path(), name);
	if (!program)			/* A plain user's PATH lacks the sbin folders. */
		program = find_in(DEFAULT_PATH, name);
	if (!program && package)
		return err_set(err, -ENOENT, "program '%s' is not installed; install the package '%s'",
			       shown(name), package);
	if (!program)
		return err_set(err, -ENOENT, "program '%s' is not installed", shown(name));
	*ret_path = program;
	return 0;
}

static bool has_variable(const char *const *env, const char *prefix)
{
	for (; env && *env; env++)
		if (text_starts_with(*env, prefix))
			return true;
	return false;
}

static void make_environment(struct child *child)
{
	const char *const *env = child->params->env;

	if (!has_variable(env, "PATH="))
		*vec_push(&child->env) = text_format("PATH=%s", search_path());
	if (!has_variable(env, "LANG="))
		*vec_push(&child->env) = text_copy("LANG=C.UTF-8");
	for (; env && *env; env++)
		*vec_push(&child->env) = text_copy(*env);
	*vec_push(&child->env) = NULL;
}

static void child_done(struct child *child)
{
	for (size_t i = 0; i < child->env.count; i++)
		free(child->env.items[i]);
	vec_done(&child->env);
	closep(&child->cgroup_fd);
	free(child->program);
	free(child->cgroup_procs);
	free(child->scratch_fds);
}

/* -1 when it is not of cgroup v2, or not there: then the child says what is wrong. */
static int open_cgroup2(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return -1;
	return take_fd(fd);
}

static int child_init(struct child *child, const struct spawn_params *params, struct err *err)
{
	int r;

	*child = (struct child){ .params = params, .cgroup_fd = -1, .above_targets = 3, .parent = getpid() };
	r = spawn_find(params->argv[0], &child->program, err);
	if (r < 0)
		return r;
	make_environment(child);
	if (params->cgroup)
		child->cgroup_fd = open_cgroup2(params->cgroup);
	child->scratch_fds = alloc(params->fd_count * sizeof(child->scratch_fds[0]));
	for (size_t i = 0; i < params->fd_count; i++)
		if (params->fds[i].to >= child->above_targets)
			child->above_targets = params->fds[i].to + 1;
	return 0;
}

static int explain_failure(const struct child *child, struct err *err)
{
	const struct spawn_params *params = child->params;
	const char *object = child->program;

	if (child->failed->run == join_cgroup)
		object = params->cgroup;
	else if (child->failed->run == change_directory && params->directory)
		object = params->directory;
	return err_set(err, -child->error, "start '%s': %s '%s': %m", shown(params->argv[0]),
		       child->failed->what, shown(object));
}

static pid_t start_child(struct child *child, int *ret_pidfd)
{
	char stack[CHILD_STACK_BYTES] __attribute__((aligned(16)));
	const char *cgroup = child->params->cgroup;
	pid_t pid = -EBADF;

	if (child->cgroup_fd >= 0)
		pid = clone_vfork(child_main, child, stack, sizeof(stack), child->cgroup_fd, ret_pidfd);
	if (pid < 0 && cgroup)
		child->cgroup_procs = text_format("%s/cgroup.procs", cgroup);
	if (pid < 0)
		pid = clone_vfork(child_main, child, stack, sizeof(stack), -1, ret_pidfd);
	return pid;
}

static int run_child(struct child *child, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	auto_close int pidfd = -1;
	sigset_t all, old;
	pid_t pid;

	/* No handler of ours may run in the child, where it would touch our memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = start_child(child, &pidfd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);

	if (pid < 0)
		return err_set(err, pid, "start '%s': %m", shown(child->program));
	if (child->failed) {
		waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED);
		return explain_failure(child, err);
	}
	if (ret_pid)
		*ret_pid = pid;
	if (ret_pidfd)
		*ret_pidfd = take_fd(pidfd);
	return 0;
}

int spawn_start(const struct spawn_params *params, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	struct child child;
	int r;

	assert(params->argv && params->argv[0]);
	assert(!params->has_user || params->groups || !params->group_count);

	r = child_init(&child, params, err);
	if (r == 0)
		r = run_child(&child, ret_pid, ret_pidfd, err);
	child_done(&child);
	return r;
}

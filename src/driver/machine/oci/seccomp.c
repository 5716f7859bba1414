#include "driver/machine/oci/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "driver/machine/oci/capability.h"

static const char *const allowed[] = {
	"_llseek", "_newselect", "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl",
	"arm_fadvise64_64", "arm_sync_file_range", "bind", "breakpoint", "brk", "cacheflush", "cachestat", "capget",
	"capset", "chdir", "chmod", "chown", "chown32", "clock_adjtime", "clock_adjtime64", "clock_getres",
	"clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64",
	"close", "close_range", "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create",
	"epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old",
	"eventfd", "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64",
	"fadvise64_64", "fallocate", "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
	"fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork",
	"fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
	"ftruncate64", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake",
	"futimesat", "get_mempolicy", "get_robust_list", "get_thread_area", "getcpu", "getcwd", "getdents",
	"getdents64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
	"getgroups32", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
	"getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage", "getsid",
	"getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat",
	"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy",
	"io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "ioprio_get",
	"ioprio_set", "ipc", "kill", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self",
	"lchown", "lchown32", "lgetxattr", "link", "linkat", "listen", "listxattr", "listxattrat", "llistxattr",
	"lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "madvise", "map_shadow_stack", "mbind",
	"membarrier", "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock",
	"mlock2", "mlockall", "mmap", "mmap2", "modify_ldt", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
	"mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "mremap",
	"mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall", "munmap",
	"name_to_handle_at", "nanosleep", "newfstatat", "open", "openat", "openat2", "pause", "pidfd_getfd",
	"pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll",
	"ppoll", "ppoll_time64", "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_mrelease",
	"process_vm_readv", "process_vm_writev", "pselect6", "pselect6_time64", "ptrace", "pwrite64", "pwritev",
	"pwritev2", "read", "readahead", "readdir", "readlink", "readlinkat", "readv", "recv", "recvfrom",
	"recvmmsg", "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr", "removexattrat", "rename",
	"renameat", "renameat2", "restart_syscall", "riscv_flush_icache", "rmdir", "rseq", "rt_sigaction",
	"rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
	"rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min",
	"sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
	"sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
	"sched_yield", "seccomp", "select", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "send",
	"sendfile", "sendfile64", "sendmmsg", "sendmsg", "sendto", "set_mempolicy", "set_mempolicy_home_node",
	"set_robust_list", "set_thread_area", "set_tid_address", "set_tls", "setfsgid", "setfsgid32", "setfsuid",
	"setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setitimer", "setpgid", "setpriority",
	"setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32",
	"setrlimit", "setsid", "setsockopt", "setuid", "setuid32", "setxattr", "setxattrat", "shmat", "shmctl",
	"shmdt", "shmget", "shutdown", "sigaction", "sigaltstack", "signal", "signalfd", "signalfd4", "sigpending",
	"sigprocmask", "sigreturn", "sigsuspend", "socketcall", "socketpair", "splice", "stat", "stat64", "statfs",
	"statfs64", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "sync_file_range2", "syncfs",
	"sysinfo", "syslog", "tee", "tgkill", "time", "timer_create", "timer_delete", "timer_getoverrun",
	"timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64", "timerfd", "timerfd_create",
	"timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times", "tkill", "truncate",
	"truncate64", "ugetrlimit", "umask", "uname", "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64",
	"utimes", "vfork", "vmsplice", "wait4", "waitid", "waitpid", "write", "writev",
};

static const char *const refused[] = {
	"bdflush", "io_uring_enter", "io_uring_register", "io_uring_setup", "kexec_file_load", "kexec_load",
	"migrate_pages", "move_pages", "nfsservctl", "nice", "oldfstat", "oldlstat", "oldolduname", "oldstat",
	"olduname", "pciconfig_iobase", "pciconfig_read", "pciconfig_write", "sgetmask", "ssetmask", "swapcontext",
	"swapoff", "swapon", "sysfs", "uselib", "ustat", "vm86", "vm86old",
};

static const char *const sys_admin_calls[] = {
	"add_key", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "keyctl", "lookup_dcookie", "mount",
	"mount_setattr", "move_mount", "open_tree", "pivot_root", "quotactl", "quotactl_fd", "request_key",
	"setdomainname", "sethostname", "setns", "umount", "umount2", "unshare",
};

static const char *const sys_module_calls[] = {
	"delete_module", "finit_module", "init_module", "query_module",
};

static const char *const sys_time_calls[] = {
	"clock_settime", "clock_settime64", "settimeofday", "stime",
};

struct group { int capability; const char *const *names; size_t count; };

#define GROUP(capability, ...) { capability, (const char *const[]){ __VA_ARGS__ }, \
	ARRAY_COUNT(((const char *const[]){ __VA_ARGS__ })) }

static const struct group groups[] = {
	{ CAP_SYS_ADMIN, sys_admin_calls, ARRAY_COUNT(sys_admin_calls) },
	GROUP(CAP_DAC_READ_SEARCH, "open_by_handle_at"),
	GROUP(CAP_SYS_CHROOT, "chroot"),
	{ CAP_SYS_MODULE, sys_module_calls, ARRAY_COUNT(sys_module_calls) },
	GROUP(CAP_SYS_PACCT, "acct"),
	GROUP(CAP_SYS_PTRACE, "kcmp", "process_madvise", "userfaultfd"),
	GROUP(CAP_SYS_RAWIO, "ioperm", "iopl"),
	{ CAP_SYS_TIME, sys_time_calls, ARRAY_COUNT(sys_time_calls) },
	GROUP(CAP_SYS_TTY_CONFIG, "vhangup"),
	GROUP(CAP_SYS_BOOT, "reboot"),
	GROUP(CAP_BPF, "bpf"),
	GROUP(CAP_PERFMON, "perf_event_open"),
};

/* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
enum { CLONE_NEW_ANYTHING = 0x7e020000 };

static const uint64_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

struct condition { unsigned argument; uint64_t value, value2; const char *operator; };

static void write_names(struct json_writer *writer, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_write_string(writer, NULL, names[i]);
}

static void begin_rule(struct json_writer *writer)
{
	json_write_object(writer, NULL);
	json_write_array(writer, "names");
}

/* 'error' 0: allowed. 'condition' may be null. */
static void end_rule(struct json_writer *writer, int error, const struct condition *condition)
{
	json_write_end_array(writer);
	json_write_string(writer, "action", error ? "SCMP_ACT_ERRNO" : "SCMP_ACT_ALLOW");
	if (error)
		json_write_int(writer, "errnoRet", error);
	if (condition) {
		json_write_array(writer, "args");
		json_write_object(writer, NULL);
		json_write_uint(writer, "index", condition->argument);
		json_write_uint(writer, "value", condition->value);
		json_write_uint(writer, "valueTwo", condition->value2);
		json_write_string(writer, "op", condition->operator);
		json_write_end_object(writer);
		json_write_end_array(writer);
	}
	json_write_end_object(writer);
}

static void write_conditional(struct json_writer *writer, const char *name, const struct condition *condition)
{
	begin_rule(writer);
	write_names(writer, &name, 1);
	end_rule(writer, 0, condition);
}

static void write_architectures(struct json_writer *writer)
{
	json_write_array(writer, "architectures");
#if defined(__x86_64__)
	json_write_string(writer, NULL, "SCMP_ARCH_X86_64");
	json_write_string(writer, NULL, "SCMP_ARCH_X86");
#elif defined(__aarch64__)
	json_write_string(writer, NULL, "SCMP_ARCH_AARCH64");
	json_write_string(writer, NULL, "SCMP_ARCH_ARM");
#endif
	json_write_end_array(writer);
}

static void write_groups(struct json_writer *writer, uint64_t capabilities, bool is_allowed)
{
	begin_rule(writer);
	if (is_allowed)
		write_names(writer, allowed, ARRAY_COUNT(allowed));
	else
		write_names(writer, refused, ARRAY_COUNT(refused));
	for (size_t i = 0; i < ARRAY_COUNT(groups); i++)
		if (!(capabilities & CAPABILITY(groups[i].capability)) != is_allowed)
			write_names(writer, groups[i].names, groups[i].count);
	if (is_allowed && capabilities & CAPABILITY(CAP_SYS_ADMIN))
		write_names(writer, (const char *const[]){ "clone", "clone3" }, 2);
	end_rule(writer, is_allowed ? 0 : EPERM, NULL);
}

void seccomp_write(struct json_writer *writer, uint64_t capabilities)
{
	json_write_object(writer, "seccomp");
	json_write_string(writer, "defaultAction", "SCMP_ACT_ERRNO");
	json_write_int(writer, "defaultErrnoRet", ENOSYS);
	write_architectures(writer);
	json_write_array(writer, "syscalls");
	write_groups(writer, capabilities, true);
	write_groups(writer, capabilities, false);
	if (!(capabilities & CAPABILITY(CAP_SYS_ADMIN)))
		write_conditional(writer, "clone", &(struct condition){ 0, CLONE_NEW_ANYTHING, 0, "SCMP_CMP_MASKED_EQ" });
	write_conditional(writer, "socket", &(struct condition){ 0, AF_VSOCK, 0, "SCMP_CMP_NE" });
	for (size_t i = 0; i < ARRAY_COUNT(personalities); i++)
		write_conditional(writer, "personality", &(struct condition){ 0, personalities[i], 0, "SCMP_CMP_EQ" });
	json_write_end_array(writer);
	json_write_end_object(writer);
}

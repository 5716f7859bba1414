#include "base/clone.h"

#include <errno.h>
#include <linux/sched.h>	/* struct clone_args; before sched.h, which has the same flags. */
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

#define FLAGS (CLONE_VM | CLONE_VFORK | CLONE_PIDFD)

/*
 * glibc (2.36) has no clone3(2), and syscall(2) cannot make it on another stack: the
 * child would return to an address that is not there. Where this is not written for the
 * processor the answer is -ENOSYS.
 */
static long clone3_on_stack(struct clone_args *args, void (*fn)(void *data), void *data)
{
#if defined(__x86_64__)
	long result = SYS_clone3;

	__asm__ volatile(
		"syscall\n\t"
		"test %%rax, %%rax\n\t"
		"jnz 1f\n\t"
		"mov %[data], %%rdi\n\t"
		"call *%[fn]\n\t"
		"ud2\n"
		"1:"
		: "+a"(result)
		: "D"(args), "S"(sizeof(*args)), [fn] "r"(fn), [data] "r"(data)
		: "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long number __asm__("x8") = SYS_clone3;
	register long result __asm__("x0") = (long)args;
	register long size __asm__("x1") = sizeof(*args);

	__asm__ volatile(
		"svc #0\n\t"
		"cbnz x0, 1f\n\t"
		"mov x0, %[data]\n\t"
		"blr %[fn]\n\t"
		"brk #1\n"
		"1:"
		: "+r"(result)
		: "r"(number), "r"(size), [fn] "r"(fn), [data] "r"(data)
		: "memory", "cc");
	return result;
#else
	(void)args;
	(void)fn;
	(void)data;
	return -ENOSYS;
#endif
}

struct call {
	void (*fn)(void *data);
	void *data;
};

CHILD_CODE static int run_call(void *data)
{
	struct call *call = data;

	call->fn(call->data);
	return 0;
}

pid_t clone_vfork(void (*fn)(void *data), void *data, void *stack, size_t stack_size, int cgroup_fd,
		  int *ret_pidfd)
{
	struct clone_args args = {
		.flags = FLAGS | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_size = stack_size,
		.cgroup = cgroup_fd >= 0 ? (unsigned)cgroup_fd : 0,
	};
	struct call call = { fn, data };
	pid_t pid = (pid_t)clone3_on_stack(&args, fn, data);

	/* Container runtimes hide clone3 from their guests, for they cannot look into its arguments. */
	if (pid != -ENOSYS || cgroup_fd >= 0)
		return pid;
	pid = clone(run_call, (char *)stack + stack_size, FLAGS | SIGCHLD, &call, ret_pidfd);
	return pid < 0 ? -errno : pid;
}

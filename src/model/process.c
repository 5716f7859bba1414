#include "model/process.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

_Static_assert(CAP_LAST_CAP + 1 >= CAPABILITY_COUNT, "the kernel's headers are older than Linux 5.9");

const char *const capability_names[CAPABILITY_COUNT] = {
	[CAP_CHOWN] = "CHOWN", [CAP_DAC_OVERRIDE] = "DAC_OVERRIDE", [CAP_DAC_READ_SEARCH] = "DAC_READ_SEARCH",
	[CAP_FOWNER] = "FOWNER", [CAP_FSETID] = "FSETID", [CAP_KILL] = "KILL", [CAP_SETGID] = "SETGID",
	[CAP_SETUID] = "SETUID", [CAP_SETPCAP] = "SETPCAP", [CAP_LINUX_IMMUTABLE] = "LINUX_IMMUTABLE",
	[CAP_NET_BIND_SERVICE] = "NET_BIND_SERVICE", [CAP_NET_BROADCAST] = "NET_BROADCAST", [CAP_NET_ADMIN] = "NET_ADMIN",
	[CAP_NET_RAW] = "NET_RAW", [CAP_IPC_LOCK] = "IPC_LOCK", [CAP_IPC_OWNER] = "IPC_OWNER",
	[CAP_SYS_MODULE] = "SYS_MODULE", [CAP_SYS_RAWIO] = "SYS_RAWIO", [CAP_SYS_CHROOT] = "SYS_CHROOT",
	[CAP_SYS_PTRACE] = "SYS_PTRACE", [CAP_SYS_PACCT] = "SYS_PACCT", [CAP_SYS_ADMIN] = "SYS_ADMIN",
	[CAP_SYS_BOOT] = "SYS_BOOT", [CAP_SYS_NICE] = "SYS_NICE", [CAP_SYS_RESOURCE] = "SYS_RESOURCE",
	[CAP_SYS_TIME] = "SYS_TIME", [CAP_SYS_TTY_CONFIG] = "SYS_TTY_CONFIG", [CAP_MKNOD] = "MKNOD",
	[CAP_LEASE] = "LEASE", [CAP_AUDIT_WRITE] = "AUDIT_WRITE", [CAP_AUDIT_CONTROL] = "AUDIT_CONTROL",
	[CAP_SETFCAP] = "SETFCAP", [CAP_MAC_OVERRIDE] = "MAC_OVERRIDE", [CAP_MAC_ADMIN] = "MAC_ADMIN",
	[CAP_SYSLOG] = "SYSLOG", [CAP_WAKE_ALARM] = "WAKE_ALARM", [CAP_BLOCK_SUSPEND] = "BLOCK_SUSPEND",
	[CAP_AUDIT_READ] = "AUDIT_READ", [CAP_PERFMON] = "PERFMON", [CAP_BPF] = "BPF",
	[CAP_CHECKPOINT_RESTORE] = "CHECKPOINT_RESTORE",
};

int signal_number(const char *text)
{
	int offset = 0, end = 0;

	if (text[0] >= '0' && text[0] <= '9')
		return sscanf(text, "%d%n", &offset, &end) == 1 && !text[end] && offset <= SIGRTMAX ? offset : 0;
	if (text_starts_with(text, "SIG"))
		text += 3;
	if (text_equal(text, "RTMIN"))
		return SIGRTMIN;
	if (sscanf(text, "RTMIN+%d%n", &offset, &end) == 1 && !text[end])
		return offset >= 0 && SIGRTMIN + offset <= SIGRTMAX ? SIGRTMIN + offset : 0;
	for (int number = 1; number < SIGRTMIN; number++)
		if (text_equal(sigabbrev_np(number), text))
			return number;
	return 0;
}

int signal_check(const void *text, struct err *err)
{
	if (!signal_number(text))
		return err_set(err, -EINVAL, "'%s' is not a signal: use one like SIGTERM or SIGRTMIN+3", shown((const char *)text));
	return 0;
}

int capability_check(const void *text, struct err *err)
{
	const char *name = strncasecmp(text, "CAP_", 4) == 0 ? (const char *)text + 4 : text;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++)
		if (strcasecmp(name, capability_names[i]) == 0)
			return 0;
	if (strcasecmp(name, "ALL") == 0)
		return 0;
	return err_set(err, -EINVAL, "'%s' is not a capability: use one like NET_ADMIN, or ALL", shown((const char *)text));
}

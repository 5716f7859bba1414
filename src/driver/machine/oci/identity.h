/*
 * identity.h - acting as the container's root on its file systems, with the rights of ours.
 *
 * A mount with mapped ids knows only those of the container: what root of the host would make in it had no owner there
 * (EOVERFLOW). So the ids for files change, while the capabilities stay, which the kernel takes along with them.
 *
 * Threads: of the calling thread alone; identity_enter() may be called in a child as base/clone.h has it.
 */
#ifndef DRIVER_MACHINE_OCI_IDENTITY_H
#define DRIVER_MACHINE_OCI_IDENTITY_H

#include <linux/capability.h>
#include <sys/types.h>

struct identity {
	uid_t owner;
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

/* What is ours now. 0, or -errno. */
int identity_init(struct identity *identity, uid_t owner);
/* 0, or errno. */
int identity_enter(const struct identity *identity);
int identity_leave(const struct identity *identity);	/* To root of the host. */

#endif

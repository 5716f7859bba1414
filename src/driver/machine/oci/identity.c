#include "driver/machine/oci/identity.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/mem.h"

int identity_init(struct identity *identity, uid_t owner)
{
	*identity = (struct identity){ .owner = owner, .header.version = _LINUX_CAPABILITY_VERSION_3 };
	if (syscall(SYS_capget, &identity->header, identity->data) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_COUNT(identity->data); i++)
		identity->data[i].effective = identity->data[i].permitted;
	return 0;
}

CHILD_CODE static int become(const struct identity *identity, uid_t id)
{
	syscall(SYS_setfsgid, id);
	syscall(SYS_setfsuid, id);
	return syscall(SYS_capset, &identity->header, identity->data) < 0 ? errno : 0;
}

CHILD_CODE int identity_enter(const struct identity *identity)
{
	return become(identity, identity->owner);
}

CHILD_CODE int identity_leave(const struct identity *identity)
{
	return become(identity, 0);
}

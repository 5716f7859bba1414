#include "driver/machine/oci/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>

#include "base/mem.h"
#include "model/process.h"

static const uint64_t defaults =
	CAPABILITY(CAP_CHOWN) | CAPABILITY(CAP_DAC_OVERRIDE) | CAPABILITY(CAP_FOWNER) | CAPABILITY(CAP_FSETID) |
	CAPABILITY(CAP_KILL) | CAPABILITY(CAP_SETGID) | CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETPCAP) |
	CAPABILITY(CAP_NET_BIND_SERVICE) | CAPABILITY(CAP_SYS_CHROOT);

static const uint64_t for_init =
	CAPABILITY(CAP_SYS_ADMIN) | CAPABILITY(CAP_SYS_BOOT) | CAPABILITY(CAP_SYS_NICE) | CAPABILITY(CAP_SYS_PTRACE) |
	CAPABILITY(CAP_SYS_RESOURCE) | CAPABILITY(CAP_SYS_TTY_CONFIG) | CAPABILITY(CAP_NET_ADMIN) |
	CAPABILITY(CAP_NET_RAW) | CAPABILITY(CAP_NET_BROADCAST) | CAPABILITY(CAP_AUDIT_WRITE) |
	CAPABILITY(CAP_AUDIT_CONTROL) | CAPABILITY(CAP_DAC_READ_SEARCH) | CAPABILITY(CAP_IPC_LOCK) |
	CAPABILITY(CAP_IPC_OWNER) | CAPABILITY(CAP_LEASE) | CAPABILITY(CAP_LINUX_IMMUTABLE) | CAPABILITY(CAP_MKNOD) |
	CAPABILITY(CAP_SETFCAP);

/* What this kernel knows and we have to give. */
static uint64_t available(void)
{
	uint64_t set = 0;

	for (unsigned i = 0; i < CAPABILITY_COUNT; i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			set |= CAPABILITY(i);
	return set;
}

static int take_name(const char *name, uint64_t *set, struct err *err)
{
	const char *plain = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

	if (strcasecmp(plain, "ALL") == 0) {
		*set |= available();
		return 0;
	}
	for (unsigned i = 0; i < CAPABILITY_COUNT; i++)
		if (strcasecmp(plain, capability_names[i]) == 0) {
			*set |= CAPABILITY(i);
			return 0;
		}
	return err_set(err, -EINVAL, "there is no capability '%s': write it as in 'NET_ADMIN', or 'ALL'", shown(name));
}

int capability_parse(const char *const *list, uint64_t *set, struct err *err)
{
	int r = 0;

	for (; r == 0 && list && *list; list++)
		r = take_name(*list, set, err);
	return r;
}

int capability_choose(const struct machine_container *container, struct capability_sets *ret_sets, struct err *err)
{
	uint64_t base = defaults | (container->is_init ? for_init : 0), added = 0, dropped = 0;
	int r = capability_parse(container->cap_add, &added, err);

	if (r == 0)
		r = capability_parse(container->cap_drop, &dropped, err);
	if (r < 0)
		return r;
	/* "drop ALL, add CHOWN" leaves CHOWN. */
	*ret_sets = (struct capability_sets){ ((base & ~dropped) | added) & available(), added & available() };
	return 0;
}

static void write_set(struct json_writer *writer, const char *key, uint64_t set)
{
	char name[40];

	json_write_array(writer, key);
	for (unsigned i = 0; i < CAPABILITY_COUNT; i++) {
		if (!(set & CAPABILITY(i)))
			continue;
		snprintf(name, sizeof(name), "CAP_%s", capability_names[i]);
		json_write_string(writer, NULL, name);
	}
	json_write_end_array(writer);
}

void capability_write(struct json_writer *writer, const struct capability_sets *sets, uid_t user)
{
	uint64_t own = user == 0 ? sets->bounding : sets->added;

	json_write_object(writer, "capabilities");
	write_set(writer, "bounding", sets->bounding);
	write_set(writer, "effective", own);
	write_set(writer, "permitted", own);
	/* Root gains them by exec as root does; others keep theirs over exec only as ambient ones. */
	write_set(writer, "inheritable", user == 0 ? 0 : own);
	write_set(writer, "ambient", user == 0 ? 0 : own);
	json_write_end_object(writer);
}

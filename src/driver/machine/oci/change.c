/* Limits of a machine that runs. */
#include <errno.h>

#include "base/str.h"
#include "driver/machine/oci/limits.h"
#include "driver/machine/oci/oci.h"

int oci_resize(struct machine_driver *driver, const char *uid, unsigned cpus, uint64_t memory_bytes, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	pid_t pid;
	int r = oci_find(oci, uid, &pid, err);

	if (r == 0 && cpus)
		r = limits_set_cpus(&oci->layout, uid, cpus, err);
	if (r == 0 && memory_bytes)
		r = limits_set_memory(&oci->layout, uid, memory_bytes, err);
	return r;
}

int oci_update(struct machine_driver *driver, const struct machine_config *config, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	pid_t pid;
	int r = oci_find(oci, config->uid, &pid, err);

	if (r == 0 && !config->container)
		return err_set(err, -EINVAL, "machine '%s' is a container", shown(config->uid));
	return r < 0 ? r : limits_apply(&oci->layout, config, err);
}

/* Limits of a machine that runs. */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "driver/machine/oci/latency.h"
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

/* The processes of one group. Who ends meanwhile needs nothing any more. */
static int set_latency_of(const char *group, enum machine_latency latency, struct err *err)
{
	auto_free char *path = text_format("%s/cgroup.procs", group);
	auto_str struct str text = { 0 };
	char *rest, *line;
	int r = file_read_all(path, LIMIT_BODY_BYTES, &text, err);

	if (r < 0)
		return r == -ENOENT || r == -ENODEV ? 0 : r;
	for (rest = text.data; r == 0 && (line = strsep(&rest, "\n"));)
		if (line[0])
			r = latency_apply((pid_t)atoi(line), latency, err);
	return r == -ESRCH ? 0 : r;
}

/* What starts later inherits it from its parent. */
static int set_latency(const struct oci *oci, const char *uid, enum machine_latency latency, struct err *err)
{
	auto_free char *group = layout_group(&oci->layout, uid, "container");
	char *const roots[] = { group, NULL };
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int r = 0;

	if (!walk)
		return err_set(err, -errno, "list the container's processes: %m");
	while (r == 0 && (entry = fts_read(walk)))
		if (entry->fts_info == FTS_D)
			r = set_latency_of(entry->fts_path, latency, err);
	fts_close(walk);
	return r;
}

int oci_update(struct machine_driver *driver, const struct machine_config *config, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	pid_t pid;
	int r = oci_find(oci, config->uid, &pid, err);

	if (r == 0 && !config->container)
		return err_set(err, -EINVAL, "machine '%s' is a container", shown(config->uid));
	if (r == 0)
		r = limits_apply(&oci->layout, config, err);
	return r < 0 ? r : set_latency(oci, config->uid, config->container->latency, err);
}

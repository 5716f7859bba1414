/* What this host can do, found by trying. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/spawn.h"
#include "driver/machine/oci/idmap.h"
#include "driver/machine/oci/latency.h"
#include "driver/machine/oci/oci.h"

enum { VERSION_TIMEOUT_MS = 10000, PROBE_UID = 100000, PROBE_COUNT = 65536 };

static int read_version(const char *program, char *version, size_t size, struct err *err)
{
	const char *argv[] = { program, "--version", NULL };
	auto_str struct str output = { 0 };
	struct spawn_io io = { .output = &output, .timeout_ms = VERSION_TIMEOUT_MS };
	const char *number;
	int r = spawn_run(&(struct spawn_params){ .argv = argv }, &io, err);

	if (r < 0)
		return r;
	number = strstr(str_text(&output), "version ");
	number = number ? number + strlen("version ") : "";
	snprintf(version, size, "%.*s", (int)strcspn(number, " \n"), number);
	return version[0] ? 0 : err_set(err, -EIO, "'%s --version' names no version", shown(program));
}

static int read_versions(const struct oci *oci, struct machine_capabilities *capabilities, struct err *err)
{
	char crun[24], conmon[24];
	int r = read_version(oci->program, crun, sizeof(crun), err);

	if (r == 0)
		r = read_version("conmon", conmon, sizeof(conmon), err);
	if (r == 0)
		snprintf(capabilities->version, sizeof(capabilities->version), "crun %s, conmon %s", crun, conmon);
	return r;
}

/* User namespaces, and mounts with other ids where the machines' files usually are. */
static int try_ids(struct err *err)
{
	auto_close int idmap = idmap_open(PROBE_UID, PROBE_COUNT, err);
	auto_close int mount = -1;

	if (idmap < 0)
		return idmap;
	mount = idmap_mount("/var/lib", idmap, false, true, err);
	return mount < 0 ? mount : 0;
}

static void warn(struct machine_capabilities *capabilities, const char *words)
{
	*vec_push(&capabilities->warnings) = text_copy(words);
}

static void add_warnings(const struct oci *oci, struct machine_capabilities *capabilities)
{
	struct err err = { 0 };

	if (try_ids(&err) < 0)
		warn(capabilities, err.msg);
	if (oci->layout.hierarchies.count)
		warn(capabilities, "cgroups of version 1 do not limit writes that are buffered in memory: boot with"
		     " systemd.unified_cgroup_hierarchy=1");
}

int oci_probe(struct machine_driver *driver, struct machine_capabilities *ret_capabilities, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	struct machine_capabilities capabilities = {
		.driver = "oci", .accelerator = "none", .accelerator_reason = "containers run on the host's own kernel",
		.migration_reason = OCI_NO_MIGRATION,
	};
	int r = read_versions(oci, &capabilities, err);

	if (r == 0)
		r = layout_check(&oci->layout, err);
	if (r < 0)
		return r;
	add_warnings(oci, &capabilities);
	capabilities.has_latency = latency_probe(capabilities.latency_reason, sizeof(capabilities.latency_reason)) == 0;
	*ret_capabilities = capabilities;
	return 0;
}

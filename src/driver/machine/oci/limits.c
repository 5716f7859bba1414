#include "driver/machine/oci/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

enum {
	PERIOD_US = 100000, WEIGHT_DEFAULT = 100,
	SHARES_DEFAULT = 1024, SHARES_MIN = 2, SHARES_MAX = 262144, MOUNTINFO_MAX_BYTES = 16 << 20,
};

struct target {
	const struct layout *layout;
	const char *uid;
	bool is_unlimited;		/* A host without the controller keeps that well. */
};

/* Files */

static int write_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int explain(int code, const char *what, const char *path, struct err *err)
{
	if (code == 0)
		return 0;
	if (code == -ENOENT)
		return err_set(err, -EOPNOTSUPP, "this host cannot limit a container's %s: '%s' is not there", what, path);
	if (code == -EBUSY)
		return err_set(err, code, "the container uses more %s than that now", what);
	return err_set(err, code, "limit the container's %s: %m", what);
}

/* In version 1 when 'controller' is there: 'file1', else 'file2'. 'text' is the same for both. */
static int set(struct target target, const char *what, const char *controller, const char *file1, const char *file2,
	       const char *text, struct err *err)
{
	auto_free char *path1 = layout_file1(target.layout, target.uid, controller, file1);
	auto_free char *path2 = path1 ? NULL : layout_file2(target.layout, target.uid, file2);
	const char *path = path1 ? path1 : path2;
	int r = write_file(path, text);

	return r == -ENOENT && target.is_unlimited ? 0 : explain(r, what, path, err);
}

static bool is_version1(struct target target, const char *controller)
{
	auto_free char *path = layout_file1(target.layout, target.uid, controller, "");

	return path != NULL;
}

/* Memory */

/* The limit with swap must not be below the one without at any moment. */
static int set_memory1(struct target target, const char *text, struct err *err)
{
	auto_free char *memory = layout_file1(target.layout, target.uid, "memory", "memory.limit_in_bytes");
	auto_free char *both = layout_file1(target.layout, target.uid, "memory", "memory.memsw.limit_in_bytes");
	bool counts_swap = access(both, F_OK) == 0;
	int first = write_file(memory, text), r = 0;

	if (first == -EBUSY || first == -ENOENT)
		return explain(first, "memory", memory, err);
	if (counts_swap)
		r = explain(write_file(both, text), "memory and swap", both, err);
	return r == 0 && first < 0 ? explain(write_file(memory, text), "memory", memory, err) : r;
}

/* No swap with a limit, so that the limit means what it says. */
static int set_memory2(struct target target, const char *text, struct err *err)
{
	auto_free char *swap = layout_file2(target.layout, target.uid, "memory.swap.max");
	auto_free char *memory = layout_file2(target.layout, target.uid, "memory.max");
	int r = write_file(memory, text);

	if (r == -ENOENT && target.is_unlimited)
		return 0;
	if (r == 0)
		write_file(swap, target.is_unlimited ? "max" : "0");	/* Not there: the kernel has no swap. */
	return explain(r, "memory", memory, err);
}

int limits_set_memory(const struct layout *layout, const char *uid, uint64_t bytes, struct err *err)
{
	struct target target = { layout, uid, bytes == 0 };
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (is_version1(target, "memory"))
		return set_memory1(target, bytes ? text : "-1", err);
	return set_memory2(target, bytes ? text : "max", err);
}

/* Processors */

int limits_set_cpus(const struct layout *layout, const char *uid, unsigned cpus, struct err *err)
{
	struct target target = { layout, uid, cpus == 0 };
	char quota[48];

	if (is_version1(target, "cpu")) {
		snprintf(quota, sizeof(quota), "%lld", cpus ? (long long)cpus * PERIOD_US : -1);
		return set(target, "CPU time", "cpu", "cpu.cfs_quota_us", NULL, quota, err);
	}
	snprintf(quota, sizeof(quota), "%lld %d", (long long)cpus * PERIOD_US, PERIOD_US);
	if (!cpus)
		snprintf(quota, sizeof(quota), "max %d", PERIOD_US);
	return set(target, "CPU time", "cpu", NULL, "cpu.max", quota, err);
}

/* Weights of version 2 have 100 in the middle, shares of version 1 have 1024. */
static int set_weight(struct target target, unsigned weight, struct err *err)
{
	unsigned long shares = (unsigned long)weight * SHARES_DEFAULT / WEIGHT_DEFAULT;
	char text[32];

	if (shares < SHARES_MIN || shares > SHARES_MAX)
		shares = shares < SHARES_MIN ? SHARES_MIN : SHARES_MAX;
	snprintf(text, sizeof(text), "%lu", is_version1(target, "cpu") ? shares : weight);
	return set(target, "CPU weight", "cpu", "cpu.shares", "cpu.weight", text, err);
}

/* Disks */

/* The device a mount is on: file systems like btrfs show numbers of their own. 'line' is changed. */
static bool take_source(char *line, dev_t wanted, dev_t *ret_device)
{
	char *rest = strstr(line, " - ");
	unsigned major_number, minor_number;
	struct stat st;

	if (!rest || sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) != 2 ||
	    makedev(major_number, minor_number) != wanted)
		return false;
	rest += 3;
	strsep(&rest, " ");
	if (!rest || stat(strsep(&rest, " "), &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	*ret_device = st.st_rdev;
	return true;
}

static bool find_source(dev_t anonymous, dev_t *ret_device)
{
	auto_str struct str text = { 0 };
	struct err err;
	char *rest, *line;

	if (file_read_all("/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, &err) < 0)
		return false;
	for (rest = text.data; rest && (line = strsep(&rest, "\n"));)
		if (take_source(line, anonymous, ret_device))
			return true;
	return false;
}

/* The whole disk, for the limit counts there and not at a partition. */
static dev_t whole_disk(dev_t device)
{
	unsigned major_number, minor_number;
	char path[80];
	auto_fclose FILE *file = NULL;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(device), minor(device));
	if (access(path, F_OK) < 0)
		return device;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(device), minor(device));
	file = fopen(path, "re");
	if (!file || fscanf(file, "%u:%u", &major_number, &minor_number) != 2)
		return device;
	return makedev(major_number, minor_number);
}

static int find_disk(const char *root, dev_t *ret_device, struct err *err)
{
	struct stat st;

	if (stat(root, &st) < 0)
		return err_set(err, -errno, "stat '%s': %m", shown(root));
	if (major(st.st_dev) == 0 && !find_source(st.st_dev, &st.st_dev))
		return err_set(err, -EOPNOTSUPP, "'%s' is not on a disk, so its reads and writes cannot be limited", shown(root));
	*ret_device = whole_disk(st.st_dev);
	return 0;
}

static int set_io1(struct target target, const char *file, dev_t device, uint64_t bps, struct err *err)
{
	char text[64];

	snprintf(text, sizeof(text), "%u:%u %llu", major(device), minor(device), (unsigned long long)bps);
	return set(target, "disk", "blkio", file, NULL, text, err);
}

static int set_io2(struct target target, dev_t device, uint64_t read_bps, uint64_t write_bps, struct err *err)
{
	char text[120], reads[32] = "max", writes[32] = "max";

	if (read_bps)
		snprintf(reads, sizeof(reads), "%llu", (unsigned long long)read_bps);
	if (write_bps)
		snprintf(writes, sizeof(writes), "%llu", (unsigned long long)write_bps);
	snprintf(text, sizeof(text), "%u:%u rbps=%s wbps=%s", major(device), minor(device), reads, writes);
	return set(target, "disk", "io", NULL, "io.max", text, err);
}

static int set_io(struct target target, const struct machine_container *container, struct err *err)
{
	dev_t device;
	int r;

	target.is_unlimited = !container->io_read_bps && !container->io_write_bps;
	r = find_disk(container->root, &device, err);
	if (r < 0)
		return target.is_unlimited ? 0 : r;
	if (!is_version1(target, "blkio"))
		r = set_io2(target, device, container->io_read_bps, container->io_write_bps, err);
	else {
		r = set_io1(target, "blkio.throttle.read_bps_device", device, container->io_read_bps, err);
		if (r == 0)
			r = set_io1(target, "blkio.throttle.write_bps_device", device, container->io_write_bps, err);
	}
	/* Devices that are no disks (a loop file's file system) cannot be named here. */
	return target.is_unlimited ? 0 : r;
}

/* All together */

static int set_pids(struct target target, uint64_t pids_max, struct err *err)
{
	char text[32] = "max";

	target.is_unlimited = pids_max == 0;
	if (pids_max)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)pids_max);
	return set(target, "number of processes", "pids", "pids.max", "pids.max", text, err);
}

int limits_apply(const struct layout *layout, const struct machine_config *config, struct err *err)
{
	const struct machine_container *container = config->container;
	struct target target = { layout, config->uid, !container->cpu_weight };
	int r = limits_set_memory(layout, config->uid, config->memory_bytes, err);

	if (r == 0)
		r = limits_set_cpus(layout, config->uid, config->cpus, err);
	if (r == 0)
		r = set_weight(target, container->cpu_weight ? container->cpu_weight : WEIGHT_DEFAULT, err);
	if (r == 0)
		r = set_pids(target, container->pids_max, err);
	return r < 0 ? r : set_io(target, container, err);
}

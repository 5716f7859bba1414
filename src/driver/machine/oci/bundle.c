#include "driver/machine/oci/bundle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "driver/machine/oci/seccomp.h"

#define SHM_DEFAULT_BYTES (UINT64_C(64) << 20)

bool bundle_has_terminal(const struct machine_container *container)
{
	/* Init systems talk on /dev/console. */
	return container->has_terminal || container->is_init;
}

/* Mounts */

static void write_mount(struct json_writer *writer, const char *type, const char *source, const char *target,
			const char *const *options)
{
	json_write_object(writer, NULL);
	json_write_string(writer, "destination", target);
	json_write_string(writer, "type", type);
	json_write_string(writer, "source", source);
	json_write_array(writer, "options");
	for (; *options; options++)
		json_write_string(writer, NULL, *options);
	json_write_end_array(writer);
	json_write_end_object(writer);
}

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static bool is_mounted_by_caller(const struct bundle *bundle, const char *target)
{
	const struct machine_container *container = bundle->config->container;

	for (size_t i = 0; i < container->mount_count; i++)
		if (text_equal(container->mounts[i].target, target))
			return true;
	return false;
}

static void write_tmpfs(struct json_writer *writer, const struct bundle *bundle, const char *target, const char *mode,
			uint64_t size_bytes, bool is_executable, bool is_read_only)
{
	uint64_t half = bundle->config->memory_bytes / 2;
	char size[40] = "", mode_option[20];
	const char *options[8] = { "nosuid", "nodev" };
	size_t count = 2;

	if (!size_bytes)
		size_bytes = half;
	snprintf(mode_option, sizeof(mode_option), "mode=%s", mode);
	snprintf(size, sizeof(size), "size=%llu", (unsigned long long)size_bytes);
	options[count++] = mode_option;
	if (size_bytes)
		options[count++] = size;
	if (!is_executable)
		options[count++] = "noexec";
	if (is_read_only)
		options[count++] = "ro";
	write_mount(writer, "tmpfs", "tmpfs", target, options);
}

static void write_etc(struct json_writer *writer, const struct bundle *bundle)
{
	static const char *const names[] = { "resolv.conf", "hosts", "hostname" };

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		auto_free char *source = text_format("%s/%s", bundle->base, names[i]);
		auto_free char *target = text_format("/etc/%s", names[i]);

		if (!is_mounted_by_caller(bundle, target))
			write_mount(writer, "bind", source, target, OPTIONS("bind", "nosuid", "nodev", "noexec"));
	}
}

/* https://systemd.io/CONTAINER_INTERFACE */
static void write_for_init(struct json_writer *writer, const struct bundle *bundle)
{
	static const struct { const char *target, *mode; } folders[] = {
		{ "/run", "0755" }, { "/run/lock", "1777" }, { "/tmp", "1777" },
	};

	for (size_t i = 0; i < ARRAY_COUNT(folders); i++)
		if (!is_mounted_by_caller(bundle, folders[i].target))
			write_tmpfs(writer, bundle, folders[i].target, folders[i].mode, 0, true, false);
	/* The machine's own part of version 2, whatever the host has beside it. */
	write_mount(writer, bundle->is_hybrid ? "cgroup2" : "cgroup", bundle->is_hybrid ? "cgroup2" : "cgroup", "/sys/fs/cgroup",
		    OPTIONS("nosuid", "nodev", "noexec", "rw"));
}

static void write_own_mounts(struct json_writer *writer, const struct bundle *bundle)
{
	const struct machine_container *container = bundle->config->container;

	for (size_t i = 0; i < container->mount_count; i++) {
		const struct machine_mount *mount = &container->mounts[i];
		auto_free char *source = text_format("%s/m%zu", bundle->base, i);

		if (mount->kind == MACHINE_MOUNT_TMPFS)
			write_tmpfs(writer, bundle, mount->target, "1777", mount->size_bytes, true, mount->is_read_only);
		else			/* It is read-only at its source already. */
			write_mount(writer, "bind", source, mount->target, OPTIONS("rbind"));
	}
}

static void write_mounts(struct json_writer *writer, const struct bundle *bundle)
{
	uint64_t half = bundle->config->memory_bytes / 2;

	json_write_array(writer, "mounts");
	write_mount(writer, "proc", "proc", "/proc", OPTIONS("nosuid", "nodev", "noexec"));
	write_mount(writer, "tmpfs", "tmpfs", "/dev", OPTIONS("nosuid", "noexec", "strictatime", "mode=755", "size=65536k"));
	write_mount(writer, "devpts", "devpts", "/dev/pts",
		    OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"));
	write_tmpfs(writer, bundle, "/dev/shm", "1777", half ? half : SHM_DEFAULT_BYTES, false, false);
	write_mount(writer, "mqueue", "mqueue", "/dev/mqueue", OPTIONS("nosuid", "nodev", "noexec"));
	write_mount(writer, "sysfs", "sysfs", "/sys", OPTIONS("nosuid", "nodev", "noexec", "ro"));
	if (bundle->config->container->is_init)
		write_for_init(writer, bundle);
	write_etc(writer, bundle);
	write_own_mounts(writer, bundle);
	json_write_end_array(writer);
}

/* Linux */

static void write_namespaces(struct json_writer *writer, bool has_user)
{
	static const char *const types[] = { "pid", "network", "ipc", "uts", "mount", "cgroup", "user" };

	json_write_array(writer, "namespaces");
	for (size_t i = 0; i < ARRAY_COUNT(types) - !has_user; i++) {
		json_write_object(writer, NULL);
		json_write_string(writer, "type", types[i]);
		json_write_end_object(writer);
	}
	json_write_end_array(writer);
}

static void write_map(struct json_writer *writer, const char *key, const struct machine_container *container)
{
	json_write_array(writer, key);
	json_write_object(writer, NULL);
	json_write_uint(writer, "containerID", 0);
	json_write_uint(writer, "hostID", container->uid_base);
	json_write_uint(writer, "size", container->uid_count);
	json_write_end_object(writer);
	json_write_end_array(writer);
}

static void write_paths(struct json_writer *writer)
{
	static const char *const masked[] = {
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
		"/sys/firmware", "/sys/fs/selinux",
	};
	static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

	json_write_array(writer, "maskedPaths");
	for (size_t i = 0; i < ARRAY_COUNT(masked); i++)
		json_write_string(writer, NULL, masked[i]);
	json_write_end_array(writer);
	json_write_array(writer, "readonlyPaths");
	for (size_t i = 0; i < ARRAY_COUNT(read_only); i++)
		json_write_string(writer, NULL, read_only[i]);
	json_write_end_array(writer);
}

/* Devices */

static int stat_device(const char *path, struct stat *st, struct err *err)
{
	if (stat(path, st) < 0)
		return err_set(err, -errno, "device '%s': %m", shown(path));
	if (!S_ISCHR(st->st_mode) && !S_ISBLK(st->st_mode))
		return err_set(err, -EINVAL, "'%s' is not a device", shown(path));
	return 0;
}

static void write_device(struct json_writer *writer, const char *path, const struct stat *st)
{
	json_write_object(writer, NULL);
	json_write_string(writer, "path", path);
	json_write_string(writer, "type", S_ISCHR(st->st_mode) ? "c" : "b");
	json_write_uint(writer, "major", major(st->st_rdev));
	json_write_uint(writer, "minor", minor(st->st_rdev));
	json_write_uint(writer, "fileMode", 0666);
	json_write_uint(writer, "uid", 0);
	json_write_uint(writer, "gid", 0);
	json_write_end_object(writer);
}

static void write_device_rule(struct json_writer *writer, bool is_allowed, const struct stat *st)
{
	json_write_object(writer, NULL);
	json_write_bool(writer, "allow", is_allowed);
	if (st) {
		json_write_string(writer, "type", S_ISCHR(st->st_mode) ? "c" : "b");
		json_write_uint(writer, "major", major(st->st_rdev));
		json_write_uint(writer, "minor", minor(st->st_rdev));
	}
	json_write_string(writer, "access", "rwm");
	json_write_end_object(writer);
}

static int write_devices(struct json_writer *writer, const char *const *devices, struct err *err)
{
	struct stat st;
	int r = 0;

	json_write_array(writer, "devices");
	for (const char *const *device = devices; r == 0 && device && *device; device++) {
		r = stat_device(*device, &st, err);
		if (r == 0)
			write_device(writer, *device, &st);
	}
	json_write_end_array(writer);
	json_write_object(writer, "resources");
	json_write_array(writer, "devices");
	write_device_rule(writer, false, NULL);
	for (const char *const *device = devices; r == 0 && device && *device; device++) {
		r = stat_device(*device, &st, err);
		if (r == 0)
			write_device_rule(writer, true, &st);
	}
	json_write_end_array(writer);
	json_write_end_object(writer);
	return r;
}

static int write_linux(struct json_writer *writer, const struct bundle *bundle, struct err *err)
{
	const struct machine_container *container = bundle->config->container;
	int r;

	json_write_object(writer, "linux");
	json_write_string(writer, "cgroupsPath", bundle->cgroup);
	write_namespaces(writer, !container->is_privileged_ids);
	if (!container->is_privileged_ids) {
		write_map(writer, "uidMappings", container);
		write_map(writer, "gidMappings", container);
	}
	r = write_devices(writer, container->devices, err);
	write_paths(writer);
	seccomp_write(writer, bundle->capabilities.bounding);
	json_write_end_object(writer);
	return r;
}

int bundle_write(const struct bundle *bundle, struct str *out, struct err *err)
{
	const struct machine_container *container = bundle->config->container;
	auto_free char *root = text_format("%s/root", bundle->base);
	struct json_writer writer = { .out = out };
	struct bundle_process process = {
		.argv = container->argv, .env = container->env, .directory = container->directory, .user = &bundle->user,
		.capabilities = &bundle->capabilities, .has_terminal = bundle_has_terminal(container),
		.has_new_privileges = container->is_init,
	};
	int r;

	json_write_object(&writer, NULL);
	json_write_string(&writer, "ociVersion", "1.0.2");
	bundle_write_process(&writer, "process", &process);
	json_write_object(&writer, "root");
	json_write_string(&writer, "path", root);
	json_write_bool(&writer, "readonly", container->is_read_only);
	json_write_end_object(&writer);
	if (container->hostname)
		json_write_string(&writer, "hostname", container->hostname);
	write_mounts(&writer, bundle);
	r = write_linux(&writer, bundle, err);
	json_write_end_object(&writer);
	return r;
}

/*
 * The "tiny" image: busybox as the whole userland, Debian's cloud kernel, the QEMU guest agent.
 *
 * The ramdisk holds only what reaches the root disk (ramdisk.h); the other drivers, the agent and its
 * libraries lie on the root disk.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/images/build_internal.h"
#include "2-virtualization/images/modules.h"
#include "2-virtualization/images/packages.h"
#include "2-virtualization/images/ramdisk.h"
#include "2-virtualization/images/tool.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define TINY_DISK_BYTES (UINT64_C(1) << 30)
#define TINY_CMDLINE "console=ttyS0 root=/dev/vda rw quiet"
#define LOADER "ld-linux-x86-64.so.2"

static const char *const packages[] = { "linux-image-cloud-amd64", RAMDISK_PACKAGES, "qemu-guest-agent", "e2fsprogs", NULL };
/* Needed to install a kernel, not to take it out of its package. */
static const char *const assumed[] = { "init-system-helpers", "kmod", "linux-base", "initramfs-tools", NULL };

static const char *const disk_modules[] = {
	"virtio_net", "virtio_scsi", "sd_mod", "isofs", "virtio_console", "virtio_rng", "virtio_balloon", "button", "evdev",
	"vmw_vsock_virtio_transport", NULL,
};

static const char *const disk_folders[] = {
	"bin", "dev", "etc", "lib/modules", "lib64", "mnt", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "usr/lib",
	"usr/sbin", "var/lib", "var/log", "var/run", NULL,
};

/* Programs with shared libraries: where the package has them, where the image does. */
static const struct program { const char *from[2], *to; } programs[] = {
	{ { "usr/sbin/qemu-ga", "usr/bin/qemu-ga" }, "usr/sbin/qemu-ga" },
	{ { "sbin/resize2fs", "usr/sbin/resize2fs" }, "sbin/resize2fs" },
};

struct tiny {
	struct build *build;
	char *packages;			/* Folder with the unpacked packages. */
	char *disk;			/* Folder that becomes the disk. */
	struct modules modules;
};

static int make_folders(const char *root, const char *const *names, struct err *err)
{
	int r = 0;

	for (; r == 0 && *names; names++) {
		auto_free char *path = text_format("%s/%s", root, *names);

		r = file_make_dirs(path, 0755, err);
	}
	return r;
}

static int link_in(const char *root, const char *target, const char *name, struct err *err)
{
	auto_free char *path = text_format("%s/%s", root, name);

	if (symlink(target, path) < 0 && errno != EEXIST)
		return err_set(err, -errno, "link '%s': %m", path);
	return 0;
}

/* Every command busybox knows, except those that the image has as files of its own. */
static int link_applets(const struct tiny *tiny, const char *busybox, struct err *err)
{
	auto_str struct str list = { 0 };
	int r = tool_run((const char *const[]){ busybox, "--list-full", NULL }, NULL, tiny->build->progress, &list, err);
	char *rest = list.data;

	for (const char *name; r == 0 && rest && (name = strsep(&rest, "\n"));)
		if (*name)
			r = link_in(tiny->disk, "/bin/busybox", name, err);
	return r;
}

/* The dynamic linker itself says which libraries a program needs: "	libc.so.6 => /path/libc.so.6 (0x...)". */
static int copy_libraries(const struct tiny *tiny, const char *loader, const char *program, struct err *err)
{
	auto_free char *path = text_format("%s/lib/x86_64-linux-gnu:%s/usr/lib/x86_64-linux-gnu", tiny->packages, tiny->packages);
	auto_str struct str list = { 0 };
	int r = tool_run((const char *const[]){ loader, "--library-path", path, "--list", program, NULL }, NULL,
			 tiny->build->progress, &list, err);
	char *rest = list.data;

	for (char *line; r == 0 && rest && (line = strsep(&rest, "\n"));) {
		char *from = strstr(line, "=> /"), *slash;

		if (!from)
			continue;
		from += strlen("=> ");
		from[strcspn(from, " ")] = '\0';
		slash = strrchr(from, '/');

		auto_free char *to = text_format("%s/usr/lib%s", tiny->disk, slash);
		r = build_copy(from, to, 0644, err);
	}
	return r;
}

static int copy_programs(const struct tiny *tiny, struct err *err)
{
	static const char *const loaders[2] = { "lib/x86_64-linux-gnu/" LOADER, "usr/lib/x86_64-linux-gnu/" LOADER };
	auto_free char *loader = NULL, *loader_to = text_format("%s/lib64/" LOADER, tiny->disk);
	int r = ramdisk_find(tiny->packages, loaders, &loader, err);

	if (r < 0 || (r = build_copy(loader, loader_to, 0755, err)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
		auto_free char *from = NULL, *to = text_format("%s/%s", tiny->disk, programs[i].to);

		if ((r = ramdisk_find(tiny->packages, programs[i].from, &from, err)) < 0 || (r = build_copy(from, to, 0755, err)) < 0 ||
		    (r = copy_libraries(tiny, loader, from, err)) < 0)
			return r;
	}
	return 0;
}

static int write_text(const struct tiny *tiny, const char *name, const char *text, struct err *err)
{
	auto_free char *path = text_format("%s/%s", tiny->disk, name);

	return file_write_atomic(path, text, strlen(text), 0644, err);
}

static int write_configuration(const struct tiny *tiny, struct err *err)
{
	static const char *const power_names[] = { "sbin/poweroff", "sbin/reboot", "sbin/halt", "sbin/shutdown" };
	int r = 0;

	for (const struct embed *file = tiny_files; r == 0 && file->path; file++)
		r = embed_write(file, tiny->disk, err);
	for (size_t i = 0; r == 0 && i < ARRAY_COUNT(power_names); i++)
		r = link_in(tiny->disk, "power", power_names[i], err);
	if (r < 0 || (r = write_text(tiny, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", err)) < 0 ||
	    (r = write_text(tiny, "etc/group", "root:x:0:\n", err)) < 0 ||
	    (r = write_text(tiny, "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", err)) < 0)
		return r;
	return write_text(tiny, "etc/os-release", "NAME=\"Strata tiny\"\nID=strata-tiny\nPRETTY_NAME=\"Strata tiny image\"\n", err);
}

static int make_disk(struct tiny *tiny, struct err *err)
{
	auto_free char *modules = text_format("%s/lib/modules", tiny->disk);
	auto_free char *busybox = text_format("%s/bin/busybox", tiny->disk);
	int r;

	if ((r = make_folders(tiny->disk, disk_folders, err)) < 0 || (r = write_configuration(tiny, err)) < 0 ||
	    (r = copy_programs(tiny, err)) < 0 || (r = ramdisk_copy_busybox(tiny->packages, tiny->disk, err)) < 0 ||
	    (r = link_applets(tiny, busybox, err)) < 0 || (r = modules_copy(&tiny->modules, disk_modules, modules, err)) < 0)
		return r;
	return build_disk(tiny->build, tiny->disk, "tiny", TINY_DISK_BYTES, err);
}

static int take_kernel(struct tiny *tiny, struct err *err)
{
	auto_free char *modules = NULL;
	int r = build_take_kernel(tiny->build, tiny->packages, &modules, err);

	return r < 0 ? r : modules_open(modules, &tiny->modules, err);
}

static int make_all(struct tiny *tiny, struct err *err)
{
	struct build *build = tiny->build;
	int r;

	snprintf(build->properties.cmdline, sizeof(build->properties.cmdline), "%s", TINY_CMDLINE);
	if ((r = build_step(build, err)) < 0 || (r = packages_unpack(build->work, packages, assumed, build->progress, err)) < 0 ||
	    (r = build_step(build, err)) < 0 || (r = take_kernel(tiny, err)) < 0 ||
	    (r = build_step(build, err)) < 0 || (r = ramdisk_write(build, tiny->packages, &tiny->modules, &tiny_init, err)) < 0 ||
	    (r = build_step(build, err)) < 0)
		return r;
	return make_disk(tiny, err);
}

static int make_tiny(struct build *build, const void *argument, struct err *err)
{
	struct tiny tiny = {
		.build = build,
		.packages = text_format("%s/root", build->work),
		.disk = text_format("%s/disk", build->work),
	};
	int r = make_all(&tiny, err);

	(void)argument;
	modules_done(&tiny.modules);
	free(tiny.packages);
	free(tiny.disk);
	return r;
}

int build_tiny(const char *out_directory, const struct volume_progress *progress, struct build_properties *ret_properties,
	       struct err *err)
{
	return build_run(out_directory, 5, make_tiny, NULL, progress, ret_properties, err);
}

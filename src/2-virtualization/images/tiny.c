/*
 * The "tiny" image: busybox as the whole userland, Debian's cloud kernel, the QEMU guest agent.
 *
 * The ramdisk holds busybox and the drivers of the root disk only, because its size is time until the
 * guest's first line. The other drivers, the agent and its libraries lie on the root disk.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/build_internal.h"
#include "2-virtualization/images/embed.h"
#include "2-virtualization/images/initrd.h"
#include "2-virtualization/images/modules.h"
#include "2-virtualization/images/packages.h"
#include "2-virtualization/images/tool.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define TINY_DISK_BYTES (UINT64_C(1) << 30)
#define TINY_CMDLINE "console=ttyS0 root=/dev/vda rw quiet"
#define LOADER "ld-linux-x86-64.so.2"

static const char *const packages[] = { "linux-image-cloud-amd64", "busybox-static", "qemu-guest-agent", "e2fsprogs", NULL };
/* Needed to install a kernel, not to take it out of its package. */
static const char *const assumed[] = { "init-system-helpers", "kmod", "linux-base", "initramfs-tools", NULL };

static const char *const ramdisk_modules[] = { "virtio_mmio", "virtio_pci", "virtio_blk", NULL };
static const char *const disk_modules[] = {
	"virtio_net", "virtio_scsi", "sd_mod", "isofs", "virtio_console", "virtio_rng", "virtio_balloon", "button", "evdev",
	"vmw_vsock_virtio_transport", NULL,
};

static const char *const ramdisk_folders[] = { "bin", "dev", "modules", "root", NULL };
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
	char *ramdisk, *disk;		/* Folders that become initrd and disk. */
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

static int write_embedded(const char *root, const struct embed *file, struct err *err)
{
	auto_free char *path = text_format("%s/%s", root, file->path);
	auto_free char *folder = text_copy_length(path, (size_t)(strrchr(path, '/') - path));
	int r = file_make_dirs(folder, 0755, err);

	return r < 0 ? r : file_write_atomic(path, file->start, (size_t)(file->end - file->start), file->mode, err);
}

/* Follows links: libraries are found by a name that links to the file. */
static int copy_file(const char *from, const char *to, mode_t mode, struct err *err)
{
	auto_str struct str content = { 0 };
	int r = file_read_all(from, 64 << 20, &content, err);

	return r < 0 ? r : file_write_atomic(to, str_text(&content), content.size, mode, err);
}

/* The first of the two that exists below the packages; older and newer Debian have them at different places. */
static int find_file(const struct tiny *tiny, const char *const names[2], char **ret_path, struct err *err)
{
	for (size_t i = 0; i < 2; i++) {
		char *path = text_format("%s/%s", tiny->packages, names[i]);

		if (access(path, F_OK) == 0) {
			*ret_path = path;
			return 0;
		}
		free(path);
	}
	return err_set(err, -ENOENT, "the packages do not contain '%s'", names[0]);
}

static int copy_busybox(const struct tiny *tiny, const char *root, char **ret_path, struct err *err)
{
	auto_free char *path = NULL, *to = text_format("%s/bin/busybox", root);
	int r = find_file(tiny, (const char *const[2]){ "bin/busybox", "usr/bin/busybox" }, &path, err);

	if (r == 0)
		r = copy_file(path, to, 0755, err);
	if (r == 0 && ret_path)
		*ret_path = take(to);
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

static int make_ramdisk(struct tiny *tiny, struct err *err)
{
	auto_free char *modules = text_format("%s/modules", tiny->ramdisk);
	auto_free char *initrd = text_format("%s/initrd", tiny->build->out);
	int r;

	if ((r = make_folders(tiny->ramdisk, ramdisk_folders, err)) < 0 || (r = copy_busybox(tiny, tiny->ramdisk, NULL, err)) < 0 ||
	    (r = link_in(tiny->ramdisk, "busybox", "bin/sh", err)) < 0 ||
	    (r = modules_copy(&tiny->modules, ramdisk_modules, modules, err)) < 0 ||
	    (r = write_embedded(tiny->ramdisk, &tiny_init, err)) < 0)
		return r;
	return initrd_write(initrd, tiny->ramdisk, err);
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
		r = copy_file(from, to, 0644, err);
	}
	return r;
}

static int copy_programs(const struct tiny *tiny, struct err *err)
{
	static const char *const loaders[2] = { "lib/x86_64-linux-gnu/" LOADER, "usr/lib/x86_64-linux-gnu/" LOADER };
	auto_free char *loader = NULL, *loader_to = text_format("%s/lib64/" LOADER, tiny->disk);
	int r = find_file(tiny, loaders, &loader, err);

	if (r < 0 || (r = copy_file(loader, loader_to, 0755, err)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
		auto_free char *from = NULL, *to = text_format("%s/%s", tiny->disk, programs[i].to);

		if ((r = find_file(tiny, programs[i].from, &from, err)) < 0 || (r = copy_file(from, to, 0755, err)) < 0 ||
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
		r = write_embedded(tiny->disk, file, err);
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
	auto_free char *modules = text_format("%s/lib/modules", tiny->disk), *busybox = NULL;
	int r;

	if ((r = make_folders(tiny->disk, disk_folders, err)) < 0 || (r = write_configuration(tiny, err)) < 0 ||
	    (r = copy_programs(tiny, err)) < 0 || (r = copy_busybox(tiny, tiny->disk, &busybox, err)) < 0 ||
	    (r = link_applets(tiny, busybox, err)) < 0 || (r = modules_copy(&tiny->modules, disk_modules, modules, err)) < 0)
		return r;
	return build_disk(tiny->build, tiny->disk, "tiny", TINY_DISK_BYTES, err);
}

/* The one kernel there is: boot/vmlinuz-VERSION and its modules. */
static int take_kernel(struct tiny *tiny, struct err *err)
{
	auto_free char *pattern = text_format("%s/boot/vmlinuz-*", tiny->packages);
	auto_free char *kernel = NULL, *modules = NULL;
	struct build_properties *properties = &tiny->build->properties;
	glob_t found;
	int r;

	if (glob(pattern, 0, NULL, &found) != 0)
		return err_set(err, -ENOENT, "the packages do not contain a kernel");
	kernel = text_copy(found.gl_pathv[0]);
	globfree(&found);
	snprintf(properties->kernel_version, sizeof(properties->kernel_version), "%s", strstr(kernel, "vmlinuz-") + strlen("vmlinuz-"));

	auto_free char *lib = text_format("lib/modules/%s", properties->kernel_version);
	auto_free char *usr_lib = text_format("usr/%s", lib);
	if ((r = find_file(tiny, (const char *const[2]){ lib, usr_lib }, &modules, err)) < 0 ||
	    (r = modules_open(modules, &tiny->modules, err)) < 0)
		return r;
	return build_keep(tiny->build, kernel, "kernel", err);
}

static int make_all(struct tiny *tiny, struct err *err)
{
	struct build *build = tiny->build;
	int r;

	snprintf(build->properties.cmdline, sizeof(build->properties.cmdline), "%s", TINY_CMDLINE);
	if ((r = build_step(build, err)) < 0 || (r = packages_unpack(build->work, packages, assumed, build->progress, err)) < 0 ||
	    (r = build_step(build, err)) < 0 || (r = take_kernel(tiny, err)) < 0 ||
	    (r = build_step(build, err)) < 0 || (r = make_ramdisk(tiny, err)) < 0 || (r = build_step(build, err)) < 0)
		return r;
	return make_disk(tiny, err);
}

static int make_tiny(struct build *build, const void *argument, struct err *err)
{
	struct tiny tiny = {
		.build = build,
		.packages = text_format("%s/root", build->work),
		.ramdisk = text_format("%s/ramdisk", build->work),
		.disk = text_format("%s/disk", build->work),
	};
	int r = make_all(&tiny, err);

	(void)argument;
	modules_done(&tiny.modules);
	free(tiny.packages);
	free(tiny.ramdisk);
	free(tiny.disk);
	return r;
}

int build_tiny(const char *out_directory, const struct volume_progress *progress, struct build_properties *ret_properties,
	       struct err *err)
{
	return build_run(out_directory, 5, make_tiny, NULL, progress, ret_properties, err);
}

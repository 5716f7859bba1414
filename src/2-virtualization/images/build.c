#include "2-virtualization/images/build_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/tool.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

enum { COPY_MAX_BYTES = 64 << 20 };

static const char *const results[] = { "kernel", "initrd", "disk.raw", "properties.json" };

int build_step(struct build *build, struct err *err)
{
	if (volume_is_cancelled(build->progress))
		return err_set(err, -ECANCELED, "cancelled");
	volume_report(build->progress, build->step++, build->step_count);
	return 0;
}

int build_keep(struct build *build, const char *from, const char *name, struct err *err)
{
	auto_free char *to = text_format("%s/%s", build->out, name);
	auto_close int from_fd = open(from, O_RDONLY | O_CLOEXEC), to_fd = -1;

	if (from_fd < 0)
		return err_set(err, -errno, "open '%s': %m", from);
	to_fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (to_fd < 0)
		return err_set(err, -errno, "create '%s': %m", to);
	return file_copy_sparse(from_fd, to_fd, NULL, err);
}

int build_copy(const char *from, const char *to, mode_t mode, struct err *err)
{
	auto_str struct str content = { 0 };
	int r = file_read_all(from, COPY_MAX_BYTES, &content, err);

	return r < 0 ? r : file_write_atomic(to, str_text(&content), content.size, mode, err);
}

int build_take_kernel(struct build *build, const char *root, char **ret_modules, struct err *err)
{
	auto_free char *pattern = text_format("%s/boot/vmlinuz-*", root), *kernel = NULL;
	char *version = build->properties.kernel_version;
	glob_t found;
	int r;

	if (glob(pattern, 0, NULL, &found) != 0)
		return err_set(err, -ENOENT, "the packages do not contain a kernel");
	kernel = text_copy(found.gl_pathv[0]);
	globfree(&found);
	snprintf(version, sizeof(build->properties.kernel_version), "%s", strstr(kernel, "vmlinuz-") + strlen("vmlinuz-"));
	r = build_keep(build, kernel, "kernel", err);
	if (r < 0)
		return r;

	/* Debian moved /lib to /usr/lib; with the link in place both names are right. */
	char *modules = text_format("%s/usr/lib/modules/%s", root, version);
	if (access(modules, F_OK) < 0) {
		free(modules);
		modules = text_format("%s/lib/modules/%s", root, version);
	}
	*ret_modules = modules;
	return 0;
}

int build_disk(struct build *build, const char *root, const char *label, uint64_t size_bytes, struct err *err)
{
	auto_free char *path = text_format("%s/disk.raw", build->out);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0)
		return err_set(err, -errno, "create '%s': %m", path);
	build->properties.disk_bytes = size_bytes;
	/* The file is all holes, so tables need no zeroes: not now, nor by the guest's kernel later. */
	return tool_run((const char *const[]){ "mkfs.ext4", "-q", "-F", "-m", "0", "-L", label, "-E",
					       "assume_storage_prezeroed=1,root_owner=0:0", "-d", root, path, NULL },
			NULL, build->progress, NULL, err);
}

static int sum(const struct build *build, const char *name, char text[SHA256_TEXT_SIZE], struct err *err)
{
	auto_free char *path = text_format("%s/%s", build->out, name);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "open '%s': %m", path);
	return sha256_file(fd, build->progress ? build->progress->is_cancelled : NULL, text, err);
}

static int describe(struct build *build, struct err *err)
{
	struct build_properties *properties = &build->properties;
	auto_free char *path = text_format("%s/properties.json", build->out);
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text, .indent = 2 };
	int r;

	if ((r = sum(build, "kernel", properties->kernel_sha256, err)) < 0 ||
	    (r = sum(build, "initrd", properties->initrd_sha256, err)) < 0 ||
	    (r = sum(build, "disk.raw", properties->disk_sha256, err)) < 0)
		return r;
	json_write_object(&writer, NULL);
	json_write_string(&writer, "cmdline", properties->cmdline);
	json_write_string(&writer, "kernel_version", properties->kernel_version);
	json_write_string(&writer, "kernel_sha256", properties->kernel_sha256);
	json_write_string(&writer, "initrd_sha256", properties->initrd_sha256);
	json_write_string(&writer, "disk_sha256", properties->disk_sha256);
	json_write_uint(&writer, "disk_bytes", properties->disk_bytes);
	json_write_end_object(&writer);
	return file_write_atomic(path, text.data, text.size, 0644, err);
}

/* Root makes the files, so that they belong to root in the image too. */
static int prepare(struct build *build, struct err *err)
{
	int r;

	if (geteuid() != 0)
		return err_set(err, -EPERM, "building an image needs root: its files belong to root");
	r = file_make_dirs(build->work, 0711, err);
	if (r == 0 && chmod(build->work, 0711) < 0)	/* apt's own user must get through. */
		return err_set(err, -errno, "chmod '%s': %m", build->work);
	return r;
}

static void discard_results(const struct build *build)
{
	for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
		auto_free char *path = text_format("%s/%s", build->out, results[i]);

		unlink(path);
	}
}

int build_run(const char *out_directory, unsigned step_count, int (*make)(struct build *build, const void *argument, struct err *err),
	      const void *argument, const struct volume_progress *progress, struct build_properties *ret_properties, struct err *err)
{
	auto_free char *work = text_format("%s/work", out_directory);
	struct build build = { .out = out_directory, .work = work, .progress = progress, .step_count = step_count };
	struct err ignored;
	int r = prepare(&build, err);

	if (r == 0)
		r = make(&build, argument, err);
	if (r == 0)
		r = describe(&build, err);
	file_remove_tree(work, &ignored);
	if (r < 0) {
		discard_results(&build);
		return r;
	}
	volume_report(progress, step_count, step_count);
	*ret_properties = build.properties;
	return 0;
}

int build_image(const char *name, const char *out_directory, const struct volume_progress *progress,
		struct build_properties *ret_properties, struct err *err)
{
	if (text_equal(name, "tiny"))
		return build_tiny(out_directory, progress, ret_properties, err);
	if (text_equal(name, "debian:12") || text_equal(name, "debian:13"))
		return build_debian(name + strlen("debian:"), out_directory, progress, ret_properties, err);
	return err_set(err, -EINVAL, "image '%s' cannot be built: use tiny, debian:12 or debian:13", shown(name));
}

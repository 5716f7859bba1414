#include "driver/volume/file/import.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/qemu_img.h"

enum { CHECK_EXIT_LEAKS = 3 };		/* qemu-img check: space is wasted, nothing is wrong. */

/* What people try to import that is neither qcow2 nor raw. */
static const struct foreign {
	const char *name;
	unsigned offset, length;
	const char *bytes;
} foreign[] = {
	{ "a VMDK image", 0, 4, "KDMV" },
	{ "a VMDK descriptor", 0, 21, "# Disk DescriptorFile" },
	{ "a VHDX image", 0, 8, "vhdxfile" },
	{ "a VHD image", 0, 8, "conectix" },
	{ "a VDI image", 64, 4, "\x7f\x10\xda\xbe" },
	{ "a QED image", 0, 4, "QED" },
	{ "a LUKS container", 0, 6, "LUKS\xba\xbe" },
	{ "gzip-compressed", 0, 2, "\x1f\x8b" },
	{ "xz-compressed", 0, 6, "\xfd" "7zXZ" },
	{ "zstd-compressed", 0, 4, "\x28\xb5\x2f\xfd" },
	{ "bzip2-compressed", 0, 3, "BZh" },
	{ "a zip archive", 0, 4, "PK\x03\x04" },
	{ "an HTML page", 0, 14, "<!DOCTYPE html" },
};

static int refuse_foreign(int fd, struct err *err)
{
	for (size_t i = 0; i < ARRAY_COUNT(foreign); i++) {
		char bytes[32];

		if (pread(fd, bytes, foreign[i].length, foreign[i].offset) == (ssize_t)foreign[i].length &&
		    memcmp(bytes, foreign[i].bytes, foreign[i].length) == 0)
			return err_set(err, -EINVAL, "file is %s: give a qcow2 or raw image (unpack it, or use qemu-img convert -O qcow2)",
				       foreign[i].name);
	}
	return 0;
}

/* Which format it is, and its size as a disk. */
static int recognise(int fd, int expected, enum volume_format *ret_format, uint64_t *ret_size, struct err *err)
{
	struct qcow2_header header;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat the image: %m");
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "image is not a regular file");
	if (st.st_size == 0)
		return err_set(err, -EINVAL, "image is empty: give a qcow2 or raw image");
	if (qcow2_has_magic(fd) || expected == VOLUME_QCOW2) {
		if (expected == VOLUME_RAW)
			return err_set(err, -EINVAL, "image is qcow2 and not raw: leave the format out");
		if ((r = qcow2_read_header(fd, &header, err)) < 0 || (r = qcow2_check_foreign(fd, &header, err)) < 0)
			return r;
		*ret_format = VOLUME_QCOW2;
		*ret_size = header.size_bytes;
		return 0;
	}
	*ret_format = VOLUME_RAW;
	*ret_size = (uint64_t)st.st_size;
	if (expected != VOLUME_RAW && (r = refuse_foreign(fd, err)) < 0)
		return r;
	return volume_check_size(*ret_size, err);
}

/* Can qemu-img, being the machines' user, open it through /dev/fd? */
static bool is_readable(const struct place *place, int fd)
{
	struct stat st;

	if (geteuid() != 0 || place->user == 0)
		return true;
	if (fstat(fd, &st) < 0)
		return false;
	return st.st_uid == place->user ? st.st_mode & S_IRUSR :
	       st.st_gid == place->group ? st.st_mode & S_IRGRP : st.st_mode & S_IROTH;
}

static int check(const struct place *place, int fd, struct err *err)
{
	const enum volume_format format = VOLUME_QCOW2;
	auto_qemu_img struct qemu_img run;
	int exit_code = 0, r;

	qemu_img_init(&run, place->user, place->group, "check");
	qemu_img_add(&run, "-q");
	qemu_img_add_chain(&run, &fd, &format, 1);
	r = qemu_img_run(&run, &exit_code, err);
	if (r == 0 && exit_code != 0 && exit_code != CHECK_EXIT_LEAKS)
		return err_set(err, -EINVAL, "image is damaged or truncated (qemu-img check finds errors): copy it again");
	return r;
}

static int convert(const struct place *place, int from_fd, enum volume_format format, uint64_t size_bytes, int to_fd,
		   const struct volume_progress *progress, struct err *err)
{
	auto_qemu_img struct qemu_img run;

	qemu_img_init(&run, place->user, place->group, "convert");
	run.progress = progress;
	run.total_bytes = size_bytes;
	qemu_img_add(&run, "-p");
	qemu_img_add(&run, "-O");
	qemu_img_add(&run, "qcow2");
	qemu_img_add_chain(&run, &from_fd, &format, 1);
	qemu_img_add_file(&run, to_fd);
	return qemu_img_run(&run, NULL, err);
}

static int check_and_convert(struct place *place, int from_fd, enum volume_format format, uint64_t size_bytes, int to_fd,
			     const struct volume_progress *progress, struct err *err)
{
	int r = format == VOLUME_QCOW2 ? check(place, from_fd, err) : 0;

	return r < 0 ? r : convert(place, from_fd, format, size_bytes, to_fd, progress, err);
}

int import_convert(struct place *place, const char *volume, int file_fd, int expected, int to_fd,
		   const struct volume_progress *progress, struct err *err)
{
	const struct file_progress copying = {
		.is_cancelled = progress ? progress->is_cancelled : NULL,
	};
	auto_building struct building copy = { .fd = -1 };
	enum volume_format format = VOLUME_RAW;
	uint64_t size_bytes = 0;
	int r = recognise(file_fd, expected, &format, &size_bytes, err);

	if (r < 0)
		return r;
	if (is_readable(place, file_fd))
		return check_and_convert(place, file_fd, format, size_bytes, to_fd, progress, err);
	if ((r = building_begin(place, volume, &copy, err)) < 0 ||
	    (r = place_add_remedy(file_copy_sparse(file_fd, copy.fd, &copying, err), err)) < 0)
		return r;
	return check_and_convert(place, copy.fd, format, size_bytes, to_fd, progress, err);
}

#include "2-virtualization/images/ramdisk.h"

#include <errno.h>
#include <unistd.h>

#include "2-virtualization/images/initrd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static const char *const drivers[] = { "virtio_mmio", "virtio_pci", "virtio_blk", NULL };

int ramdisk_find(const char *root, const char *const names[2], char **ret_path, struct err *err)
{
	for (size_t i = 0; i < 2; i++) {
		char *path = text_format("%s/%s", root, names[i]);

		if (access(path, F_OK) == 0) {
			*ret_path = path;
			return 0;
		}
		free(path);
	}
	return err_set(err, -ENOENT, "the packages do not contain '%s'", names[0]);
}

int ramdisk_copy_busybox(const char *packages, const char *root, struct err *err)
{
	auto_free char *from = NULL, *folder = text_format("%s/bin", root), *to = text_format("%s/busybox", folder);
	int r;

	if ((r = ramdisk_find(packages, (const char *const[2]){ "bin/busybox", "usr/bin/busybox" }, &from, err)) < 0 ||
	    (r = file_make_dirs(folder, 0755, err)) < 0)
		return r;
	return build_copy(from, to, 0755, err);
}

int ramdisk_write(struct build *build, const char *packages, struct modules *modules, const struct embed *init, struct err *err)
{
	auto_free char *root = text_format("%s/ramdisk", build->work), *initrd = text_format("%s/initrd", build->out);
	auto_free char *dev = text_format("%s/dev", root), *mount_point = text_format("%s/root", root);
	auto_free char *shell = text_format("%s/bin/sh", root), *folder = text_format("%s/modules", root);
	int r;

	if ((r = file_make_dirs(dev, 0755, err)) < 0 || (r = file_make_dirs(mount_point, 0755, err)) < 0 ||
	    (r = ramdisk_copy_busybox(packages, root, err)) < 0)
		return r;
	if (symlink("busybox", shell) < 0)
		return err_set(err, -errno, "link '%s': %m", shell);
	if ((r = modules_copy(modules, drivers, folder, err)) < 0 || (r = embed_write(init, root, err)) < 0)
		return r;
	return initrd_write(initrd, root, err);
}

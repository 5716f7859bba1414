#include "driver/machine/oci/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/file.h"
#include "base/mem.h"
#include "driver/machine/oci/idmap.h"

/* Overlay's options are one page for mount(2); names of layers are "l0" to "l499". */
enum { LAYERS_MAX = 500, OPTIONS_MAX_BYTES = 4000 };

#define BASE_BYTES "1m"			/* Of /etc/hosts and the like, which the container may write. */

/* Parts */

/* In front of the mount tree of a container: none of them holds what conmon or crun need. */
static int choose_base(struct rootfs *rootfs, const char *const *avoid, struct err *err)
{
	static const char *const candidates[] = { "/mnt", "/media", "/srv", "/opt", "/home", "/boot" };

	for (size_t i = 0; i < ARRAY_COUNT(candidates); i++) {
		const char *base = candidates[i];
		size_t length = strlen(base);
		bool is_needed = false;
		struct stat st;

		for (const char *const *path = avoid; *path; path++)
			is_needed = is_needed || (strncmp(*path, base, length) == 0 && (*path)[length] == '/');
		if (is_needed || lstat(base, &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		rootfs->base = base;
		return 0;
	}
	return err_set(err, -ENOENT, "there is no folder to mount containers on in their namespaces: make /mnt");
}

static int make_base(struct rootfs *rootfs, struct err *err)
{
	auto_close int context = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "size", BASE_BYTES, 0) < 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, -errno, "make a tmpfs: %m");
	rootfs->base_fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	if (rootfs->base_fd < 0 || mkdirat(rootfs->base_fd, "root", 0755) < 0)
		return err_set(err, -errno, "make a tmpfs: %m");
	return 0;
}

/* The place for a mount of 'fd': a folder or an empty file, as that is. */
static int add_mount(struct rootfs *rootfs, int fd, const char *target, struct err *err)
{
	struct stat st;
	int r = 0;

	if (fd < 0)
		return fd;
	*vec_push(&rootfs->mounts) = (struct rootfs_mount){ fd, text_copy(target) };
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat: %m");
	r = S_ISDIR(st.st_mode) ? mkdirat(rootfs->base_fd, target, 0755) : mknodat(rootfs->base_fd, target, S_IFREG | 0644, 0);
	return r < 0 ? err_set(err, -errno, "make '%s': %m", target) : 0;
}

static int add_layers(struct rootfs *rootfs, const struct machine_container *container, int idmap, struct err *err)
{
	auto_str struct str options = { 0 };
	char target[24];

	if (container->layer_count > LAYERS_MAX)
		return err_set(err, -E2BIG, "the image has %zu layers, the kernel stacks %d at most: build it with fewer",
			       container->layer_count, LAYERS_MAX);
	str_append(&options, "lowerdir=");
	for (size_t i = 0; i < container->layer_count; i++) {
		int r;

		snprintf(target, sizeof(target), "l%zu", i);
		r = add_mount(rootfs, idmap_mount(container->layers[i], idmap, false, true, err), target, err);
		if (r < 0)
			return err_prefix(err, "layer");
		str_printf(&options, "%s%s", i ? ":" : "", target);
	}
	str_append(&options, ",upperdir=v/upper,workdir=v/work");
	if (options.size > OPTIONS_MAX_BYTES)
		return err_set(err, -E2BIG, "the image has too many layers");
	rootfs->options = take(options.data);
	return 0;
}

static int make_folder(const char *root, const char *name, mode_t mode, struct err *err)
{
	auto_free char *path = text_format("%s/%s", root, name);

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make '%s': %m", shown(path));
	return 0;
}

static int add_root(struct rootfs *rootfs, const struct machine_container *container, int idmap, struct err *err)
{
	int r = make_folder(container->root, "upper", 0755, err);

	if (r == 0)
		r = make_folder(container->root, "work", 0755, err);
	if (r == 0)
		r = add_mount(rootfs, idmap_mount(container->root, idmap, false, false, err), "v", err);
	return r < 0 ? err_prefix(err, "root volume") : 0;
}

static int add_mounts(struct rootfs *rootfs, const struct machine_container *container, int idmap, struct err *err)
{
	for (size_t i = 0; i < container->mount_count; i++) {
		const struct machine_mount *mount = &container->mounts[i];
		bool is_tree = mount->kind == MACHINE_MOUNT_TREE;
		char target[24];
		int r;

		if (mount->kind == MACHINE_MOUNT_TMPFS)
			continue;
		snprintf(target, sizeof(target), "m%zu", i);
		r = add_mount(rootfs, idmap_mount(mount->source, is_tree ? idmap : -1, !is_tree, mount->is_read_only, err), target, err);
		if (r < 0)
			return err_prefix(err, "mount '%s'", shown(mount->target));
	}
	return 0;
}

/* /etc */

static int write_text(struct rootfs *rootfs, const struct machine_container *container, const char *name, const struct str *text,
		      struct err *err)
{
	auto_close int fd = openat(rootfs->base_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	uid_t owner = container->is_privileged_ids ? 0 : container->uid_base;

	/* The container's root may change its own. */
	if (fd < 0 || fchmod(fd, 0644) < 0 || fchown(fd, owner, owner) < 0)
		return err_set(err, -errno, "make /etc/%s: %m", name);
	return file_write_at(fd, str_text(text), text->size, 0, err);
}

static void append_list(struct str *text, const char *before, const char *const *list, const char *after)
{
	for (; list && *list; list++)
		str_printf(text, "%s%s%s", before, *list, after);
}

static int write_etc(struct rootfs *rootfs, const struct machine_container *container, struct err *err)
{
	auto_str struct str resolv = { 0 }, hosts = { 0 }, hostname = { 0 };
	const char *name = container->hostname ? container->hostname : "localhost";
	int r;

	append_list(&resolv, "nameserver ", container->nameservers, "\n");
	if (container->search && container->search[0]) {
		str_append(&resolv, "search");
		append_list(&resolv, " ", container->search, "");
		str_append(&resolv, "\n");
	}
	str_append(&hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	append_list(&hosts, "", container->hosts, "\n");
	/* Last: an address that the caller knows for it comes first. */
	str_printf(&hosts, "127.0.1.1\t%s\n", name);
	str_printf(&hostname, "%s\n", name);
	r = write_text(rootfs, container, "resolv.conf", &resolv, err);
	if (r == 0)
		r = write_text(rootfs, container, "hosts", &hosts, err);
	return r < 0 ? r : write_text(rootfs, container, "hostname", &hostname, err);
}

/* All together */

static int prepare_parts(struct rootfs *rootfs, const struct machine_container *container, int idmap, struct err *err)
{
	int r = make_base(rootfs, err);

	if (r == 0)
		r = add_layers(rootfs, container, idmap, err);
	if (r == 0)
		r = add_root(rootfs, container, idmap, err);
	if (r == 0)
		r = add_mounts(rootfs, container, idmap, err);
	return r < 0 ? r : write_etc(rootfs, container, err);
}

int rootfs_prepare(struct rootfs *rootfs, const struct machine_container *container, const char *const *avoid, struct err *err)
{
	auto_close int idmap = -1;
	int r;

	*rootfs = (struct rootfs){ .base_fd = -1 };
	r = choose_base(rootfs, avoid, err);
	if (r < 0)
		return r;
	if (!container->is_privileged_ids) {
		idmap = idmap_open(container->uid_base, container->uid_count, err);
		if (idmap < 0)
			return idmap;
	}
	r = identity_init(&rootfs->identity, container->is_privileged_ids ? 0 : container->uid_base);
	if (r < 0)
		return err_set(err, r, "read our capabilities: %m");
	return prepare_parts(rootfs, container, idmap, err);
}

void rootfs_done(struct rootfs *rootfs)
{
	for (size_t i = 0; i < rootfs->mounts.count; i++) {
		close(rootfs->mounts.items[i].fd);
		free(rootfs->mounts.items[i].target);
	}
	vec_done(&rootfs->mounts);
	closep(&rootfs->base_fd);
	free(rootfs->options);
	*rootfs = (struct rootfs){ .base_fd = -1 };
}

/* In the child */

CHILD_CODE static int fail(struct rootfs *rootfs, const char *what)
{
	rootfs->failed = what;
	return errno;
}

/* The overlay copies and makes files as whoever mounted it. */
CHILD_CODE static int mount_overlay(struct rootfs *rootfs)
{
	int error = 0;

	if (identity_enter(&rootfs->identity))
		return fail(rootfs, "act as the container's root");
	/* Relative names, so that no layer count and no long path bursts the page of options. */
	if (syscall(SYS_fchdir, rootfs->base_fd) < 0 ||
	    syscall(SYS_mount, "overlay", "root", "overlay", MS_NODEV, rootfs->options) < 0)
		error = fail(rootfs, "mount the overlay of layers and volume");
	if (identity_leave(&rootfs->identity) && !error)
		error = fail(rootfs, "act as root again");
	return error;
}

CHILD_CODE int rootfs_enter(void *data)
{
	struct rootfs *rootfs = data;

	if (syscall(SYS_unshare, CLONE_NEWNS) < 0)
		return fail(rootfs, "make a mount namespace");
	/* What the host unmounts later goes here too; nothing of ours goes there. */
	if (syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return fail(rootfs, "part from the host's mounts");
	if (syscall(SYS_move_mount, rootfs->base_fd, "", AT_FDCWD, rootfs->base, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail(rootfs, "mount the container's folder");
	for (size_t i = 0; i < rootfs->mounts.count; i++) {
		const struct rootfs_mount *mount = &rootfs->mounts.items[i];

		if (syscall(SYS_move_mount, mount->fd, "", rootfs->base_fd, mount->target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return fail(rootfs, "mount a layer or volume");
	}
	return mount_overlay(rootfs);
}

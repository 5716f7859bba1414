/*
 * Images made here from Debian packages: "busybox" is one static program with many names; "debian:12" and "debian:13" are
 * systems that boot with systemd, as small as they come.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/build_internal.h"
#include "2-virtualization/images/oci/internal.h"
#include "2-virtualization/images/packages.h"
#include "2-virtualization/images/tool.h"
#include "base/file.h"
#include "base/mem.h"

#define PATH_VARIABLE "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct recipe {
	const struct oci_store *store;
	char *work, *root;		/* In the scratch folder. */
};

/* busybox */

static const struct { const char *name; mode_t mode; } busybox_folders[] = {
	{ "bin", 0755 }, { "dev", 0755 }, { "etc", 0755 }, { "home", 0755 }, { "mnt", 0755 }, { "proc", 0755 }, { "root", 0700 },
	{ "run", 0755 }, { "sbin", 0755 }, { "sys", 0755 }, { "tmp", 01777 }, { "usr/bin", 0755 }, { "usr/sbin", 0755 },
	{ "var/log", 0755 }, { "var/spool/cron/crontabs", 0755 }, { "var/tmp", 01777 },
};

static const struct { const char *name, *text; } busybox_files[] = {
	{ "etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
			"www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n" },
	{ "etc/group", "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n" },
	{ "etc/shadow", "root:*:::::::\ndaemon:*:::::::\nwww-data:*:::::::\nnobody:*:::::::\n" },
	{ "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n" },
	{ "etc/hostname", "busybox\n" },
	{ "etc/resolv.conf", "" },	/* Who runs it mounts its own over these three. */
	{ "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
	{ "etc/profile", "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" },
	{ "etc/os-release", "ID=busybox\nNAME=BusyBox\nPRETTY_NAME=\"BusyBox, from Debian\"\nID_LIKE=debian\n" },
};

static int make_busybox_folders(const struct recipe *recipe, struct err *err)
{
	for (size_t i = 0; i < ARRAY_COUNT(busybox_folders); i++) {
		auto_free char *path = text_format("%s/%s", recipe->root, busybox_folders[i].name);
		int r = file_make_dirs(path, 0755, err);

		if (r < 0)
			return r;
		if (chmod(path, busybox_folders[i].mode) < 0)
			return err_set(err, -errno, "chmod '%s': %m", shown(path));
	}
	return 0;
}

static int write_busybox_files(const struct recipe *recipe, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_COUNT(busybox_files); i++) {
		auto_free char *path = text_format("%s/%s", recipe->root, busybox_files[i].name);

		r = file_write_atomic(path, busybox_files[i].text, strlen(busybox_files[i].text),
				      text_equal(busybox_files[i].name, "etc/shadow") ? 0600 : 0644, err);
	}
	return r;
}

static int link_applets(const struct recipe *recipe, const char *busybox, struct err *err)
{
	auto_str struct str list = { 0 };
	int r = tool_run((const char *const[]){ busybox, "--list-full", NULL }, NULL, recipe->store->progress, &list, err);
	char *rest = list.data;

	for (const char *name; r == 0 && rest && (name = strsep(&rest, "\n"));) {
		auto_free char *path = text_format("%s/%s", recipe->root, name);

		if (*name && symlink("/bin/busybox", path) < 0 && errno != EEXIST)
			r = err_set(err, -errno, "link '%s': %m", shown(path));
	}
	return r;
}

static int make_busybox(const struct recipe *recipe, struct err *err)
{
	static const char *const packages[] = { "busybox-static", NULL }, *const assumed[] = { NULL };
	auto_free char *from = text_format("%s/root/bin/busybox", recipe->work), *moved = text_format("%s/root/usr/bin/busybox", recipe->work),
		       *to = text_format("%s/bin/busybox", recipe->root);
	int r;

	if ((r = packages_unpack(recipe->work, packages, assumed, recipe->store->progress, err)) < 0 ||
	    (r = make_busybox_folders(recipe, err)) < 0)
		return r;
	/* Debian 13 has it in /usr. */
	if ((r = build_copy(access(from, F_OK) == 0 ? from : moved, to, 0755, err)) < 0 || (r = link_applets(recipe, to, err)) < 0)
		return r;
	return write_busybox_files(recipe, err);
}

/* Debian */

#define DEBIAN_PACKAGES "systemd,systemd-sysv,dbus,iproute2,netbase,procps"
/* What a container has no devices or rights for, and what would change the host's kernel. */
#define DEBIAN_MASKED \
	"systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-modules-load.service " \
	"systemd-sysctl.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount " \
	"dev-hugepages.mount proc-sys-fs-binfmt_misc.automount systemd-binfmt.service apt-daily.timer apt-daily-upgrade.timer " \
	"dpkg-db-backup.timer e2scrub_all.timer getty.target"

static int make_debian(const struct recipe *recipe, const char *release, struct err *err)
{
	const struct build build = { .work = recipe->work, .progress = recipe->store->progress };
	char *sources[3] = { NULL };
	int r = build_debian_sources(&build, release, sources, err);

	if (r < 0)
		return r;
	const char *const argv[] = {
		"mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=" DEBIAN_PACKAGES,
		"--dpkgopt=force-unsafe-io",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		"--customize-hook=chroot \"$1\" systemctl mask " DEBIAN_MASKED " >/dev/null 2>&1",
		"--customize-hook=chroot \"$1\" systemctl set-default multi-user.target >/dev/null 2>&1",
		"--customize-hook=rm -rf \"$1\"/var/lib/dbus/machine-id \"$1\"/var/cache/apt/* \"$1\"/var/lib/apt/lists/* \"$1\"/var/log/*.log "
		"\"$1\"/var/log/apt; : >\"$1\"/etc/machine-id; echo debian >\"$1\"/etc/hostname; : >\"$1\"/etc/resolv.conf",
		release, recipe->root, sources[0], sources[1], sources[2], NULL,
	};
	r = tool_run(argv, recipe->work, recipe->store->progress, NULL, err);
	for (size_t i = 0; i < ARRAY_COUNT(sources); i++)
		free(sources[i]);
	return r;
}

/* Both */

static int make(const struct recipe *recipe, const char *name, struct image_config *settings, struct err *err)
{
	bool is_busybox = text_equal(name, "busybox");

	oci_list_add(&settings->env, PATH_VARIABLE);
	if (is_busybox) {
		oci_list_add(&settings->command, "sh");
		return make_busybox(recipe, err);
	}
	/* systemd wants to know, and this is how it is asked to stop. */
	oci_list_add(&settings->env, "container=oci");
	oci_list_add(&settings->command, "/sbin/init");
	settings->stop_signal = text_copy("SIGRTMIN+3");
	return make_debian(recipe, text_equal(name, "debian:12") ? "bookworm" : "trixie", err);
}

int oci_build(const char *folder, const char *scratch, const char *recipe_name, const struct volume_progress *progress,
	      struct oci_image *ret_image, struct err *err)
{
	auto_free char *work = text_format("%s/work", scratch), *root = text_format("%s/root", scratch),
		       *created_by = text_format("build %s", recipe_name);
	auto_store struct oci_store store;
	const struct recipe recipe = { .store = &store, .work = work, .root = root };
	struct image_config settings = { 0 };
	struct err ignored;
	int r = oci_store_open(&store, folder, scratch, progress, err);

	if (r < 0)
		return r;
	if (!text_equal(recipe_name, "busybox") && !text_equal(recipe_name, "debian:12") && !text_equal(recipe_name, "debian:13"))
		return err_set(err, -EINVAL, "container image '%s' cannot be built: use busybox, debian:12 or debian:13", shown(recipe_name));
	if ((r = file_make_dirs(work, 0711, err)) == 0 && (chmod(scratch, 0711) < 0 || chmod(work, 0711) < 0))
		r = err_set(err, -errno, "chmod '%s': %m", shown(work));	/* apt's own user must get through. */
	if (r == 0)
		r = make(&recipe, recipe_name, &settings, err);
	if (r == 0)
		r = oci_image_of_tree(&store, root, &settings, created_by, ret_image, err);
	field_done(&image_config_table, &settings);
	file_remove_tree(work, &ignored);
	file_remove_tree(root, &ignored);
	return r < 0 ? err_prefix(err, "build %s", recipe_name) : 0;
}

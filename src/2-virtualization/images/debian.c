/*
 * The "debian:12" and "debian:13" images: mmdebstrap makes the root file system from the mirrors this host
 * itself uses; cloud-init (NoCloud only) takes name, keys and user data from the seed disk.
 */
#include <errno.h>
#include <stdio.h>

#include "2-virtualization/images/build_internal.h"
#include "2-virtualization/images/packages.h"
#include "2-virtualization/images/ramdisk.h"
#include "2-virtualization/images/tool.h"
#include "base/mem.h"
#include "base/str.h"

#define DEBIAN_DISK_BYTES (UINT64_C(4) << 30)
#define DEBIAN_CMDLINE "console=ttyS0 root=/dev/vda rw quiet"

static const struct release { const char *number, *name; } releases[] = {
	{ "12", "bookworm" },
	{ "13", "trixie" },
};

#define PACKAGES \
	"systemd,systemd-sysv,systemd-resolved,udev,dbus,libpam-systemd,linux-image-cloud-amd64," \
	"cloud-init,cloud-guest-utils,e2fsprogs,qemu-guest-agent,openssh-server,iproute2,iputils-ping,ca-certificates," \
	"netbase,less,nano-tiny,procps,sudo"

static const char *release_name(const char *number)
{
	for (size_t i = 0; i < ARRAY_COUNT(releases); i++)
		if (text_equal(releases[i].number, number))
			return releases[i].name;
	return NULL;
}

/* Three lines of sources.list: the release, its updates, its security updates where the host has those. */
int build_debian_sources(const struct build *build, const char *release, char *sources[3], struct err *err)
{
	static const char options[] = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
	auto_free char *mirror = NULL, *security = NULL;
	int r;

	if ((r = packages_mirror(build->work, "Debian", build->progress, &mirror, err)) < 0 ||
	    (r = packages_mirror(build->work, "Debian-Security", build->progress, &security, err)) < 0)
		return r;
	if (!mirror)
		return err_set(err, -ENOENT, "this host's apt has no Debian mirror: add one to its sources and run apt-get update");
	sources[0] = text_format("deb %s %s %s main", options, mirror, release);
	sources[1] = text_format("deb %s %s %s-updates main", options, mirror, release);
	sources[2] = security ? text_format("deb %s %s %s-security main", options, security, release) : NULL;
	return 0;
}

/* The folder tree of files to lay over the root file system. */
static int write_overlay(const char *directory, struct err *err)
{
	int r = 0;

	for (const struct embed *file = debian_files; r == 0 && file->path; file++)
		r = embed_write(file, directory, err);
	return r;
}

static int debootstrap(const struct build *build, const char *release, const char *root, struct err *err)
{
	auto_free char *overlay = text_format("%s/overlay", build->work);
	auto_free char *copy_in = text_format("--customize-hook=copy-in %s/etc /", overlay);
	char *sources[3] = { NULL };
	int r;

	if ((r = write_overlay(overlay, err)) < 0 || (r = build_debian_sources(build, release, sources, err)) < 0)
		return r;
	const char *const argv[] = {
		"mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=" PACKAGES,
		/* Nothing is lost by a crash in between: then the image is not made. */
		"--dpkgopt=force-unsafe-io",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		copy_in,
		"--customize-hook=chroot \"$1\" /etc/strata/customize",
		release, root, sources[0], sources[1], sources[2], NULL,
	};
	r = tool_run(argv, build->work, build->progress, NULL, err);
	for (size_t i = 0; i < ARRAY_COUNT(sources); i++)
		free(sources[i]);
	return r;
}

/* The guest boots with our small ramdisk: quicker than one that looks for every kind of hardware. */
static int make_ramdisk(struct build *build, const char *root, struct err *err)
{
	static const char *const packages[] = { RAMDISK_PACKAGES, NULL }, *const assumed[] = { NULL };
	auto_free char *tools = text_format("%s/tools", build->work), *unpacked = text_format("%s/root", tools), *path = NULL;
	struct modules modules = { 0 };
	int r;

	if ((r = packages_unpack(tools, packages, assumed, build->progress, err)) < 0 ||
	    (r = build_take_kernel(build, root, &path, err)) < 0)
		return r;
	r = modules_open(path, &modules, err);
	if (r == 0)
		r = ramdisk_write(build, unpacked, &modules, &debian_init, err);
	modules_done(&modules);
	return r;
}

static int make_debian(struct build *build, const void *argument, struct err *err)
{
	auto_free char *root = text_format("%s/root", build->work);
	int r;

	snprintf(build->properties.cmdline, sizeof(build->properties.cmdline), "%s", DEBIAN_CMDLINE);
	if ((r = build_step(build, err)) < 0 || (r = debootstrap(build, argument, root, err)) < 0 ||
	    (r = build_step(build, err)) < 0 || (r = make_ramdisk(build, root, err)) < 0 || (r = build_step(build, err)) < 0)
		return r;
	return build_disk(build, root, "debian", DEBIAN_DISK_BYTES, err);
}

int build_debian(const char *release, const char *out_directory, const struct volume_progress *progress,
		 struct build_properties *ret_properties, struct err *err)
{
	const char *name = release_name(release);

	if (!name)
		return err_set(err, -EINVAL, "Debian release '%s' cannot be built: use 12 or 13", shown(release));
	return build_run(out_directory, 4, make_debian, name, progress, ret_properties, err);
}

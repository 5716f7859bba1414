#include "2-virtualization/images/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "2-virtualization/images/build.h"
#include "2-virtualization/images/fetch.h"
#include "base/file.h"
#include "base/mem.h"

static const uint64_t download_max_bytes = 1ull << 40;

static int build(const char *recipe, const char *folder, const struct volume_progress *progress, struct image_files *ret_files,
		 struct err *err)
{
	struct build_properties properties = { 0 };
	int r = build_image(recipe, folder, progress, &properties, err);

	if (r < 0)
		return r;
	ret_files->kernel = text_format("%s/kernel", folder);
	ret_files->initrd = text_format("%s/initrd", folder);
	ret_files->disk = text_format("%s/disk.raw", folder);
	ret_files->cmdline = text_copy(properties.cmdline);
	memcpy(ret_files->sha256, properties.disk_sha256, sizeof(ret_files->sha256));
	return 0;
}

static int fetch(const char *url, const char *path, const char *expected_sha256, const struct volume_progress *progress,
		 char ret_sha256[65], struct err *err)
{
	return fetch_url(url, path, download_max_bytes, expected_sha256, progress, ret_sha256, err);
}

const struct image_source image_source_real = { .build = build, .fetch = fetch };

static int sim_build(const char *recipe, const char *folder, const struct volume_progress *progress, struct image_files *ret_files,
		     struct err *err)
{
	static const char content[512] = "simulated";
	int r;

	(void)recipe;
	(void)progress;
	ret_files->kernel = text_format("%s/kernel", folder);
	ret_files->disk = text_format("%s/disk.raw", folder);
	ret_files->cmdline = text_copy("simulated");
	snprintf(ret_files->sha256, sizeof(ret_files->sha256), "%064d", 0);
	r = file_write_atomic(ret_files->kernel, content, sizeof(content), 0600, err);
	if (r == 0)
		r = file_write_atomic(ret_files->disk, content, sizeof(content), 0600, err);
	return r;
}

static int sim_fetch(const char *url, const char *path, const char *expected_sha256, const struct volume_progress *progress,
		     char ret_sha256[65], struct err *err)
{
	(void)path;
	(void)expected_sha256;
	(void)progress;
	(void)ret_sha256;
	return err_set(err, -EOPNOTSUPP, "'%s': the simulation downloads nothing", url);
}

const struct image_source image_source_sim = { .build = sim_build, .fetch = sim_fetch };

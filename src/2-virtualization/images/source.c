#include "2-virtualization/images/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/images/build.h"
#include "2-virtualization/images/fetch.h"
#include "2-virtualization/images/oci/oci.h"
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

static int commit(const struct container_request *request, const struct volume_progress *progress, struct oci_image *ret_image,
		  struct err *err)
{
	struct oci_image base = { 0 };
	int r;

	if (!request->manifest)
		return err_set(err, -ENOENT, "the container or its image is gone");
	r = oci_load(request->folder, request->scratch, request->manifest, progress, &base, err);
	if (r == 0)
		r = oci_commit(request->folder, request->scratch, &base, request->upper, request->settings, request->comment, progress,
			       ret_image, err);
	oci_image_done(&base);
	return r;
}

/* Who may sign images is said by the host (containers-policy.json(5)), when it says anything. */
static const char policy_file[] = "/etc/strata/policy.json";

static int container(const struct container_request *request, const struct volume_progress *progress, struct oci_image *ret_image,
		     struct err *err)
{
	struct oci_pull pull = { 0 };

	switch (request->what) {
	case CONTAINER_PULL:
		pull = (struct oci_pull){ .reference = request->pull->reference, .username = request->pull->username,
			.password = request->pull->password, .is_plain_http = request->pull->plain_http,
			.policy = access(policy_file, F_OK) == 0 ? policy_file : NULL };
		return oci_pull(request->folder, request->scratch, &pull, progress, ret_image, err);
	case CONTAINER_IMPORT:
		return oci_import(request->folder, request->scratch, request->archive, OCI_ARCHIVE_AUTO, progress, ret_image, err);
	case CONTAINER_BUILD:
		return oci_build(request->folder, request->scratch, request->recipe, progress, ret_image, err);
	case CONTAINER_COMMIT:
		return commit(request, progress, ret_image, err);
	case CONTAINER_LOAD:
		return oci_load(request->folder, request->scratch, request->manifest, progress, ret_image, err);
	}
	return err_set(err, -EINVAL, "there is no such way to get an image");
}

static int export_archive(const char *folder, const char *scratch, const char *manifest, const char *name, bool is_docker,
			  const char *path, struct err *err)
{
	struct oci_image image = { 0 };
	int r = file_make_dirs(scratch, 0700, err);

	if (r == 0)
		r = oci_load(folder, scratch, manifest, NULL, &image, err);
	if (r == 0)
		r = oci_export(folder, scratch, &image, name, is_docker ? OCI_ARCHIVE_DOCKER : OCI_ARCHIVE_OCI, path, NULL, err);
	oci_image_done(&image);
	return r;
}

const struct image_source image_source_real = { .build = build, .fetch = fetch, .container = container, .export = export_archive,
	.collect = oci_collect };

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

static void set_command(struct image_config *config, const char *program)
{
	*(char **)field_list_push(&config->command, sizeof(char *)) = text_copy(program);
}

/* One layer that nobody unpacks. */
static int sim_container(const struct container_request *request, const struct volume_progress *progress, struct oci_image *ret_image,
			 struct err *err)
{
	struct oci_layer *layer;

	(void)progress;
	if (request->what == CONTAINER_IMPORT)
		return err_set(err, -EOPNOTSUPP, "the simulation reads no archives");
	*ret_image = (struct oci_image){ .manifest = text_format("%064d", 1), .config = text_format("%064d", 2),
					 .unpacked_bytes = 1 << 20, .blob_bytes = 1 << 19 };
	set_command(&ret_image->settings, "sh");
	layer = vec_push(&ret_image->layers);
	*layer = (struct oci_layer){ .diff_id = text_format("%064d", 3), .digest = text_format("%064d", 4), .unpacked_bytes = 1 << 20 };
	return 0;
}

static int sim_export(const char *folder, const char *scratch, const char *manifest, const char *name, bool is_docker, const char *path,
		      struct err *err)
{
	(void)folder;
	(void)scratch;
	(void)manifest;
	(void)is_docker;
	(void)path;
	return err_set(err, -EOPNOTSUPP, "image '%s': the simulation has no layers to export", name);
}

static int sim_collect(const char *folder, const char *const *manifests, size_t count, uint64_t *ret_bytes, struct err *err)
{
	(void)folder;
	(void)manifests;
	(void)count;
	(void)err;
	if (ret_bytes)
		*ret_bytes = 0;
	return 0;
}

const struct image_source image_source_sim = { .build = sim_build, .fetch = sim_fetch, .container = sim_container,
	.export = sim_export, .collect = sim_collect };

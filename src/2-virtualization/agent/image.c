/*
 * image.c - the controller of images: get the parts, make the disk a volume, put the rest in images/<uid>/.
 *
 * An import that is cut off starts anew: the parts lie in staging/<uid>.image until "ready" has been
 * written, and the volume port builds beside and renames.
 */
#include "2-virtualization/agent/image_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"

enum { PROGRESS_PERIOD_MS = 250 };

static const char default_cmdline[] = "console=ttyS0 root=/dev/vda rw";

/* ---- Progress: from the worker to the loop, a few times a second ---- */

struct progress {
	struct agent *agent;
	char uid[37];
	char step[16];
	uint64_t done, total;
};

static void show_progress(void *data)
{
	auto_free struct progress *progress = data;
	struct item *item = item_get(progress->agent, progress->uid);
	struct image_status *status = item ? item->status : NULL;

	if (!status || status->state != IMAGE_IMPORTING)
		return;
	text_replace(&status->step, progress->step);
	status->done_bytes = progress->done;
	status->total_bytes = progress->total;
	item_show(item);
}

static void report(void *data, uint64_t done, uint64_t total)
{
	struct image_job *job = data;
	struct progress *progress;

	if (clock_monotonic_ms() - job->reported_ms < PROGRESS_PERIOD_MS)
		return;
	job->reported_ms = clock_monotonic_ms();
	progress = alloc(sizeof(*progress));
	*progress = (struct progress){ .agent = job->agent, .done = done, .total = total };
	snprintf(progress->uid, sizeof(progress->uid), "%s", job->image->meta.uid);
	snprintf(progress->step, sizeof(progress->step), "%s", job->step);
	loop_post(job->loop, show_progress, free, progress);
}

void image_begin_step(struct image_job *job, const char *step)
{
	job->step = step;
	job->reported_ms = 0;
	report(job, 0, 0);
}

/* ---- The import, in a worker ---- */

int image_take_upload(struct image_job *job, const struct image_part *part, const char *path, char ret_sha256[65], struct err *err)
{
	auto_free char *upload = text_format("%s/%s", job->staging, part->upload);
	const char *expected = part->sha256;
	auto_close int fd = -1;
	int r;

	if (rename(upload, path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "move the upload: %m");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(err, -ENOENT, "the upload '%s' is gone: import it again", shown(part->upload));
	r = sha256_file(fd, NULL, ret_sha256, err);
	if (r < 0)
		return r;
	if (expected && !text_equal(expected, ret_sha256))
		return err_set(err, -EINVAL, "sha256 is %s, expected %s: the file is damaged or another one", ret_sha256, expected);
	return 0;
}

/* Brings one part to 'path'. */
static int get_part(struct image_job *job, const struct image_part *part, const char *name, struct volume_progress *progress,
		    char ret_sha256[65], struct err *err)
{
	auto_free char *path = text_format("%s/%s", job->work_folder, name);
	int r;

	if (part->url) {
		image_begin_step(job, "download");
		r = job->source->fetch(part->url, path, part->sha256, progress, ret_sha256, err);
	} else {
		image_begin_step(job, "check");
		r = image_take_upload(job, part, path, ret_sha256, err);
	}
	return r < 0 ? err_prefix(err, "%s", name) : 0;
}

static bool is_given(const struct image_part *part)
{
	return part->url || part->upload;
}

static int get_parts(struct image_job *job, struct volume_progress *progress, struct image_files *files, struct err *err)
{
	const struct image_spec *spec = &job->image->spec;
	struct { const struct image_part *part; const char *name; char **path; } parts[] = {
		{ &spec->kernel, "kernel", &files->kernel }, { &spec->initrd, "initrd", &files->initrd }, { &spec->disk, "disk", &files->disk },
	};

	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		int r;

		if (!is_given(parts[i].part))
			continue;
		r = get_part(job, parts[i].part, parts[i].name, progress, files->sha256, err);
		if (r < 0)
			return r;
		*parts[i].path = text_format("%s/%s", job->work_folder, parts[i].name);
	}
	return 0;
}

static int copy_parts(struct image_job *job, struct volume_progress *progress, struct image_files *files, struct err *err)
{
	const struct image_status *status = &job->image->status;
	struct { bool is_there; const char *name; char **path; } parts[] = {
		{ status->has_kernel, "kernel", &files->kernel }, { status->has_initrd, "initrd", &files->initrd }, { status->has_disk, "disk", &files->disk },
	};

	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		auto_free char *path = text_format("%s/%s", job->work_folder, parts[i].name), *query = text_format("part=%s", parts[i].name);

		if (!parts[i].is_there)
			continue;
		if (image_copy_part(job, query, path, progress, err) < 0)
			return err->code;
		*parts[i].path = take(path);
	}
	return 0;
}

static int take_disk(struct image_job *job, const struct image_files *files, struct volume_progress *progress, struct err *err)
{
	static const int formats[] = { [IMAGE_FORMAT_AUTO] = -1, [IMAGE_FORMAT_RAW] = VOLUME_RAW, [IMAGE_FORMAT_QCOW2] = VOLUME_QCOW2 };
	struct volume_info info = { 0 };
	auto_close int fd = -1;
	int r;

	if (!files->disk)
		return 0;
	image_begin_step(job, "convert");
	fd = open(files->disk, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(err, -errno, "open the disk: %m");
	r = job->volume->ops->import(job->volume, job->image->meta.uid, fd, formats[job->image->spec.format], progress, err);
	if (r == 0)
		r = job->volume->ops->info(job->volume, job->image->meta.uid, &info, err);
	if (r == 0) {
		job->image->status.has_disk = true;
		job->image->status.size = info.size_bytes;
		job->image->status.allocated += info.allocated_bytes;
	}
	volume_info_done(&info);
	return r;
}

/* Kernels are started as root by nobody, but read by the machine's unprivileged user. */
static int take_file(struct image_job *job, const char *from, const char *name, bool *ret_has, struct err *err)
{
	auto_free char *to = text_format("%s/%s", job->folder, name);
	struct stat st;

	if (!from)
		return 0;
	if (stat(from, &st) < 0 || chmod(from, 0644) < 0 || (link(from, to) < 0 && errno != EEXIST))
		return err_set(err, -errno, "%s: %m", name);
	job->image->status.allocated += (uint64_t)st.st_size;
	*ret_has = true;
	return 0;
}

static int import_image(struct image_job *job, struct err *err)
{
	struct volume_progress progress = { .report = report, .is_cancelled = job->is_cancelled, .data = job };
	struct image_status *status = &job->image->status;
	struct image_files files = { 0 };
	int r;

	status->allocated = 0;
	if (job->image->spec.kind == IMAGE_CONTAINER) {
		r = file_make_dirs(job->work_folder, 0700, err);
		return r < 0 ? r : image_layers_import(job, &progress, err);
	}
	r = job->image->spec.build || job->is_copy ? file_remove_tree(job->work_folder, err) : 0;
	if (r == 0)
		r = file_remove_tree(job->folder, err);
	if (r == 0)
		r = file_make_dirs(job->work_folder, 0711, err);
	if (r == 0)
		r = file_make_dirs(job->folder, 0711, err);
	if (r == 0 && job->is_copy) {
		r = copy_parts(job, &progress, &files, err);
	} else if (r == 0 && job->image->spec.build) {
		image_begin_step(job, "build");
		r = job->source->build(job->image->spec.build, job->work_folder, &progress, &files, err);
	} else if (r == 0) {
		r = get_parts(job, &progress, &files, err);
	}
	if (r == 0)
		r = take_disk(job, &files, &progress, err);
	if (r == 0)
		r = take_file(job, files.kernel, "kernel", &status->has_kernel, err);
	if (r == 0)
		r = take_file(job, files.initrd, "initrd", &status->has_initrd, err);
	if (r == 0 && !job->is_copy) {
		text_replace(&status->sha256, files.sha256);
		text_replace(&status->cmdline, job->image->spec.cmdline ? job->image->spec.cmdline :
					       files.cmdline ? files.cmdline : default_cmdline);
	}
	image_files_done(&files);
	return r;
}

/* What cannot become an image leaves nothing behind. */
static int remove_image(struct image_job *job, struct err *err)
{
	int r = job->volume->ops->remove(job->volume, job->image->meta.uid, err);

	for (size_t i = 0; i < job->pools.count && r == 0; i++)
		r = job->pools.items[i]->ops->remove(job->pools.items[i], job->image->meta.uid, err);
	if (r == 0)
		r = file_remove_tree(job->folder, err);
	if (r == 0)
		r = file_remove_tree(job->work_folder, err);
	return r;
}

static void run(struct job *base)
{
	struct image_job *job = container_of(base, struct image_job, job);
	struct err ignored = { 0 };
	int r = job->is_removal ? remove_image(job, &base->err) : import_image(job, &base->err);

	if (!job->is_removal && r < 0)
		remove_image(job, &ignored);
	if (r == 0)
		base->err.code = 0;
}

/* ---- In the loop ---- */

/* Once "ready" is durable the parts are not needed again. */
static void drop_parts(struct item *item)
{
	auto_free char *work_folder = text_format("%s/staging/%s.image", item->agent->directory, item->uid);
	struct err ignored = { 0 };

	file_remove_tree(work_folder, &ignored);
}

static void done(struct job *base)
{
	struct image_job *job = container_of(base, struct image_job, job);
	struct item *item = base->item;
	struct image_status *status = item->status;
	const char *name = job->image->meta.name;

	if (job->layers_folder)
		image_layers_done(job);
	if (job->is_copy) {
		drop_parts(item);
		image_copied(item, job);
		return;
	}
	if (job->is_removal && base->err.code == 0) {
		item->has_layers = job->image->spec.kind == IMAGE_CONTAINER;
		item_delete(item, NULL);
		return;
	}
	if (base->err.code < 0) {
		status->state = IMAGE_FAILED;
		text_replace(&status->step, NULL);
		text_replace(&status->reason, base->err.msg);
		if (job->is_removal)
			item_fail(item);
		item_save(item, "failed", true, "image '%s': %s", name, base->err.msg);
		return;
	}
	field_done(item->kind->status, status);
	field_copy(item->kind->status, &job->image->status, status);
	status->state = IMAGE_READY;
	text_replace(&status->step, NULL);
	status->done_bytes = status->total_bytes = 0;
	item->has_leftovers = true;
	item_save(item, "ready", false, "image '%s' is ready", name);
}

static void free_job(struct job *base)
{
	struct image_job *job = container_of(base, struct image_job, job);

	kind_free(&kinds[KIND_IMAGE], job->image);
	free(job->folder);
	free(job->work_folder);
	free(job->staging);
	vec_done(&job->pools);
	for (size_t i = 0; i < job->sources.count; i++)
		peer_done(&job->sources.items[i]);
	vec_done(&job->sources);
	free(job->layers_folder);
	free(job->base_manifest);
	field_done(&image_config_table, &job->base_config);
	free(job->instance_uid);
	free(job);
}

/* Other pools may have a copy of the image. */
static void add_pools(struct agent *agent, struct image_job *job)
{
	const struct map *all = objects_all(agent->params.objects, KIND_POOL);

	for (size_t i = 0; i < all->count; i++) {
		const struct item *pool = item_get(agent, all->entries[i].key);

		if (pool && pool->pool && pool->pool != agent->params.volume)
			*vec_push(&job->pools) = pool->pool;
	}
}

struct image_job *image_job_new(struct item *item, const struct image *image, bool is_removal)
{
	struct agent *agent = item->agent;
	struct image_job *job = job_new(struct image_job);

	*job = (struct image_job){
		.job = { .item = item, .run = run, .done = done, .free = free_job }, .agent = agent, .loop = agent->params.loop,
		.volume = agent->params.volume, .source = agent->params.images, .image = kind_copy(item->kind, image),
		.folder = text_format("%s/images/%s", agent->directory, item->uid),
		.work_folder = text_format("%s/staging/%s.image", agent->directory, item->uid),
		.staging = text_format("%s/staging", agent->directory), .peers = &agent->params.peers,
		.is_removal = is_removal, .is_copy = !is_removal && image_is_copy(item, image), .is_cancelled = &item->is_cancelled, .step = "",
	};
	if (is_removal)
		add_pools(agent, job);
	if (job->is_copy)
		image_copy_find_sources(agent, job);
	return job;
}

/* False: it has to wait. */
static bool start_job(struct item *item, const struct image *image, bool is_removal)
{
	struct image_job *job = image_job_new(item, image, is_removal);

	if (!is_removal && image->spec.kind == IMAGE_CONTAINER && !image_layers_prepare(item, image, job)) {
		free_job(&job->job);
		return false;
	}
	item_run(&job->job);
	return true;
}

static void reconcile(struct item *item, void *object)
{
	const struct image *image = object;
	struct image_status *status = item->status;

	if (image_is_copy(item, image)) {
		if (!item->is_copied && !image->meta.deleted_at && image->status.state == IMAGE_READY)
			start_job(item, image, false);
		return;
	}
	if (image->meta.deleted_at) {
		start_job(item, image, true);
		return;
	}
	if (item->has_leftovers) {
		item->has_leftovers = false;
		item_save_first(item, drop_parts);
		return;
	}
	if (status->state != IMAGE_PENDING && status->state != IMAGE_IMPORTING)
		return;
	if (!start_job(item, image, false))
		return;
	status->state = IMAGE_IMPORTING;
	item_save(item, NULL, false, "%s", "");
}

/* The record has gone: now its layers are nobody's. */
static void item_is_freed(struct item *item)
{
	if (item->has_layers)
		image_layers_collect(item->agent);
}

const struct controller image_controller = { .reconcile = reconcile, .done = item_is_freed };

/*
 * image_layers.c - images of containers: where they come from, and the collection of layers nobody needs.
 *
 * Layers are shared by images, so removing an image removes none: afterwards everything is collected that no image
 * needs. What is needed is said by the objects (status.manifest, spec.tag_of), so a collection may not meet an
 * import, whose layers no object names yet: imports wait while it runs, and it waits for imports.
 */
#include "2-virtualization/agent/image_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "2-virtualization/images/oci/oci.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

enum { COLLECTION_RETRY_MS = 50 };

/* ---- The import, in a worker ---- */

/* Top first, as a container mounts them. */
static void take_image(const struct oci_image *from, struct image_status *status)
{
	text_replace(&status->manifest, from->manifest);
	text_replace(&status->sha256, from->manifest);
	field_done(&image_config_table, &status->config);
	field_copy(&image_config_table, &from->settings, &status->config);
	status->size = from->unpacked_bytes;
	status->allocated = from->blob_bytes + from->unpacked_bytes;
	for (size_t i = from->layers.count; i-- > 0;) {
		const struct oci_layer *layer = &from->layers.items[i];
		struct image_layer *to = field_list_push(&status->layers, sizeof(*to));

		*to = (struct image_layer){ .diff_id = text_copy(layer->diff_id), .digest = text_copy(layer->digest),
			.size = layer->unpacked_bytes, .created_by = text_copy(layer->created_by), .created_at = layer->created_at };
	}
}

static int get(struct image_job *job, const struct container_request *request, const char *step,
	       const struct volume_progress *progress, struct err *err)
{
	struct oci_image image = { 0 };
	int r;

	image_begin_step(job, step);
	r = job->source->container(request, progress, &image, err);
	if (r < 0)
		return r;
	take_image(&image, &job->image->status);
	oci_image_done(&image);
	return 0;
}

static int import_archive(struct image_job *job, struct container_request *request, const struct volume_progress *progress, struct err *err)
{
	const struct image_part *part = &job->image->spec.archive;
	auto_free char *path = text_format("%s/archive", job->work_folder);
	char sha256[65];
	int r;

	image_begin_step(job, part->url ? "download" : "check");
	r = part->url ? job->source->fetch(part->url, path, part->sha256, progress, sha256, err) :
		image_take_upload(job, part, path, sha256, err);
	request->archive = path;
	return r < 0 ? r : get(job, request, "unpack", progress, err);
}

/* From another node: layer by layer the same. */
static int copy(struct image_job *job, struct container_request *request, const struct volume_progress *progress, struct err *err)
{
	auto_free char *path = text_format("%s/archive", job->work_folder), *manifest = text_copy(job->image->status.manifest);
	int r = image_copy_part(job, "form=oci", path, progress, err);

	request->what = CONTAINER_IMPORT;
	request->archive = path;
	if (r == 0)
		r = get(job, request, "unpack", progress, err);
	if (r == 0 && !text_equal(manifest, job->image->status.manifest))
		return err_set(err, -EPROTO, "image '%s' is another one there: its manifest is %s, not %s", job->image->meta.name,
			       job->image->status.manifest, manifest);
	return r;
}

/* The container stands still while what it changed is read. */
static int commit(struct image_job *job, struct container_request *request, const struct volume_progress *progress, struct err *err)
{
	struct machine_status status = { 0 };
	struct volume_info info = { 0 };
	auto_free char *upper = NULL;
	struct err ignored = { 0 };
	bool must_freeze;
	int r = job->instance_volume->ops->info(job->instance_volume, job->instance_uid, &info, err);

	if (r == 0 && job->machine)
		r = job->machine->ops->status(job->machine, job->instance_uid, &status, err);
	must_freeze = r == 0 && status.state == MACHINE_RUNNING;
	if (must_freeze)
		r = job->machine->ops->pause(job->machine, job->instance_uid, err);
	request->upper = upper = text_format("%s/upper", info.tree ? info.tree : "");
	request->manifest = job->base_manifest;
	request->settings = &job->base_config;
	request->comment = job->image->spec.comment;
	if (r == 0)
		r = get(job, request, "commit", progress, err);
	if (must_freeze)
		job->machine->ops->resume(job->machine, job->instance_uid, &ignored);
	volume_info_done(&info);
	return r;
}

int image_layers_import(struct image_job *job, const struct volume_progress *progress, struct err *err)
{
	const struct image_spec *spec = &job->image->spec;
	auto_free char *scratch = text_format("%s/scratch", job->work_folder);
	struct container_request request = { .folder = job->layers_folder, .scratch = scratch };
	int r = file_remove_tree(scratch, err);

	if (r == 0)
		r = file_make_dirs(scratch, 0700, err);
	if (r < 0)
		return r;
	if (job->is_copy)
		return copy(job, &request, progress, err);
	if (spec->pull.reference) {
		request.what = CONTAINER_PULL;
		request.pull = &spec->pull;
		return get(job, &request, "pull", progress, err);
	}
	if (spec->build) {
		request.what = CONTAINER_BUILD;
		request.recipe = spec->build;
		return get(job, &request, "build", progress, err);
	}
	if (spec->tag_of) {
		request.what = CONTAINER_LOAD;
		request.manifest = spec->tag_of;
		return get(job, &request, "load", progress, err);
	}
	request.what = spec->commit_of ? CONTAINER_COMMIT : CONTAINER_IMPORT;
	return spec->commit_of ? commit(job, &request, progress, err) : import_archive(job, &request, progress, err);
}

/* ---- In the loop ---- */

/* The container must be at rest for the agent, and what its image was must be known. */
static bool prepare_commit(struct item *item, const struct image *image, struct image_job *job)
{
	struct agent *agent = item->agent;
	struct item *other = item_get(agent, image->spec.commit_of);
	const struct instance *instance = other ? item_object(other) : NULL;
	const struct image *base = instance ? objects_get(agent->params.objects, KIND_IMAGE, instance->spec.image_uid) : NULL;
	struct err ignored = { 0 };

	if (!instance || !base)
		return true;			/* It is gone: the commit will say so. */
	if (other->is_busy || !other->world.is_known) {
		item_wait_for(item, other);
		item_wake(other);
		return false;
	}
	job->job.other = other;
	job->instance_uid = text_copy(other->uid);
	job->machine = other->world.state != MACHINE_ABSENT ? other->machine : NULL;
	job->instance_volume = agent_pool(agent, instance->spec.pool_uid, &ignored);
	job->base_manifest = text_copy(base->status.manifest);
	/* What the person said goes before what the image says. */
	field_copy(&image_config_table, &base->status.config, &job->base_config);
	image_config_overlay(&image->spec.config, &job->base_config);
	return true;
}

bool image_layers_prepare(struct item *item, const struct image *image, struct image_job *job)
{
	struct agent *agent = item->agent;

	if (agent->is_collecting) {
		item_wake_in(item, COLLECTION_RETRY_MS);
		return false;
	}
	job->layers_folder = agent_layers_folder(agent);
	if (image->spec.commit_of && !job->is_copy && !prepare_commit(item, image, job))
		return false;
	agent->layer_jobs++;
	return true;
}

void image_layers_done(struct image_job *job)
{
	if (--job->agent->layer_jobs == 0 && job->agent->must_collect)
		image_layers_collect(job->agent);
}

/* ---- The collection ---- */

struct collection {
	struct agent *agent;
	const struct image_source *source;
	char *folder;
	VEC(char *) manifests;
	uint64_t freed_bytes;
	struct err err;
};

static void collection_free(void *data)
{
	struct collection *collection = data;

	for (size_t i = 0; i < collection->manifests.count; i++)
		free(collection->manifests.items[i]);
	vec_done(&collection->manifests);
	free(collection->folder);
	free(collection);
}

static void collection_run(void *data)
{
	struct collection *collection = data;

	if (collection->source->collect(collection->folder, (const char *const *)collection->manifests.items, collection->manifests.count,
					&collection->freed_bytes, &collection->err) == 0)
		collection->err.code = 0;
}

static void collection_done(void *data)
{
	struct collection *collection = data;
	struct agent *agent = collection->agent;

	agent->is_collecting = false;
	if (collection->err.code < 0)
		log_line(LOG_WARNING, "layers that no image needs could not be removed: %s", collection->err.msg);
	collection_free(collection);
	if (agent->must_collect)
		image_layers_collect(agent);
}

void image_layers_collect(struct agent *agent)
{
	const struct map *all = objects_all(agent->params.objects, KIND_IMAGE);
	struct collection *collection;

	agent->must_collect = agent->is_collecting || agent->layer_jobs > 0;
	if (agent->must_collect)
		return;
	collection = alloc(sizeof(*collection));
	*collection = (struct collection){ .agent = agent, .source = agent->params.images, .folder = agent_layers_folder(agent) };
	for (size_t i = 0; i < all->count; i++) {
		const struct image *image = all->entries[i].value;
		const struct item *item = item_get(agent, image->meta.uid);
		const struct image_status *status = item ? item->status : &image->status;
		const char *manifest = status->manifest ? status->manifest : image->spec.tag_of;

		if (manifest)
			*vec_push(&collection->manifests) = text_copy(manifest);
	}
	agent->is_collecting = true;
	work_submit(agent->params.work, collection_run, collection_done, collection_free, collection);
}

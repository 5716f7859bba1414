/* images.c - what requests about images mean: import, build, pull, tag, commit, prune. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "4-service/service.h"
#include "base/mem.h"
#include "base/str.h"

static const struct kind *const kind = &kinds[KIND_IMAGE];

static bool is_given(const struct image_part *part)
{
	return part->url || part->upload;
}

static int check_part(const struct image_part *part, const char *name, struct err *err)
{
	if (part->url && part->upload)
		return err_set(err, -EINVAL, "spec.%s: has both a url and an upload: give one", name);
	if (part->upload && strspn(part->upload, "0123456789abcdefghijklmnopqrstuvwxyz-") != strlen(part->upload))
		return err_set(err, -EINVAL, "spec.%s.upload: '%s' is not the id of an upload", name, shown(part->upload));
	return 0;
}

static int check_vm(const struct image_spec *spec, struct err *err)
{
	bool has_parts = is_given(&spec->disk) || is_given(&spec->kernel);

	if (spec->pull.reference || is_given(&spec->archive))
		return err_set(err, -EINVAL, "spec.%s: only container images have layers: set kind to container (--container)",
			       spec->pull.reference ? "pull" : "archive");
	if (text_equal(spec->build, "busybox"))
		return err_set(err, -EINVAL, "spec.build: 'busybox' is for containers: use --container, or 'tiny' for a virtual machine");
	if (spec->build && has_parts)
		return err_set(err, -EINVAL, "spec.build: an image is either built or imported: leave out build, or disk and kernel");
	if (!spec->build && !has_parts)
		return err_set(err, -EINVAL, "spec: says neither disk, kernel nor build: give one of them");
	if (is_given(&spec->initrd) && !is_given(&spec->kernel))
		return err_set(err, -EINVAL, "spec.initrd: an initrd needs a kernel: give spec.kernel");
	if (check_part(&spec->disk, "disk", err) < 0 || check_part(&spec->kernel, "kernel", err) < 0)
		return err->code;
	return check_part(&spec->initrd, "initrd", err);
}

static int check_container(const struct image_spec *spec, struct err *err)
{
	int sources = (spec->build != NULL) + (spec->pull.reference != NULL) + is_given(&spec->archive);

	if (is_given(&spec->disk) || is_given(&spec->kernel) || is_given(&spec->initrd))
		return err_set(err, -EINVAL, "spec: a container image has no disk or kernel: give pull, archive or build");
	if (sources != 1)
		return err_set(err, -EINVAL, "spec: says %s of pull, archive and build: give one of them", sources ? "several" : "none");
	if (text_equal(spec->build, "tiny"))
		return err_set(err, -EINVAL, "spec.build: 'tiny' is for virtual machines: use busybox, debian:12 or debian:13");
	if ((spec->pull.username == NULL) != (spec->pull.password == NULL))
		return err_set(err, -EINVAL, "spec.pull: username and password go together: give both or none");
	return check_part(&spec->archive, "archive", err);
}

static int fill_node(struct core *core, struct image *next, struct err *err)
{
	const struct image_spec *spec = &next->spec;

	if (spec->disk.upload || spec->kernel.upload || spec->initrd.upload || spec->archive.upload)
		return node_fill_uploaded(core, &next->spec.node, err);
	return node_fill(core, &next->spec.node, err);
}

void image_create(struct core *core, struct call *call)
{
	struct change *change = resource_decode_new(core, call, kind);
	const struct image_spec *spec;
	struct err err = { 0 };

	if (!change)
		return;
	spec = &((struct image *)change->next)->spec;
	if ((spec->kind == IMAGE_CONTAINER ? check_container(spec, &err) : check_vm(spec, &err)) < 0 || fill_node(core, change->next, &err) < 0)
		change_refuse(change, &err);
	else
		change_commit(change);
}

void image_forget_secret(struct core *core, const struct image *image)
{
	bool is_over = image->status.state == IMAGE_READY || image->status.state == IMAGE_FAILED;
	struct change *change;

	if (!image->spec.pull.password || !is_over || image->meta.deleted_at)
		return;
	change = change_new(core, NULL, kind, image);
	text_replace(&((struct image *)change->next)->spec.pull.password, NULL);
	text_replace(&((struct image *)change->next)->spec.pull.username, NULL);
	change_commit(change);
}

void image_update(struct core *core, struct call *call)
{
	struct change *change = resource_decode_patch(core, call, kind);

	if (change)
		change_commit(change);
}

static bool uses_image(const struct instance *instance, const char *uid)
{
	return text_equal(instance->spec.image_uid, uid);
}

void image_delete(struct core *core, struct call *call)
{
	resource_delete_unused(core, call, kind, uses_image);
}

/* A new container image under the name in the call's body; null: the call was answered. */
static struct change *new_named(struct core *core, struct call *call, const char *member)
{
	const char *name = json_string(json_get(call->body, member), NULL);
	struct change *change = change_new(core, call, kind, NULL);
	struct image *next = change->next;
	struct err err = { 0 };

	if (!name)
		err_set(&err, -EINVAL, "%s: is missing: give the new image's name", member);
	else if (image_name_check(name, &err) < 0)
		err_prefix(&err, "%s", member);
	else
		check_name_free(core, kind, NULL, name, &err);
	if (err.code < 0) {
		change_refuse(change, &err);
		return NULL;
	}
	text_replace(&next->meta.name, name);
	next->spec.kind = IMAGE_CONTAINER;
	return change;
}

void image_tag(struct core *core, struct call *call)
{
	struct change *change;
	struct image *image;
	struct err err = { 0 };
	void *found;

	if (find_object(core, KIND_IMAGE, call->name, &found, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	image = found;
	if (image->spec.kind != IMAGE_CONTAINER)
		err_set(&err, -EOPNOTSUPP, "image '%s' is for virtual machines: only container images have several names", call->name);
	else if (image->status.state != IMAGE_READY)
		err_set(&err, -EAGAIN, "image '%s' is %s: wait until it is ready", call->name, image_state_names[image->status.state]);
	if (err.code < 0) {
		answer_err(call, &err);
		return;
	}
	change = new_named(core, call, "name");
	if (!change)
		return;
	text_replace(&((struct image *)change->next)->spec.tag_of, image->status.manifest);
	text_replace(&((struct image *)change->next)->spec.node, image->spec.node);
	auto_free char *key = text_format("desired/image/%s", image->meta.uid);
	store_txn_guard(change->txn, STORE_EXISTS, key, 0);	/* Its layers must not be collected before the tag is known. */
	change_commit(change);
}

void instance_commit(struct core *core, struct call *call)
{
	const struct json *config = json_get(call->body, "config");
	struct change *change;
	struct image *next;
	struct instance *instance;
	struct err err = { 0 };
	void *found;

	if (find_object(core, KIND_INSTANCE, call->name, &found, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	instance = found;
	if (instance->spec.kind != INSTANCE_CONTAINER)
		err_set(&err, -EOPNOTSUPP, "instance '%s' is a virtual machine: use 'strata export' or 'strata clone'", call->name);
	else if (instance->meta.deleted_at || !instance->status.disk_ready)
		err_set(&err, -EBUSY, "instance '%s' is %s: there is nothing to keep", call->name, instance_state_names[instance->status.state]);
	if (err.code < 0) {
		answer_err(call, &err);
		return;
	}
	change = new_named(core, call, "image");
	if (!change)
		return;
	next = change->next;
	text_replace(&next->spec.commit_of, instance->meta.uid);
	text_replace(&next->spec.node, core->node_uid);
	text_replace(&next->spec.comment, json_string(json_get(call->body, "comment"), NULL));
	if (json_type(config) != JSON_ABSENT &&
	    field_decode(&image_config_table, config, FIELD_CREATE, "config", &next->spec.config, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	auto_free char *key = text_format("desired/instance/%s", instance->meta.uid);
	store_txn_guard(change->txn, STORE_EXISTS, key, 0);
	change_commit(change);
}

/* ---- Prune ---- */

static bool is_used(struct core *core, const char *uid)
{
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);

	for (size_t i = 0; i < all->count; i++)
		if (uses_image(all->entries[i].value, uid))
			return true;
	return false;
}

/* Failed ones; with 'all' every container image that no instance is made from. */
static bool is_prunable(struct core *core, const struct image *image, bool all)
{
	if (image->meta.deleted_at || is_used(core, image->meta.uid))
		return false;
	return image->status.state == IMAGE_FAILED || (all && image->spec.kind == IMAGE_CONTAINER && image->status.state == IMAGE_READY);
}

void image_prune(struct core *core, struct call *call)
{
	bool is_all = json_bool(json_get(call->body, "all"), false);
	const struct map *images = objects_all(core->objects, KIND_IMAGE);
	struct str body = { 0 };
	struct json_writer writer = { .out = &body };
	uint64_t bytes = 0;

	json_write_object(&writer, NULL);
	json_write_array(&writer, "removed");
	for (size_t i = 0; i < images->count; i++) {
		struct image *image = images->entries[i].value;

		if (!is_prunable(core, image, is_all))
			continue;
		bytes += image->status.allocated;
		json_write_string(&writer, NULL, image->meta.name);
		resource_delete(core, NULL, kind, image);
	}
	json_write_end_array(&writer);
	json_write_int(&writer, "bytes", (int64_t)bytes);
	json_write_end_object(&writer);
	answer_json(call, 200, &body);
}

/*
 * transfer.c - whole things out and in: instance exports, images, backups of the store.
 *
 * An outgoing file is built in staging, opened, and removed from its folder before it is sent: when the
 * client goes away or the daemon dies nothing is left of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/images/archive.h"
#include "4-service/service.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

/* Opens the finished file and removes its name. */
static int open_and_unlink(const char *path, int *ret_fd, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_set(err, -errno, "open the finished file: %m");
	unlink(path);
	*ret_fd = fd;
	return 0;
}

static void answer_file(struct call *call, int fd, const struct err *err)
{
	struct call_fds fds = CALL_NO_FDS;

	if (err->code < 0) {
		closep(&fd);
		answer_err(call, err);
		return;
	}
	fds.output = fd;
	answer_fds(call, fds);
}

/* ---- Instance export ---- */

struct export {
	struct agent_task task;
	struct core *core;
	struct call *call;
	struct instance *instance;		/* A copy. */
	bool is_running;
	struct volume_driver *volume;		/* Of the pool its root is in. */
	char *folder;				/* staging/<random>.export */
	char *kernel, *initrd, *cmdline;	/* Boot files, or null. */
	int fd;
	struct err err;
};

static void export_free(struct export *export)
{
	kind_free(&kinds[KIND_INSTANCE], export->instance);
	free(export->folder);
	free(export->kernel);
	free(export->initrd);
	free(export->cmdline);
	closep(&export->fd);
	free(export);
}

/* What makes sense on another host; addresses, ports and volumes stay here. */
static void write_manifest(const struct instance *instance, const char *cmdline, struct str *out)
{
	struct json_writer writer = { .out = out, .indent = 2 };
	struct instance_spec spec = instance->spec;

	spec.image = spec.image_uid = spec.node = NULL;
	spec.nics = spec.publish = spec.volumes = (struct field_list){ 0 };
	spec.source = (struct instance_source){ 0 };
	spec.restore = (struct instance_restore){ 0 };
	spec.placement = (struct instance_placement){ 0 };
	spec.move = (struct instance_move){ 0 };
	spec.ha = HA_NONE;
	spec.start_serial = spec.force_serial = 0;
	spec.power = POWER_STOPPED;
	json_write_object(&writer, NULL);
	json_write_string(&writer, "kind", "instance");
	json_write_string(&writer, "name", instance->meta.name);
	if (cmdline)
		json_write_string(&writer, "cmdline", cmdline);
	field_encode(kinds[KIND_INSTANCE].spec, &spec, &writer, "spec");
	json_write_end_object(&writer);
}

static int export_disk(struct export *export, const char *path, struct err *err)
{
	struct volume_driver *volume = export->volume;
	const char *uid = export->instance->meta.uid;
	struct err ignored = { 0 };
	char copy[64];
	int r;

	if (!export->is_running)
		return volume->ops->export(volume, uid, path, NULL, err);
	snprintf(copy, sizeof(copy), "%s-x", uid);
	volume->ops->remove(volume, copy, &ignored);
	r = agent_copy_root(INSTANCE_VM, agent_machine(export->core->agent, INSTANCE_VM), volume, uid, NULL, true, copy, err);
	if (r == 0)
		r = volume->ops->export(volume, copy, path, NULL, err);
	volume->ops->remove(volume, copy, &ignored);
	return r;
}

static int build_export(struct export *export, struct err *err)
{
	auto_free char *disk = text_format("%s/disk-0.qcow2", export->folder);
	auto_free char *archive = text_format("%s/export.tar", export->folder);
	struct archive_part parts[3];
	auto_str struct str manifest = { 0 };
	size_t count = 0;
	int r = file_make_dirs(export->folder, 0700, err);

	if (r == 0)
		r = export_disk(export, disk, err);
	if (r < 0)
		return r;
	parts[count++] = (struct archive_part){ "disk-0.qcow2", disk };
	if (export->kernel)
		parts[count++] = (struct archive_part){ "kernel", export->kernel };
	if (export->initrd)
		parts[count++] = (struct archive_part){ "initrd", export->initrd };
	write_manifest(export->instance, export->cmdline, &manifest);
	r = archive_write_instance(archive, str_text(&manifest), parts, count, NULL, err);
	return r < 0 ? r : open_and_unlink(archive, &export->fd, err);
}

static void export_run(void *data)
{
	struct export *export = container_of(data, struct export, task);
	struct err ignored = { 0 };

	if (build_export(export, &export->err) == 0)
		export->err.code = 0;
	file_remove_tree(export->folder, &ignored);
}

static int export_begin(struct agent_task *task, const struct instance *instance, bool is_running, struct err *err)
{
	struct export *export = container_of(task, struct export, task);
	const struct image *image = objects_get(export->core->objects, KIND_IMAGE, instance->spec.image_uid);

	if (!instance->status.disk_ready)
		return err_set(err, -EBUSY, "instance '%s' has no disk yet: %s", instance->meta.name,
			       instance->status.reason ? instance->status.reason : "wait until it is created");
	if (instance->spec.kind == INSTANCE_CONTAINER)
		return err_set(err, -EOPNOTSUPP, "a container leaves the host as an image: use 'strata commit %s IMAGE' and 'strata image export'",
			       instance->meta.name);
	export->volume = agent_pool(export->core->agent, instance->spec.pool_uid, err);
	if (!export->volume)
		return err->code;
	export->is_running = is_running;
	export->instance = kind_copy(&kinds[KIND_INSTANCE], instance);
	if (image && image->status.has_kernel) {
		export->kernel = agent_image_file(export->core->agent, image->meta.uid, "kernel");
		export->cmdline = text_copy(image->status.cmdline ? image->status.cmdline : "");
		if (image->status.has_initrd)
			export->initrd = agent_image_file(export->core->agent, image->meta.uid, "initrd");
	}
	return 0;
}

static void export_done(struct agent_task *task, const struct err *err)
{
	struct export *export = container_of(task, struct export, task);

	answer_file(export->call, take_fd(export->fd), err->code < 0 ? err : &export->err);
	export_free(export);
}

static char *staging_name(struct core *core, const char *suffix)
{
	char uid[37];
	auto_free char *name = NULL;

	rng_uuid(core->params.rng, uid);
	name = text_format("%s%s", uid, suffix);
	return agent_staging_path(core->agent, name);
}

void transfer_export(struct core *core, struct call *call)
{
	struct export *export;
	struct err err = { 0 };
	void *instance;

	if (find_object(core, KIND_INSTANCE, call->name, &instance, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	export = alloc(sizeof(*export));
	*export = (struct export){ .task = { export_begin, export_run, export_done }, .core = core, .call = call,
				   .folder = staging_name(core, ".export"), .fd = -1 };
	agent_run_task(core->agent, kind_meta(instance)->uid, &export->task);
}

/* ---- Jobs that need nobody to hold still: image export, backup, unpacking an import ---- */

struct transfer {
	struct core *core;
	struct call *call;
	struct volume_driver *volume;
	struct store *store;
	char *uid, *path, *upload;
	char *snapshot, *base;			/* Of a volume; base may be null. */
	const struct image_source *images;	/* Of a container image: */
	char *layers, *scratch, *manifest_digest, *name;
	bool is_docker;
	struct str manifest;
	int fd;
	struct err err;
};

static void transfer_free(void *data)
{
	struct transfer *transfer = data;

	free(transfer->uid);
	free(transfer->path);
	free(transfer->upload);
	free(transfer->snapshot);
	free(transfer->base);
	free(transfer->layers);
	free(transfer->scratch);
	free(transfer->manifest_digest);
	free(transfer->name);
	str_done(&transfer->manifest);
	closep(&transfer->fd);
	free(transfer);
}

static struct transfer *transfer_new(struct core *core, struct call *call)
{
	struct transfer *transfer = alloc(sizeof(*transfer));

	*transfer = (struct transfer){ .core = core, .call = call, .volume = core->params.volume, .store = core->params.store, .fd = -1 };
	return transfer;
}

static void file_done(void *data)
{
	struct transfer *transfer = data;

	answer_file(transfer->call, take_fd(transfer->fd), &transfer->err);
	transfer_free(transfer);
}

static void image_run(void *data)
{
	struct transfer *transfer = data;
	int r = transfer->volume->ops->export(transfer->volume, transfer->uid, transfer->path, NULL, &transfer->err);

	if (r == 0)
		r = open_and_unlink(transfer->path, &transfer->fd, &transfer->err);
	if (r < 0)
		unlink(transfer->path);
	else
		transfer->err.code = 0;
}

/* ---- Container images ---- */

static void layers_export_run(void *data)
{
	struct transfer *transfer = data;
	int r = transfer->images->export(transfer->layers, transfer->scratch, transfer->manifest_digest, transfer->name,
					 transfer->is_docker, transfer->path, &transfer->err);
	struct err ignored;

	file_remove_tree(transfer->scratch, &ignored);
	if (r == 0)
		r = open_and_unlink(transfer->path, &transfer->fd, &transfer->err);
	if (r < 0)
		unlink(transfer->path);
	else
		transfer->err.code = 0;
}

static void export_layers(struct core *core, struct call *call, const struct image *image)
{
	const char *form = json_string(json_get(call->body, "form"), "oci");
	struct transfer *transfer;
	struct err err = { 0 };

	if (image->status.state != IMAGE_READY)
		err_set(&err, -EBUSY, "image '%s' is %s: wait until it is ready", image->meta.name, image_state_names[image->status.state]);
	else if (!text_equal(form, "oci") && !text_equal(form, "docker"))
		err_set(&err, -EINVAL, "form: '%s' is no form of archive: use oci or docker", shown(form));
	if (err.code < 0) {
		answer_err(call, &err);
		return;
	}
	transfer = transfer_new(core, call);
	transfer->images = core->params.images;
	transfer->layers = agent_layers_folder(core->agent);
	transfer->scratch = staging_name(core, ".image-export.d");
	transfer->path = staging_name(core, ".image-export");
	transfer->manifest_digest = text_copy(image->status.manifest);
	transfer->name = text_copy(image->meta.name);
	transfer->is_docker = text_equal(form, "docker");
	work_submit(core->params.work, layers_export_run, file_done, transfer_free, transfer);
}

/* Boot files lie ready: they are sent as they are. */
static void answer_boot_file(struct core *core, struct call *call, const struct image *image, const char *part)
{
	auto_free char *path = agent_image_file(core->agent, image->meta.uid, part);
	struct err err = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		err_set(&err, -errno, "open the %s of image '%s': %m", part, call->name);
	answer_file(call, fd, &err);
}

/* "disk", "kernel" or "initrd". */
static int check_part(const struct image *image, const char *part, struct err *err)
{
	const struct { const char *name; bool is_there; } parts[] = {
		{ "disk", image->status.has_disk }, { "kernel", image->status.has_kernel }, { "initrd", image->status.has_initrd },
	};

	if (image->status.state != IMAGE_READY)
		return err_set(err, -EBUSY, "image '%s' is %s: wait until it is ready", image->meta.name,
			       image_state_names[image->status.state]);
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		if (!text_equal(part, parts[i].name))
			continue;
		if (parts[i].is_there)
			return 0;
		return err_set(err, -ENOENT, "image '%s' has no %s: see 'strata image show %s'", image->meta.name, part, image->meta.name);
	}
	return err_set(err, -EINVAL, "part: '%s' is no part of an image: use disk, kernel or initrd", shown(part));
}

void transfer_image_export(struct core *core, struct call *call)
{
	const char *part = json_string(json_get(call->body, "part"), "disk");
	struct transfer *transfer;
	struct image *image;
	struct err err = { 0 };
	void *found;

	if (find_object(core, KIND_IMAGE, call->name, &found, &err) == 0 && ((struct image *)found)->spec.kind == IMAGE_CONTAINER) {
		export_layers(core, call, found);
		return;
	}
	if (err.code < 0 || check_part(found, part, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	image = found;
	if (!text_equal(part, "disk")) {
		answer_boot_file(core, call, image, part);
		return;
	}
	transfer = transfer_new(core, call);
	transfer->uid = text_copy(image->meta.uid);
	transfer->path = staging_name(core, ".image-export");
	work_submit(core->params.work, image_run, file_done, transfer_free, transfer);
}

/* ---- Backups of volumes ---- */

static void volume_backup_run(void *data)
{
	struct transfer *transfer = data;
	auto_close int fd = open(transfer->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 ? err_set(&transfer->err, -errno, "make '%s': %m", transfer->path) :
		transfer->volume->ops->send(transfer->volume, transfer->uid, transfer->snapshot, transfer->base, fd, NULL, &transfer->err);

	if (r == 0)
		r = open_and_unlink(transfer->path, &transfer->fd, &transfer->err);
	if (r < 0)
		unlink(transfer->path);
	else
		transfer->err.code = 0;
}

static int check_taken(struct core *core, const struct call *call, const char *member, bool is_needed, struct volume **ret_volume,
		       char **ret_uid, struct err *err)
{
	const char *name = json_string(json_get(call->body, member), NULL);
	struct snapshot *snapshot;
	int r;

	if (!name && !is_needed)
		return 0;
	if (!name)
		return err_set(err, -EINVAL, "%s: is missing: a backup is of a snapshot; take one with 'strata volume snapshot create'", member);
	r = find_volume_snapshot(core, call->name, name, ret_volume, &snapshot, err);
	if (r < 0)
		return err_prefix(err, "%s", member);
	if (snapshot->status.state != SNAPSHOT_READY)
		return err_set(err, -EAGAIN, "%s: snapshot '%s' is not ready", member, name);
	*ret_uid = text_copy(snapshot->meta.uid);
	return 0;
}

void transfer_volume_backup(struct core *core, struct call *call)
{
	struct transfer *transfer = transfer_new(core, call);
	struct volume *volume = NULL;
	struct err err = { 0 };

	if (check_taken(core, call, "snapshot", true, &volume, &transfer->snapshot, &err) < 0 ||
	    check_taken(core, call, "base", false, &volume, &transfer->base, &err) < 0 ||
	    !(transfer->volume = agent_pool(core->agent, volume->spec.pool_uid, &err))) {
		transfer_free(transfer);
		answer_err(call, &err);
		return;
	}
	transfer->uid = text_copy(volume->meta.uid);
	transfer->path = staging_name(core, ".volume-backup");
	work_submit(core->params.work, volume_backup_run, file_done, transfer_free, transfer);
}

static void backup_run(void *data)
{
	struct transfer *transfer = data;
	const struct cluster_params *cluster = transfer->core->params.cluster;
	int r = store_is_shared(transfer->store) && cluster ? cluster_backup(cluster, transfer->store, transfer->path, &transfer->err) :
							      store_backup(transfer->store, transfer->path, &transfer->err);

	if (r == 0)
		r = open_and_unlink(transfer->path, &transfer->fd, &transfer->err);
	if (r < 0)
		unlink(transfer->path);
	else
		transfer->err.code = 0;
}

void transfer_backup(struct core *core, struct call *call)
{
	struct transfer *transfer = transfer_new(core, call);

	transfer->path = staging_name(core, ".backup");
	work_submit(core->params.work, backup_run, file_done, transfer_free, transfer);
}

/* ---- Import: the archive says what the instance is like ---- */

static const uint64_t import_max_bytes = 1ull << 40;

static void drop_import(const struct transfer *transfer)
{
	auto_free char *folder = text_format("%s.d", transfer->path);
	struct err ignored = { 0 };

	file_remove_tree(folder, &ignored);
}

static void import_run(void *data)
{
	struct transfer *transfer = data;
	auto_free char *folder = text_format("%s.d", transfer->path);
	auto_close int fd = open(transfer->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		r = err_set(&transfer->err, -ENOENT, "spec.source.upload: upload '%s' does not exist: upload the file again", shown(transfer->upload));
	else
		r = file_make_dirs(folder, 0700, &transfer->err);
	if (r == 0)
		r = archive_read_instance(fd, folder, import_max_bytes, &transfer->manifest, NULL, &transfer->err);
	unlink(transfer->path);
	if (r == 0)
		transfer->err.code = 0;
	else
		drop_import(transfer);
}

/* Boot options of the export lie beside its kernel. */
static int keep_cmdline(const struct transfer *transfer, const struct json *manifest, struct err *err)
{
	const char *cmdline = json_string(json_get(manifest, "cmdline"), NULL);
	auto_free char *path = text_format("%s.d/cmdline", transfer->path);

	return cmdline ? file_write_atomic(path, cmdline, strlen(cmdline), 0600, err) : 0;
}

/* {"meta": of the request, "spec": of the manifest, with source.upload}. */
static struct json *merge_import(const struct transfer *transfer, struct err *err)
{
	auto_json struct json *manifest = NULL;
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	const struct json *spec;
	struct json *merged = NULL;

	if (json_parse(str_text(&transfer->manifest), transfer->manifest.size, &manifest, err) < 0) {
		err_prefix(err, "manifest.json of the export");
		return NULL;
	}
	spec = json_get(manifest, "spec");
	if (json_type(spec) != JSON_OBJECT || !text_equal(json_string(json_get(manifest, "kind"), ""), "instance")) {
		err_set(err, -EINVAL, "manifest.json of the export does not describe an instance: was it made by 'strata export'?");
		return NULL;
	}
	if (keep_cmdline(transfer, manifest, err) < 0)
		return NULL;
	json_write_object(&writer, NULL);
	json_write_value(&writer, "meta", json_get(transfer->call->body, "meta"));
	json_write_object(&writer, "spec");
	for (size_t i = 0; i < json_count(spec); i++) {
		const char *key;
		const struct json *value = json_member(spec, i, &key);

		if (!text_equal(key, "source") && !text_equal(key, "nics"))
			json_write_value(&writer, key, value);
	}
	json_write_object(&writer, "source");
	json_write_string(&writer, "upload", transfer->upload);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	if (json_parse(str_text(&text), text.size, &merged, err) < 0)
		return NULL;
	return merged;
}

static void import_done(void *data)
{
	struct transfer *transfer = data;
	struct call *call = transfer->call;
	struct core *core = transfer->core;
	struct json *merged = transfer->err.code == 0 ? merge_import(transfer, &transfer->err) : NULL;

	if (merged) {
		json_free(call->body);
		call->body = merged;
		instance_create(core, call);
	} else {
		drop_import(transfer);
		answer_err(call, &transfer->err);
	}
	transfer_free(transfer);
}

void instance_import(struct core *core, struct call *call, const char *upload)
{
	const char *name = json_string(json_path(call->body, "meta.name"), "");
	struct transfer *transfer;
	struct err err = { 0 };

	if (name_check(name, &err) < 0 || check_name_free(core, &kinds[KIND_INSTANCE], NULL, name, &err) < 0) {
		answer_err(call, &err);		/* Before the work of unpacking. */
		return;
	}
	if (!upload[0] || strspn(upload, "0123456789abcdefghijklmnopqrstuvwxyz-") != strlen(upload)) {
		err_set(&err, -EINVAL, "spec.source.upload: '%s' is not the id of an upload", shown(upload));
		answer_err(call, &err);
		return;
	}
	transfer = transfer_new(core, call);
	transfer->upload = text_copy(upload);
	transfer->path = agent_staging_path(core->agent, upload);
	work_submit(core->params.work, import_run, import_done, transfer_free, transfer);
}

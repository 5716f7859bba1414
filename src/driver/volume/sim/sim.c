#include "driver/volume/sim/world.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define SIM_DIRECTORY "/sim/volumes"

enum { SIM_BYTES_PER_CHANGE = 1 << 20 };	/* What a written volume occupies. */
#define SIM_POOL_BYTES (UINT64_C(1) << 40)

/* The driver: each operation runs under the world's lock, so a crash is at one of its steps. */

struct sim_driver *sim_driver_of(struct volume_driver *driver)
{
	return container_of(driver, struct sim_driver, base);
}

static int sim_open(const struct volume_params *params, struct volume_driver **ret_driver, struct err *err)
{
	struct sim_driver *driver;
	int r = fault_step(params->fault, "open volumes", err);

	if (r < 0)
		return r;
	driver = alloc(sizeof(*driver));
	driver->base.ops = &volume_sim;
	driver->fault = params->fault;
	driver->owns_world = !params->world;
	driver->world = params->world ? params->world : sim_volumes_new();
	*ret_driver = &driver->base;
	return 0;
}

static void sim_close(struct volume_driver *base)
{
	struct sim_driver *driver;

	if (!base)
		return;
	driver = sim_driver_of(base);
	if (driver->owns_world)
		sim_volumes_free(driver->world);
	free(driver);
}

int sim_find_volume(struct sim_driver *driver, const char *name, struct sim_volume **ret_volume, struct err *err)
{
	struct sim_volume *volume = map_get(&driver->world->volumes, name);

	if (!volume || volume->is_half_built)
		return err_set(err, -ENOENT, "volume '%s' does not exist", shown(name));
	*ret_volume = volume;
	return 0;
}

bool sim_has_volume(struct sim_driver *driver, const char *name)
{
	const struct sim_volume *volume = map_get(&driver->world->volumes, name);

	return volume && !volume->is_half_built;
}

/* Builds 'volume' as the named one in two steps: it is there half-built, then whole. Takes it in any case. */
int sim_build(struct sim_driver *driver, const char *name, struct sim_volume *volume, const char *what, struct err *err)
{
	int r = fault_step(driver->fault, what, err);

	if (r < 0) {
		sim_volume_free(volume);
		return r;
	}
	volume->is_half_built = true;
	sim_volume_free(map_put(&driver->world->volumes, name, volume));
	r = fault_step(driver->fault, what, err);
	if (r == -ESHUTDOWN)
		return r;
	if (r < 0) {			/* An ordinary error: the driver cleans up behind itself. */
		map_remove(&driver->world->volumes, name);
		sim_volume_free(volume);
		return r;
	}
	volume->is_half_built = false;
	return fault_step(driver->fault, what, err);
}

static int create_locked(struct sim_driver *driver, const char *name, enum volume_content kind, const char *parent, uint64_t size_bytes, struct err *err)
{
	struct sim_volume *from = NULL, *volume;
	int r;

	if (sim_has_volume(driver, name))
		return 0;
	if (parent && (r = sim_find_volume(driver, parent, &from, err)) < 0)
		return r;
	if (from && size_bytes == 0)
		size_bytes = from->size_bytes;
	if (from && size_bytes < from->size_bytes)
		return err_set(err, -EINVAL, "volume size %" PRIu64 " is smaller than its image's %" PRIu64 ": use at least that",
			       size_bytes, from->size_bytes);
	if ((kind == VOLUME_BLOCK || size_bytes) && (r = volume_check_size(size_bytes, err)) < 0)
		return r;
	volume = alloc(sizeof(*volume));
	volume->kind = kind;
	volume->parent = text_copy(parent);
	volume->size_bytes = size_bytes;
	volume->content = from ? from->content : 0;
	return sim_build(driver, name, volume, "create volume", err);
}

static int sim_create(struct volume_driver *base, const char *name, enum volume_content content, const char *parent,
		      uint64_t size_bytes, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	int r;

	if ((r = volume_check_name("volume", name, err)) < 0 || (parent && (r = volume_check_name("volume", parent, err)) < 0))
		return r;
	if (content == VOLUME_TREE && parent)
		return err_set(err, -EINVAL, "tree '%s' cannot have a parent: clone '%s' instead", name, parent);
	pthread_mutex_lock(&driver->world->lock);
	r = create_locked(driver, name, content, parent, size_bytes, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

int sim_need_snapshot(struct sim_volume *volume, const char *name, const char *snapshot, struct sim_snapshot **ret_snapshot,
			 struct err *err)
{
	*ret_snapshot = sim_volume_find(volume, snapshot);
	if (!*ret_snapshot)
		return err_set(err, -ENOENT, "snapshot '%s' of volume '%s' does not exist", shown(snapshot), name);
	return 0;
}

static int clone_locked(struct sim_driver *driver, const char *name, const char *from_name, const char *snapshot, struct err *err)
{
	struct sim_volume *from, *volume;
	struct sim_snapshot *taken = NULL;
	int r;

	if (sim_has_volume(driver, name))
		return 0;
	if ((r = sim_find_volume(driver, from_name, &from, err)) < 0 ||
	    (snapshot && (r = sim_need_snapshot(from, from_name, snapshot, &taken, err)) < 0))
		return r;
	volume = alloc(sizeof(*volume));
	volume->kind = from->kind;
	volume->parent = text_copy(from->parent);
	volume->size_bytes = from->size_bytes;
	volume->content = taken ? taken->content : from->content;
	return sim_build(driver, name, volume, "clone volume", err);
}

static int sim_clone(struct volume_driver *base, const char *name, const char *from, const char *snapshot,
		     const struct volume_progress *progress, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	int r;

	if ((r = volume_check_name("volume", name, err)) < 0 || (r = volume_check_name("volume", from, err)) < 0 ||
	    (snapshot && (r = volume_check_name("snapshot", snapshot, err)) < 0))
		return r;
	if (volume_is_cancelled(progress))
		return err_set(err, -ECANCELED, "cancelled");
	pthread_mutex_lock(&driver->world->lock);
	r = clone_locked(driver, name, from, snapshot, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

/* The file's length is the volume's size, whatever its format: nothing parses it here. */
static int sim_import(struct volume_driver *base, const char *name, int file_fd, int expected,
		      const struct volume_progress *progress, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	struct sim_volume *volume;
	struct stat st;
	int r = volume_check_name("volume", name, err);

	(void)expected;
	if (r < 0)
		return r;
	if (volume_is_cancelled(progress))
		return err_set(err, -ECANCELED, "cancelled");
	if (fstat(file_fd, &st) < 0)
		return err_set(err, -errno, "stat the image: %m");
	if (st.st_size == 0)
		return err_set(err, -EINVAL, "image is empty: give a qcow2 or raw image");
	pthread_mutex_lock(&driver->world->lock);
	if (!sim_has_volume(driver, name)) {
		volume = alloc(sizeof(*volume));
		volume->size_bytes = (uint64_t)st.st_size;
		r = sim_build(driver, name, volume, "import volume", err);
	}
	pthread_mutex_unlock(&driver->world->lock);
	volume_report(progress, (uint64_t)st.st_size, (uint64_t)st.st_size);
	return r;
}

/* Writes a small file with the number that is the content, so that exports can be told apart. */
static int write_export(const char *path, uint64_t content, struct err *err)
{
	auto_fclose FILE *file = fopen(path, "wxe");

	if (!file || fprintf(file, "%" PRIu64 "\n", content) < 0 || fflush(file) < 0)
		return err_set(err, -errno, "create '%s': %m", shown(path));
	return 0;
}

static int sim_export(struct volume_driver *base, const char *name, const char *path,
		      const struct volume_progress *progress, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	struct sim_volume *volume;
	uint64_t content = 0;
	int r = volume_check_name("volume", name, err);

	if (r < 0)
		return r;
	if (volume_is_cancelled(progress))
		return err_set(err, -ECANCELED, "cancelled");
	pthread_mutex_lock(&driver->world->lock);
	r = sim_find_volume(driver, name, &volume, err);
	if (r == 0 && volume->kind == VOLUME_TREE)
		r = err_set(err, -EOPNOTSUPP, "volume '%s' is a tree and no disk: send a snapshot of it instead", name);
	if (r == 0)
		r = fault_step(driver->fault, "export volume", err);
	if (r == 0)
		content = volume->content;
	pthread_mutex_unlock(&driver->world->lock);
	return r < 0 ? r : write_export(path, content, err);
}

static int sim_remove(struct volume_driver *base, const char *name, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	int r = volume_check_name("volume", name, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	r = fault_step(driver->fault, "remove volume", err);
	if (r == 0) {
		sim_volume_free(map_remove(&driver->world->volumes, name));
		r = fault_step(driver->fault, "remove volume", err);
	}
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

/* The operations that change one existing volume. */
typedef int change_fn(struct sim_volume *volume, const char *name, const void *argument, struct err *err);

static int change(struct volume_driver *base, const char *name, const char *what, change_fn *fn, const void *argument, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	struct sim_volume *volume;
	int r = volume_check_name("volume", name, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	if ((r = sim_find_volume(driver, name, &volume, err)) == 0 && (r = fault_step(driver->fault, what, err)) == 0 &&
	    (r = fn(volume, name, argument, err)) == 0)
		r = fault_step(driver->fault, what, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

static int do_resize(struct sim_volume *volume, const char *name, const void *argument, struct err *err)
{
	uint64_t size_bytes = *(const uint64_t *)argument;

	if (size_bytes < volume->size_bytes)
		return err_set(err, -EINVAL, "volume '%s' has %" PRIu64 " bytes and cannot shrink to %" PRIu64 ": give a larger size",
			       name, volume->size_bytes, size_bytes);
	volume->size_bytes = size_bytes;
	return 0;
}

static int sim_resize(struct volume_driver *base, const char *name, uint64_t size_bytes, struct err *err)
{
	int r = volume_check_size(size_bytes, err);

	return r < 0 ? r : change(base, name, "resize volume", do_resize, &size_bytes, err);
}

static int do_snapshot_create(struct sim_volume *volume, const char *name, const void *snapshot, struct err *err)
{
	if (sim_volume_find(volume, snapshot))
		return err_set(err, -EEXIST, "snapshot '%s' of volume '%s' exists already: choose another name",
			       (const char *)snapshot, name);
	sim_volume_add(volume, snapshot);
	return 0;
}

static int do_snapshot_restore(struct sim_volume *volume, const char *name, const void *argument, struct err *err)
{
	struct sim_snapshot *snapshot;
	int r = sim_need_snapshot(volume, name, argument, &snapshot, err);

	if (r < 0)
		return r;
	volume->content = snapshot->content;
	volume->size_bytes = snapshot->size_bytes;
	return 0;
}

static int do_snapshot_remove(struct sim_volume *volume, const char *name, const void *argument, struct err *err)
{
	struct sim_snapshot *snapshot = sim_volume_find(volume, argument);

	(void)name;
	(void)err;
	if (snapshot)
		sim_volume_drop(volume, snapshot);
	return 0;
}

static int change_snapshot(struct volume_driver *base, const char *name, const char *snapshot, const char *what, change_fn *fn,
			   struct err *err)
{
	int r = volume_check_name("snapshot", snapshot, err);

	return r < 0 ? r : change(base, name, what, fn, snapshot, err);
}

static int sim_snapshot_create(struct volume_driver *base, const char *name, const char *snapshot, struct err *err)
{
	return change_snapshot(base, name, snapshot, "create snapshot", do_snapshot_create, err);
}

static int sim_snapshot_restore(struct volume_driver *base, const char *name, const char *snapshot, struct err *err)
{
	return change_snapshot(base, name, snapshot, "restore snapshot", do_snapshot_restore, err);
}

static int sim_snapshot_remove(struct volume_driver *base, const char *name, const char *snapshot, struct err *err)
{
	return change_snapshot(base, name, snapshot, "remove snapshot", do_snapshot_remove, err);
}

static void fill_info(struct sim_volumes *world, const char *name, struct sim_volume *volume, struct volume_info *info)
{
	info->content = volume->kind;
	info->size_bytes = volume->size_bytes;
	info->allocated_bytes = volume->content ? SIM_BYTES_PER_CHANGE : 0;
	for (size_t i = 0; i < volume->snapshots.count; i++)
		*vec_push(&info->snapshots) = text_copy(volume->snapshots.items[i].name);
	if (volume->kind == VOLUME_TREE) {
		info->tree = text_format(SIM_DIRECTORY "/%s.tree/root", name);
		return;
	}
	for (; volume; volume = name ? map_get(&world->volumes, name) : NULL) {
		struct volume_layer *layer = vec_push(&info->layers);

		layer->path = text_format(SIM_DIRECTORY "/%s.qcow2", name);
		layer->format = VOLUME_QCOW2;
		name = volume->parent;
	}
}

static int sim_info(struct volume_driver *base, const char *name, struct volume_info *ret_info, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	struct volume_info info = { 0 };
	struct sim_volume *volume;
	int r = volume_check_name("volume", name, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	if ((r = sim_find_volume(driver, name, &volume, err)) == 0 && (r = fault_step(driver->fault, "read volume", err)) == 0)
		fill_info(driver->world, name, volume, &info);
	pthread_mutex_unlock(&driver->world->lock);
	if (r == 0)
		*ret_info = info;
	return r;
}

static int sim_space(struct volume_driver *base, struct volume_space *ret_space, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	uint64_t used = 0;
	int r;

	pthread_mutex_lock(&driver->world->lock);
	r = fault_step(driver->fault, "ask for space", err);
	for (size_t i = 0; i < driver->world->volumes.count; i++)
		used += ((const struct sim_volume *)driver->world->volumes.entries[i].value)->content ? SIM_BYTES_PER_CHANGE : 0;
	pthread_mutex_unlock(&driver->world->lock);
	if (r == 0)
		*ret_space = (struct volume_space){ .size_bytes = SIM_POOL_BYTES, .free_bytes = SIM_POOL_BYTES - used };
	return r;
}

/* The world is the test's: it stays, empty. */
static int sim_destroy(const struct volume_params *params, struct err *err)
{
	struct sim_volumes *world = params->world;
	size_t count = world ? sim_volumes_count(world) : 0;

	if (count)
		return err_set(err, -EBUSY, "%zu volumes are in the pool: remove them first", count);
	return fault_step(params->fault, "destroy pool", err);
}

static void remove_half_built(struct map *volumes)
{
	for (size_t i = volumes->count; i-- > 0;) {
		const struct sim_volume *volume = volumes->entries[i].value;

		if (volume->is_half_built)
			sim_volume_free(map_remove(volumes, volumes->entries[i].key));
	}
}

static int sim_list(struct volume_driver *base, struct volume_names *ret_names, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	struct volume_names names = { 0 };
	struct map *volumes = &driver->world->volumes;
	int r;

	pthread_mutex_lock(&driver->world->lock);
	r = fault_step(driver->fault, "list volumes", err);
	if (r == 0) {
		remove_half_built(volumes);
		for (size_t i = 0; i < volumes->count; i++)
			*vec_push(&names.items) = text_copy(volumes->entries[i].key);
	}
	pthread_mutex_unlock(&driver->world->lock);
	if (r == 0)
		*ret_names = names;
	return r;
}

const struct volume_ops volume_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.destroy = sim_destroy,
	.space = sim_space,
	.create = sim_create,
	.clone = sim_clone,
	.import = sim_import,
	.export = sim_export,
	.remove = sim_remove,
	.resize = sim_resize,
	.snapshot_create = sim_snapshot_create,
	.snapshot_restore = sim_snapshot_restore,
	.snapshot_remove = sim_snapshot_remove,
	.send = sim_send,
	.receive = sim_receive,
	.info = sim_info,
	.list = sim_list,
};

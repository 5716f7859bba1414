#include "driver/volume/sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/frames.h"

#define SIM_DIRECTORY "/sim/volumes"

enum { SIM_BYTES_PER_CHANGE = 1 << 20 };	/* What a written volume occupies. */
#define SIM_POOL_BYTES (UINT64_C(1) << 40)
#define SIM_STREAM_KIND "sim"

struct sim_snapshot { char *name; uint64_t content, size_bytes; };

struct sim_volume {
	enum volume_content kind;
	char *parent;			/* Null: none. */
	uint64_t size_bytes, content;
	bool is_half_built;
	VEC(struct sim_snapshot) snapshots;
};

struct sim_volumes {
	pthread_mutex_t lock;
	struct map volumes;		/* By name. */
};

struct sim_driver {
	struct volume_driver base;
	struct sim_volumes *world;
	bool owns_world;
	struct fault *fault;
};

/* The world */

static void sim_volume_free(struct sim_volume *volume)
{
	if (!volume)
		return;
	for (size_t i = 0; i < volume->snapshots.count; i++)
		free(volume->snapshots.items[i].name);
	vec_done(&volume->snapshots);
	free(volume->parent);
	free(volume);
}

struct sim_volumes *sim_volumes_new(void)
{
	struct sim_volumes *world = alloc(sizeof(*world));

	pthread_mutex_init(&world->lock, NULL);
	return world;
}

void sim_volumes_free(struct sim_volumes *world)
{
	if (!world)
		return;
	for (size_t i = 0; i < world->volumes.count; i++)
		sim_volume_free(world->volumes.entries[i].value);
	map_done(&world->volumes);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

static size_t count_if(struct sim_volumes *world, bool is_half_built)
{
	size_t count = 0;

	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->volumes.count; i++) {
		const struct sim_volume *volume = world->volumes.entries[i].value;

		count += volume->is_half_built == is_half_built;
	}
	pthread_mutex_unlock(&world->lock);
	return count;
}

size_t sim_volumes_count(struct sim_volumes *world)
{
	return count_if(world, false);
}

size_t sim_volumes_half_built(struct sim_volumes *world)
{
	return count_if(world, true);
}

void sim_volumes_write(struct sim_volumes *world, const char *name, uint64_t content)
{
	struct sim_volume *volume;

	pthread_mutex_lock(&world->lock);
	volume = map_get(&world->volumes, name);
	assert(volume);
	volume->content = content;
	pthread_mutex_unlock(&world->lock);
}

uint64_t sim_volumes_read(struct sim_volumes *world, const char *name)
{
	const struct sim_volume *volume;
	uint64_t content;

	pthread_mutex_lock(&world->lock);
	volume = map_get(&world->volumes, name);
	assert(volume);
	content = volume->content;
	pthread_mutex_unlock(&world->lock);
	return content;
}

static struct sim_snapshot *find_snapshot(struct sim_volume *volume, const char *name)
{
	for (size_t i = 0; i < volume->snapshots.count; i++)
		if (text_equal(volume->snapshots.items[i].name, name))
			return &volume->snapshots.items[i];
	return NULL;
}

static void add_snapshot(struct sim_volume *volume, const char *name)
{
	*vec_push(&volume->snapshots) = (struct sim_snapshot){
		.name = text_copy(name), .content = volume->content, .size_bytes = volume->size_bytes,
	};
}

static void drop_snapshot(struct sim_volume *volume, struct sim_snapshot *snapshot)
{
	free(snapshot->name);
	vec_remove(&volume->snapshots, (size_t)(snapshot - volume->snapshots.items));
}

void sim_volumes_take_snapshot(void *data, const char *path, const char *snapshot, bool is_removed)
{
	struct sim_volumes *world = data;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	auto_free char *volume_name = text_copy_length(name, strcspn(name, "."));
	struct sim_volume *volume;
	struct sim_snapshot *present;

	pthread_mutex_lock(&world->lock);
	volume = map_get(&world->volumes, volume_name);
	present = volume ? find_snapshot(volume, snapshot) : NULL;
	if (present && is_removed)
		drop_snapshot(volume, present);
	else if (volume && !present && !is_removed)
		add_snapshot(volume, snapshot);
	pthread_mutex_unlock(&world->lock);
}

/* The driver: each operation runs under the world's lock, so a crash is at one of its steps. */

static struct sim_driver *sim_of(struct volume_driver *driver)
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
	driver = sim_of(base);
	if (driver->owns_world)
		sim_volumes_free(driver->world);
	free(driver);
}

static int find_volume(struct sim_driver *driver, const char *name, struct sim_volume **ret_volume, struct err *err)
{
	struct sim_volume *volume = map_get(&driver->world->volumes, name);

	if (!volume || volume->is_half_built)
		return err_set(err, -ENOENT, "volume '%s' does not exist", shown(name));
	*ret_volume = volume;
	return 0;
}

static bool has_volume(struct sim_driver *driver, const char *name)
{
	const struct sim_volume *volume = map_get(&driver->world->volumes, name);

	return volume && !volume->is_half_built;
}

/* Builds 'volume' as the named one in two steps: it is there half-built, then whole. Takes it in any case. */
static int build(struct sim_driver *driver, const char *name, struct sim_volume *volume, const char *what, struct err *err)
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

	if (has_volume(driver, name))
		return 0;
	if (parent && (r = find_volume(driver, parent, &from, err)) < 0)
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
	return build(driver, name, volume, "create volume", err);
}

static int sim_create(struct volume_driver *base, const char *name, enum volume_content content, const char *parent,
		      uint64_t size_bytes, struct err *err)
{
	struct sim_driver *driver = sim_of(base);
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

static int need_snapshot(struct sim_volume *volume, const char *name, const char *snapshot, struct sim_snapshot **ret_snapshot,
			 struct err *err)
{
	*ret_snapshot = find_snapshot(volume, snapshot);
	if (!*ret_snapshot)
		return err_set(err, -ENOENT, "snapshot '%s' of volume '%s' does not exist", shown(snapshot), name);
	return 0;
}

static int clone_locked(struct sim_driver *driver, const char *name, const char *from_name, const char *snapshot, struct err *err)
{
	struct sim_volume *from, *volume;
	struct sim_snapshot *taken = NULL;
	int r;

	if (has_volume(driver, name))
		return 0;
	if ((r = find_volume(driver, from_name, &from, err)) < 0 ||
	    (snapshot && (r = need_snapshot(from, from_name, snapshot, &taken, err)) < 0))
		return r;
	volume = alloc(sizeof(*volume));
	volume->kind = from->kind;
	volume->parent = text_copy(from->parent);
	volume->size_bytes = from->size_bytes;
	volume->content = taken ? taken->content : from->content;
	return build(driver, name, volume, "clone volume", err);
}

static int sim_clone(struct volume_driver *base, const char *name, const char *from, const char *snapshot,
		     const struct volume_progress *progress, struct err *err)
{
	struct sim_driver *driver = sim_of(base);
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
	struct sim_driver *driver = sim_of(base);
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
	if (!has_volume(driver, name)) {
		volume = alloc(sizeof(*volume));
		volume->size_bytes = (uint64_t)st.st_size;
		r = build(driver, name, volume, "import volume", err);
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
	struct sim_driver *driver = sim_of(base);
	struct sim_volume *volume;
	uint64_t content = 0;
	int r = volume_check_name("volume", name, err);

	if (r < 0)
		return r;
	if (volume_is_cancelled(progress))
		return err_set(err, -ECANCELED, "cancelled");
	pthread_mutex_lock(&driver->world->lock);
	r = find_volume(driver, name, &volume, err);
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
	struct sim_driver *driver = sim_of(base);
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
	struct sim_driver *driver = sim_of(base);
	struct sim_volume *volume;
	int r = volume_check_name("volume", name, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	if ((r = find_volume(driver, name, &volume, err)) == 0 && (r = fault_step(driver->fault, what, err)) == 0 &&
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
	if (find_snapshot(volume, snapshot))
		return err_set(err, -EEXIST, "snapshot '%s' of volume '%s' exists already: choose another name",
			       (const char *)snapshot, name);
	add_snapshot(volume, snapshot);
	return 0;
}

static int do_snapshot_restore(struct sim_volume *volume, const char *name, const void *argument, struct err *err)
{
	struct sim_snapshot *snapshot;
	int r = need_snapshot(volume, name, argument, &snapshot, err);

	if (r < 0)
		return r;
	volume->content = snapshot->content;
	volume->size_bytes = snapshot->size_bytes;
	return 0;
}

static int do_snapshot_remove(struct sim_volume *volume, const char *name, const void *argument, struct err *err)
{
	struct sim_snapshot *snapshot = find_snapshot(volume, argument);

	(void)name;
	(void)err;
	if (snapshot)
		drop_snapshot(volume, snapshot);
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
	struct sim_driver *driver = sim_of(base);
	struct volume_info info = { 0 };
	struct sim_volume *volume;
	int r = volume_check_name("volume", name, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	if ((r = find_volume(driver, name, &volume, err)) == 0 && (r = fault_step(driver->fault, "read volume", err)) == 0)
		fill_info(driver->world, name, volume, &info);
	pthread_mutex_unlock(&driver->world->lock);
	if (r == 0)
		*ret_info = info;
	return r;
}

/* Streams: the frame of the real ones with one record, the number that is the content. Changes are no smaller. */

static int read_snapshot(struct sim_driver *driver, const char *name, const char *snapshot, const char *base,
			 struct frames_header *header, uint64_t *ret_content, struct err *err)
{
	struct sim_snapshot *taken, *base_taken;
	struct sim_volume *volume;
	int r;

	if ((r = find_volume(driver, name, &volume, err)) < 0 || (r = need_snapshot(volume, name, snapshot, &taken, err)) < 0 ||
	    (base && (r = need_snapshot(volume, name, base, &base_taken, err)) < 0) ||
	    (r = fault_step(driver->fault, "send volume", err)) < 0)
		return r;
	snprintf(header->kind, sizeof(header->kind), SIM_STREAM_KIND "%d", volume->kind);
	header->size_bytes = taken->size_bytes;
	*ret_content = taken->content;
	return 0;
}

static int sim_send(struct volume_driver *base, const char *name, const char *snapshot, const char *from, int to_fd,
		    const struct volume_progress *progress, struct err *err)
{
	struct sim_driver *driver = sim_of(base);
	auto_frames_writer struct frames_writer writer = { 0 };
	struct frames_header header = { 0 };
	unsigned char bytes[8];
	uint64_t content = 0;
	int r;

	if ((r = volume_check_name("volume", name, err)) < 0 || (r = volume_check_name("snapshot", snapshot, err)) < 0 ||
	    (from && (r = volume_check_name("snapshot", from, err)) < 0))
		return r;
	strcpy(header.snapshot, snapshot);
	strcpy(header.base, from ? from : "");
	pthread_mutex_lock(&driver->world->lock);
	r = read_snapshot(driver, name, snapshot, from, &header, &content, err);
	pthread_mutex_unlock(&driver->world->lock);
	frames_pack64(bytes, content);
	if (r < 0 || (r = frames_begin(&writer, to_fd, &header, progress, err)) < 0 ||
	    (r = frames_put(&writer, FRAMES_RAW, bytes, sizeof(bytes), NULL, 0, err)) < 0)
		return r;
	return frames_end(&writer, err);
}

/* What a stream says, read to its end. */
struct received { struct frames_header header; enum volume_content kind; uint64_t content; };

static int read_stream(int fd, const struct volume_progress *progress, struct received *received, struct err *err)
{
	auto_frames_reader struct frames_reader reader = { 0 };
	int r;

	if ((r = frames_open(&reader, fd, progress, &received->header, err)) < 0)
		return r;
	if (text_equal(received->header.kind, SIM_STREAM_KIND "0"))
		received->kind = VOLUME_BLOCK;
	else if (text_equal(received->header.kind, SIM_STREAM_KIND "1"))
		received->kind = VOLUME_TREE;
	else
		return err_set(err, -EINVAL, "the stream is of kind '%s', not of a simulated volume", shown(received->header.kind));
	if ((r = frames_next(&reader, err)) < 0)
		return r;
	if (reader.has_ended || reader.type != FRAMES_RAW || reader.size != 8)
		return frames_damaged(&reader, err);
	received->content = frames_unpack64(reader.payload);
	if ((r = frames_next(&reader, err)) < 0)
		return r;
	return reader.has_ended ? 0 : frames_damaged(&reader, err);
}

static int receive_whole(struct sim_driver *driver, const char *name, const struct received *received, struct err *err)
{
	struct sim_volume *volume = alloc(sizeof(*volume));

	volume->kind = received->kind;
	volume->size_bytes = received->header.size_bytes;
	volume->content = received->content;
	add_snapshot(volume, received->header.snapshot);
	return build(driver, name, volume, "receive volume", err);
}

static int receive_locked(struct sim_driver *driver, const char *name, const struct received *received, struct err *err)
{
	const struct frames_header *header = &received->header;
	struct sim_snapshot *taken, *base;
	struct sim_volume *volume;
	int r;

	if (!header->base[0] && !has_volume(driver, name))
		return receive_whole(driver, name, received, err);
	if ((r = find_volume(driver, name, &volume, err)) < 0)
		return r;
	if (volume->kind != received->kind)
		return err_set(err, -EINVAL, "the stream is of another kind of volume than '%s': choose another name", name);
	taken = find_snapshot(volume, header->snapshot);
	if (!header->base[0])
		return taken ? 0 : err_set(err, -EEXIST, "volume '%s' exists already: remove it first or choose another name", name);
	if ((!taken && (r = need_snapshot(volume, name, header->base, &base, err)) < 0) ||
	    (r = fault_step(driver->fault, "receive volume", err)) < 0)
		return r;
	volume->content = taken ? taken->content : received->content;
	volume->size_bytes = taken ? taken->size_bytes : header->size_bytes;
	if (!taken)
		add_snapshot(volume, header->snapshot);
	return fault_step(driver->fault, "receive volume", err);
}

static int sim_receive(struct volume_driver *base, const char *name, int from_fd, const struct volume_progress *progress,
		       struct err *err)
{
	struct sim_driver *driver = sim_of(base);
	struct received received = { 0 };
	int r;

	if ((r = volume_check_name("volume", name, err)) < 0 || (r = read_stream(from_fd, progress, &received, err)) < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	r = receive_locked(driver, name, &received, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

static int sim_space(struct volume_driver *base, struct volume_space *ret_space, struct err *err)
{
	struct sim_driver *driver = sim_of(base);
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
	struct sim_driver *driver = sim_of(base);
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

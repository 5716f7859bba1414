#include "driver/volume/file/folder.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/block.h"
#include "driver/volume/file/tree.h"

static struct place *place_of(struct volume_driver *driver)
{
	return &container_of(driver, struct folder, base)->place;
}

int folder_open(const struct volume_params *params, const struct volume_ops *ops, const struct tree_ways *ways,
		struct volume_driver **ret_driver, struct err *err)
{
	auto_free struct folder *folder = alloc(sizeof(*folder));
	int r = place_open(params, ways, &folder->place, err);

	if (r < 0)
		return r;
	folder->base.ops = ops;
	*ret_driver = &take(folder)->base;
	return 0;
}

void folder_close(struct volume_driver *driver)
{
	if (!driver)
		return;
	place_close(place_of(driver));
	free(container_of(driver, struct folder, base));
}

int folder_check_empty(struct place *place, struct err *err)
{
	auto_names struct volume_names names = { 0 };
	int r = place_list(place, &names, err);

	if (r == 0 && names.items.count)
		return err_set(err, -EBUSY, "%zu volumes are in '%s' ('%s'): remove them first", names.items.count,
			       shown(place->directory), names.items.items[0]);
	return r;
}

int folder_space(struct volume_driver *driver, struct volume_space *ret_space, struct err *err)
{
	struct place *place = place_of(driver);
	struct statvfs st;

	if (fstatvfs(place->fd, &st) < 0)
		return err_set(err, -errno, "ask for the space of '%s': %m", shown(place->directory));
	ret_space->size_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	ret_space->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

int folder_create(struct volume_driver *driver, const char *volume, enum volume_content content, const char *parent,
		  uint64_t size_bytes, struct err *err)
{
	struct place *place = place_of(driver);
	int r;

	parent = parent ? parent : "";
	if ((r = volume_check_name("volume", volume, err)) < 0 || (parent[0] && (r = volume_check_name("volume", parent, err)) < 0))
		return r;
	if (content == VOLUME_TREE && parent[0])
		return err_set(err, -EINVAL, "tree '%s' cannot have a parent: clone '%s' instead", volume, parent);
	if (place_has(place, volume))
		return 0;
	return content == VOLUME_TREE ? tree_create(place, volume, size_bytes, err) :
					block_create(place, volume, parent, size_bytes, err);
}

int folder_clone(struct volume_driver *driver, const char *volume, const char *from, const char *snapshot,
		 const struct volume_progress *progress, struct err *err)
{
	struct place *place = place_of(driver);
	int r;

	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = volume_check_name("volume", from, err)) < 0 ||
	    (snapshot && (r = volume_check_name("snapshot", snapshot, err)) < 0))
		return r;
	if (place_has(place, volume))
		return 0;
	return place_has_tree(place, from) ? tree_clone(place, volume, from, snapshot, progress, err) :
					     block_clone(place, volume, from, snapshot, progress, err);
}

int folder_import(struct volume_driver *driver, const char *volume, int file_fd, int expected,
		  const struct volume_progress *progress, struct err *err)
{
	struct place *place = place_of(driver);
	int r = volume_check_name("volume", volume, err);

	return r < 0 || place_has(place, volume) ? r : block_import(place, volume, file_fd, expected, progress, err);
}

int folder_export(struct volume_driver *driver, const char *volume, const char *path, const struct volume_progress *progress,
		  struct err *err)
{
	struct place *place = place_of(driver);
	int r = volume_check_name("volume", volume, err);

	if (r == 0 && place_has_tree(place, volume))
		return err_set(err, -EOPNOTSUPP, "volume '%s' is a tree and no disk: send a snapshot of it instead", volume);
	return r < 0 ? r : block_export(place, volume, path, progress, err);
}

int folder_remove(struct volume_driver *driver, const char *volume, struct err *err)
{
	struct place *place = place_of(driver);
	int r = volume_check_name("volume", volume, err);

	if (r == 0)
		r = place_remove(place, volume, err);
	return r < 0 ? r : tree_remove(place, volume, err);
}

int folder_resize(struct volume_driver *driver, const char *volume, uint64_t size_bytes, struct err *err)
{
	struct place *place = place_of(driver);
	int r;

	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = volume_check_size(size_bytes, err)) < 0)
		return r;
	return place_has_tree(place, volume) ? tree_resize(place, volume, size_bytes, err) :
					       block_resize(place, volume, size_bytes, err);
}

static int check_names(const char *volume, const char *snapshot, struct err *err)
{
	int r = volume_check_name("volume", volume, err);

	return r < 0 ? r : volume_check_name("snapshot", snapshot, err);
}

int folder_snapshot_create(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err)
{
	struct place *place = place_of(driver);
	int r = check_names(volume, snapshot, err);

	if (r < 0)
		return r;
	return place_has_tree(place, volume) ? tree_snapshot_create(place, volume, snapshot, err) :
					       block_snapshot_create(place, volume, snapshot, err);
}

int folder_snapshot_restore(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err)
{
	struct place *place = place_of(driver);
	int r = check_names(volume, snapshot, err);

	if (r < 0)
		return r;
	return place_has_tree(place, volume) ? tree_snapshot_restore(place, volume, snapshot, err) :
					       block_snapshot_restore(place, volume, snapshot, err);
}

int folder_snapshot_remove(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err)
{
	struct place *place = place_of(driver);
	int r = check_names(volume, snapshot, err);

	if (r < 0)
		return r;
	return place_has_tree(place, volume) ? tree_snapshot_remove(place, volume, snapshot, err) :
					       block_snapshot_remove(place, volume, snapshot, err);
}

int folder_send(struct volume_driver *driver, const char *volume, const char *snapshot, const char *base, int to_fd,
		const struct volume_progress *progress, struct err *err)
{
	struct place *place = place_of(driver);
	int r = check_names(volume, snapshot, err);

	if (r < 0 || (base && (r = volume_check_name("snapshot", base, err)) < 0))
		return r;
	return place_has_tree(place, volume) ? tree_send(place, volume, snapshot, base, to_fd, progress, err) :
					       block_send(place, volume, snapshot, base, to_fd, progress, err);
}

static bool has_snapshot(const struct volume_info *info, const char *snapshot)
{
	for (size_t i = 0; i < info->snapshots.count; i++)
		if (text_equal(info->snapshots.items[i], snapshot))
			return true;
	return false;
}

/* The volume is there: has this stream been received before? A crash may have left the last step, the restore. */
static int receive_again(struct volume_driver *driver, const char *volume, const struct frames_header *header, bool *ret_is_done,
			 struct frames_reader *reader, struct err *err)
{
	auto_info struct volume_info info = { 0 };
	int r = folder_info(driver, volume, &info, err);

	if (r < 0)
		return r;
	*ret_is_done = has_snapshot(&info, header->snapshot);
	if (!*ret_is_done && !header->base[0])
		return err_set(err, -EEXIST, "volume '%s' exists already: remove it first or choose another name", volume);
	if (!*ret_is_done)
		return 0;
	r = frames_drain(reader, err);
	return r < 0 || !header->base[0] ? r : folder_snapshot_restore(driver, volume, header->snapshot, err);
}

int folder_receive(struct volume_driver *driver, const char *volume, int from_fd, const struct volume_progress *progress,
		   struct err *err)
{
	struct place *place = place_of(driver);
	auto_frames_reader struct frames_reader reader = { 0 };
	struct frames_header header;
	bool is_done = false, is_block;
	int r;

	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = frames_open(&reader, from_fd, progress, &header, err)) < 0)
		return r;
	is_block = text_equal(header.kind, BLOCK_STREAM_KIND);
	if (!is_block && !text_equal(header.kind, place->ways->kind))
		return err_set(err, -EINVAL, "the stream is of kind '%s' and this pool takes '%s' and '%s': use a pool of the driver that wrote it",
			       shown(header.kind), BLOCK_STREAM_KIND, place->ways->kind);
	if (is_block ? place_has_tree(place, volume) : place_has_block(place, volume))
		return err_set(err, -EINVAL, "the stream is of %s, volume '%s' is not: choose another name", is_block ? "a disk" : "a tree", volume);
	if (place_has(place, volume) && ((r = receive_again(driver, volume, &header, &is_done, &reader, err)) < 0 || is_done))
		return r;
	return is_block ? block_receive(place, volume, &header, &reader, err) : tree_receive(place, volume, &header, &reader, err);
}

int folder_info(struct volume_driver *driver, const char *volume, struct volume_info *ret_info, struct err *err)
{
	struct place *place = place_of(driver);
	int r = volume_check_name("volume", volume, err);

	if (r < 0)
		return r;
	return place_has_tree(place, volume) ? tree_info(place, volume, ret_info, err) : block_info(place, volume, ret_info, err);
}

int folder_list(struct volume_driver *driver, struct volume_names *ret_names, struct err *err)
{
	return place_list(place_of(driver), ret_names, err);
}

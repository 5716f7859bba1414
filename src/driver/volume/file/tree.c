#include "driver/volume/file/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define ROOT "root"
#define SNAPSHOT_PREFIX "at-"

enum { SNAPSHOT_NAME_SIZE = VOLUME_NAME_LENGTH + 24 };

struct tree {				/* A volume's folder, opened. */
	const char *volume;
	int fd, root_fd;
	VEC(char *) snapshots;		/* Names of their folders, oldest first. */
};

static void tree_close(struct tree *tree)
{
	for (size_t i = 0; i < tree->snapshots.count; i++)
		free(tree->snapshots.items[i]);
	vec_done(&tree->snapshots);
	closep(&tree->root_fd);
	closep(&tree->fd);
}
#define auto_tree __attribute__((cleanup(tree_close)))
#define TREE_CLOSED { .fd = -1, .root_fd = -1 }

/* The numbers have the same length, so the names sort by age. */
static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "at-0000000003.first" is "first"; null for anything else. */
static const char *snapshot_of(const char *folder)
{
	const char *dot = strchr(folder, '.');

	return text_starts_with(folder, SNAPSHOT_PREFIX) && dot ? dot + 1 : NULL;
}

static int open_folder(int dir_fd, const char *name)
{
	return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int tree_open(const struct place *place, const char *volume, struct tree *tree, struct err *err)
{
	auto_free char *name = text_format("%s.tree", volume);
	auto_names struct volume_names names = { 0 };
	int r;

	*tree = (struct tree){ .volume = volume, .fd = -1, .root_fd = -1 };
	tree->fd = open_folder(place->fd, name);
	if (tree->fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT, "volume '%s' does not exist", volume);
	if (tree->fd < 0 || (tree->root_fd = open_folder(tree->fd, ROOT)) < 0)
		return err_set(err, -errno, "open '%s/%s': %m", shown(place->directory), name);
	if ((r = place_names(tree->fd, &names, err)) < 0)
		return r;
	for (size_t i = 0; i < names.items.count; i++)
		if (snapshot_of(names.items.items[i]))
			*vec_push(&tree->snapshots) = take(names.items.items[i]);
	if (tree->snapshots.count)
		qsort(tree->snapshots.items, tree->snapshots.count, sizeof(char *), by_name);
	return 0;
}

/* The name of the snapshot's folder, or null. */
static const char *find_snapshot(const struct tree *tree, const char *snapshot)
{
	for (size_t i = 0; i < tree->snapshots.count; i++)
		if (text_equal(snapshot_of(tree->snapshots.items[i]), snapshot))
			return tree->snapshots.items[i];
	return NULL;
}

static int open_snapshot(const struct tree *tree, const char *snapshot, struct err *err)
{
	const char *folder = find_snapshot(tree, snapshot);
	int fd;

	if (!folder)
		return err_set(err, -ENOENT, "snapshot '%s' of volume '%s' does not exist", shown(snapshot), tree->volume);
	fd = open_folder(tree->fd, folder);
	return fd < 0 ? err_set(err, -errno, "open snapshot '%s' of volume '%s': %m", snapshot, tree->volume) : fd;
}

static void name_snapshot(const struct tree *tree, const char *snapshot, char name[SNAPSHOT_NAME_SIZE])
{
	size_t count = tree->snapshots.count;
	unsigned long last = count ? strtoul(tree->snapshots.items[count - 1] + strlen(SNAPSHOT_PREFIX), NULL, 10) : 0;

	snprintf(name, SNAPSHOT_NAME_SIZE, SNAPSHOT_PREFIX "%010lu.%s", last + 1, snapshot);
}

int tree_create(struct place *place, const char *volume, uint64_t size_bytes, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	int r;

	if (size_bytes && (r = volume_check_size(size_bytes, err)) < 0)
		return r;
	if ((r = building_begin_folder(place, volume, &building, err)) < 0 ||
	    (r = place->ways->make(place, building.fd, ROOT, size_bytes, err)) < 0)
		return r;
	return building_finish_folder(&building, volume, err);
}

static int limit_of(const struct place *place, const struct tree *tree, uint64_t *ret_limit, struct err *err)
{
	uint64_t used;

	return place->ways->usage(place, tree->root_fd, ret_limit, &used, err);
}

int tree_clone(struct place *place, const char *volume, const char *from, const char *snapshot,
	       const struct volume_progress *progress, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	auto_tree struct tree tree = TREE_CLOSED;
	auto_close int snapshot_fd = -1;
	uint64_t limit = 0;
	int r;

	if ((r = tree_open(place, from, &tree, err)) < 0 || (snapshot && (r = snapshot_fd = open_snapshot(&tree, snapshot, err)) < 0) ||
	    (r = limit_of(place, &tree, &limit, err)) < 0 || (r = building_begin_folder(place, volume, &building, err)) < 0)
		return r;
	r = place->ways->copy(place, snapshot ? snapshot_fd : tree.root_fd, building.fd, ROOT, false, limit, progress, err);
	return r < 0 ? r : building_finish_folder(&building, volume, err);
}

int tree_remove(struct place *place, const char *volume, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	int r = building_from_tree(place, volume, &building, err);

	if (r < 0 || building.fd < 0)
		return r;
	return place_remove_folder(place, building.name, err);
}

int tree_resize(struct place *place, const char *volume, uint64_t size_bytes, struct err *err)
{
	auto_tree struct tree tree = TREE_CLOSED;
	uint64_t limit = 0;
	int r;

	if ((r = tree_open(place, volume, &tree, err)) < 0 || (r = limit_of(place, &tree, &limit, err)) < 0)
		return r;
	if (size_bytes < limit)
		return err_set(err, -EINVAL, "volume '%s' has %" PRIu64 " bytes and cannot shrink to %" PRIu64 ": give a larger size", volume,
			       limit, size_bytes);
	return size_bytes == limit ? 0 : place->ways->limit(place, tree.root_fd, size_bytes, err);
}

static int sync_folder(const struct tree *tree, struct err *err)
{
	if (fsync(tree->fd) < 0)
		return err_set(err, -errno, "write volume '%s' to disk: %m", tree->volume);
	return 0;
}

static int move_snapshot(const struct tree *tree, const struct building *building, const char *name, struct err *err)
{
	if (renameat(building->fd, name, tree->fd, name) < 0)
		return err_set(err, -errno, "keep '%s' of volume '%s': %m%s", name, tree->volume, place_remedy(errno));
	return sync_folder(tree, err);
}

/* A snapshot appears in the volume: 'from_fd' is copied there, by way of the folder being built where that takes its time. */
static int put_snapshot(const struct tree *tree, struct place *place, int from_fd, const char *name, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	int r;

	if (place->ways->has_atomic_copies)
		return place->ways->copy(place, from_fd, tree->fd, name, true, 0, NULL, err);
	if ((r = building_begin_folder(place, tree->volume, &building, err)) < 0 ||
	    (r = place->ways->copy(place, from_fd, building.fd, name, true, 0, NULL, err)) < 0)
		return r;
	return move_snapshot(tree, &building, name, err);
}

int tree_snapshot_create(struct place *place, const char *volume, const char *snapshot, struct err *err)
{
	auto_tree struct tree tree = TREE_CLOSED;
	char name[SNAPSHOT_NAME_SIZE];
	int r;

	if ((r = tree_open(place, volume, &tree, err)) < 0)
		return r;
	if (find_snapshot(&tree, snapshot))
		return err_set(err, -EEXIST, "snapshot '%s' of volume '%s' exists already: choose another name", snapshot, volume);
	name_snapshot(&tree, snapshot, name);
	return put_snapshot(&tree, place, tree.root_fd, name, err);
}

/* 'name' in the folder being built becomes the volume's content; what was that goes when the building is dropped. */
static int swap_root(const struct tree *tree, const struct building *building, const char *name, struct err *err)
{
	if (renameat2(building->fd, name, tree->fd, ROOT, RENAME_EXCHANGE) < 0)
		return err_set(err, -errno, "exchange the content of volume '%s': %m%s", tree->volume, place_remedy(errno));
	return sync_folder(tree, err);
}

int tree_snapshot_restore(struct place *place, const char *volume, const char *snapshot, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	auto_tree struct tree tree = TREE_CLOSED;
	auto_close int snapshot_fd = -1;
	uint64_t limit = 0;
	int r;

	if ((r = tree_open(place, volume, &tree, err)) < 0 || (r = snapshot_fd = open_snapshot(&tree, snapshot, err)) < 0 ||
	    (r = limit_of(place, &tree, &limit, err)) < 0 || (r = building_begin_folder(place, volume, &building, err)) < 0 ||
	    (r = place->ways->copy(place, snapshot_fd, building.fd, ROOT, false, limit, NULL, err)) < 0)
		return r;
	return swap_root(&tree, &building, ROOT, err);
}

int tree_snapshot_remove(struct place *place, const char *volume, const char *snapshot, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	auto_tree struct tree tree = TREE_CLOSED;
	const char *folder;
	int r;

	if ((r = tree_open(place, volume, &tree, err)) < 0)
		return r;
	folder = find_snapshot(&tree, snapshot);
	if (!folder)
		return 0;
	if (place->ways->has_atomic_copies)
		return place->ways->drop(place, tree.fd, folder, err);
	if ((r = building_begin_folder(place, volume, &building, err)) < 0)
		return r;
	if (renameat(tree.fd, folder, building.fd, folder) < 0)
		return err_set(err, -errno, "remove snapshot '%s' of volume '%s': %m%s", snapshot, volume, place_remedy(errno));
	return sync_folder(&tree, err);
}

int tree_info(struct place *place, const char *volume, struct volume_info *ret_info, struct err *err)
{
	auto_tree struct tree tree = TREE_CLOSED;
	struct volume_info info = { .content = VOLUME_TREE };
	int r;

	if ((r = tree_open(place, volume, &tree, err)) < 0 ||
	    (r = place->ways->usage(place, tree.root_fd, &info.size_bytes, &info.allocated_bytes, err)) < 0)
		return r;
	info.tree = text_format("%s/%s.tree/" ROOT, place->directory, volume);
	for (size_t i = 0; i < tree.snapshots.count; i++)
		*vec_push(&info.snapshots) = text_copy(snapshot_of(tree.snapshots.items[i]));
	*ret_info = info;
	return 0;
}

/* Streams */

int tree_send(struct place *place, const char *volume, const char *snapshot, const char *base, int to_fd,
	      const struct volume_progress *progress, struct err *err)
{
	auto_tree struct tree tree = TREE_CLOSED;
	auto_close int snapshot_fd = -1, base_fd = -1;
	auto_frames_writer struct frames_writer writer = { 0 };
	struct frames_header header = { 0 };
	int r;

	if ((r = tree_open(place, volume, &tree, err)) < 0 || (r = snapshot_fd = open_snapshot(&tree, snapshot, err)) < 0 ||
	    (base && (r = base_fd = open_snapshot(&tree, base, err)) < 0) || (r = limit_of(place, &tree, &header.size_bytes, err)) < 0)
		return r;
	strcpy(header.kind, place->ways->kind);
	strcpy(header.snapshot, snapshot);
	strcpy(header.base, base ? base : "");
	if ((r = frames_begin(&writer, to_fd, &header, progress, err)) < 0 ||
	    (r = place->ways->send(place, snapshot_fd, base_fd, &writer, err)) < 0)
		return r;
	return frames_end(&writer, err);
}

/* What is received becomes the snapshot 'name' in the folder being built, and 'root' a copy of it. */
static int receive_pair(const struct place *place, const struct building *building, int base_fd, uint64_t limit, const char *name,
			struct frames_reader *reader, struct err *err)
{
	auto_close int received_fd = -1;
	int r = place->ways->receive(place, base_fd, reader, building->fd, name, err);

	if (r < 0)
		return r;
	received_fd = open_folder(building->fd, name);
	if (received_fd < 0)
		return err_set(err, -errno, "open what was received: %m");
	return place->ways->copy(place, received_fd, building->fd, ROOT, false, limit, reader->progress, err);
}

static int receive_whole(struct place *place, const char *volume, const struct frames_header *header, struct frames_reader *reader,
			 struct err *err)
{
	const struct tree none = TREE_CLOSED;
	auto_building struct building building = { .fd = -1 };
	char name[SNAPSHOT_NAME_SIZE];
	int r;

	name_snapshot(&none, header->snapshot, name);
	if ((r = building_begin_folder(place, volume, &building, err)) < 0 ||
	    (r = receive_pair(place, &building, -1, header->size_bytes, name, reader, err)) < 0)
		return r;
	return building_finish_folder(&building, volume, err);
}

/* The snapshot first, then the content: after a crash between the two, receiving again finds the snapshot and restores it. */
static int receive_changes(struct place *place, const char *volume, const struct frames_header *header, struct frames_reader *reader,
			   struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	auto_tree struct tree tree = TREE_CLOSED;
	auto_close int base_fd = -1, received_fd = -1;
	char name[SNAPSHOT_NAME_SIZE];
	int r;

	if ((r = tree_open(place, volume, &tree, err)) < 0 || (r = base_fd = open_snapshot(&tree, header->base, err)) < 0)
		return r;
	name_snapshot(&tree, header->snapshot, name);
	if ((r = building_begin_folder(place, volume, &building, err)) < 0 ||
	    (r = receive_pair(place, &building, base_fd, header->size_bytes, name, reader, err)) < 0)
		return r;
	received_fd = open_folder(building.fd, name);
	if (received_fd < 0)
		return err_set(err, -errno, "open what was received: %m");
	r = place->ways->has_atomic_copies ? put_snapshot(&tree, place, received_fd, name, err) : move_snapshot(&tree, &building, name, err);
	return r < 0 ? r : swap_root(&tree, &building, ROOT, err);
}

int tree_receive(struct place *place, const char *volume, const struct frames_header *header, struct frames_reader *reader,
		 struct err *err)
{
	return header->base[0] ? receive_changes(place, volume, header, reader, err) :
				 receive_whole(place, volume, header, reader, err);
}

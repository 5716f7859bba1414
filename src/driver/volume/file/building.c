/* Volumes while they are built, beside those that are there; what place.h says of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/place.h"

static int name_building(const char *volume, struct building *building, struct err *err)
{
	char suffix[16];
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_set(err, -errno, "getrandom: %m");
	snprintf(suffix, sizeof(suffix), PLACE_SUFFIX_BUILDING "%08x", random);
	place_file_name(volume, suffix, building->name);
	return 0;
}

static int open_building(struct place *place, const char *name, bool is_folder)
{
	if (!is_folder)
		return openat(place->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (mkdirat(place->fd, name, 0700) < 0)
		return -1;
	return openat(place->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A new file or folder of that volume's, locked before place_list() can see it unlocked. */
static int create_locked(struct place *place, const char *volume, struct building *building, struct err *err)
{
	int r = name_building(volume, building, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&place->lock);
	building->fd = open_building(place, building->name, building->is_folder);
	if (building->fd < 0 || flock(building->fd, LOCK_EX | LOCK_NB) < 0)
		r = err_set(err, -errno, "create '%s/%s': %m%s", shown(place->directory), building->name, place_remedy(errno));
	pthread_mutex_unlock(&place->lock);
	return r;
}

int building_begin(struct place *place, const char *volume, struct building *building, struct err *err)
{
	int r;

	*building = (struct building){ .place = place, .fd = -1 };
	r = create_locked(place, volume, building, err);
	if (r == 0 && geteuid() == 0 && place->user && fchown(building->fd, place->user, place->group) < 0)
		r = err_set(err, -errno, "give '%s/%s' to user %u: %m", shown(place->directory), building->name, place->user);
	if (r < 0)
		building_drop(building);
	return r;
}

static int link_parent(const struct place *place, const char *volume, const char *parent, struct err *err)
{
	char link[PLACE_FILE_NAME_SIZE], target[PLACE_FILE_NAME_SIZE];

	char present[PLACE_FILE_NAME_SIZE] = "";

	place_file_name(volume, PLACE_SUFFIX_PARENT, link);
	if (parent[0])
		place_file_name(parent, PLACE_SUFFIX_VOLUME, target);
	/* A volume that is replaced keeps its parent: it must not be without its link for a moment. */
	if (readlinkat(place->fd, link, present, sizeof(present) - 1) > 0 && parent[0] && text_equal(present, target))
		return 0;
	if (unlinkat(place->fd, link, 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove '%s/%s': %m", shown(place->directory), link);
	if (parent[0] && symlinkat(target, place->fd, link) < 0)
		return err_set(err, -errno, "link '%s/%s': %m", shown(place->directory), link);
	return 0;
}

static int appear(struct building *building, const char *volume, const char *parent, struct err *err)
{
	const struct place *place = building->place;
	char name[PLACE_FILE_NAME_SIZE];
	int r = link_parent(place, volume, parent, err);

	if (r < 0)
		return r;
	if (renameat(place->fd, building->name, place->fd, place_file_name(volume, PLACE_SUFFIX_VOLUME, name)) < 0)
		return err_set(err, -errno, "rename '%s/%s': %m", shown(place->directory), building->name);
	close(take_fd(building->fd));
	return 0;
}

int building_finish(struct building *building, const char *volume, const char *parent, struct err *err)
{
	struct place *place = building->place;
	int r;

	if (fsync(building->fd) < 0)
		return err_set(err, -errno, "write '%s/%s' to disk: %m", shown(place->directory), building->name);
	pthread_mutex_lock(&place->lock);
	r = appear(building, volume, parent, err);
	pthread_mutex_unlock(&place->lock);
	if (r == 0 && fsync(place->fd) < 0)
		return err_set(err, -errno, "write '%s' to disk: %m", shown(place->directory));
	return r;
}

int building_begin_folder(struct place *place, const char *volume, struct building *building, struct err *err)
{
	*building = (struct building){ .place = place, .fd = -1, .is_folder = true };
	return create_locked(place, volume, building, err);
}

int building_finish_folder(struct building *building, const char *volume, struct err *err)
{
	struct place *place = building->place;
	char name[PLACE_FILE_NAME_SIZE];
	int r = 0;

	if (fsync(building->fd) < 0)
		return err_set(err, -errno, "write '%s/%s' to disk: %m", shown(place->directory), building->name);
	pthread_mutex_lock(&place->lock);
	if (renameat2(place->fd, building->name, place->fd, place_file_name(volume, PLACE_SUFFIX_TREE, name), RENAME_NOREPLACE) < 0)
		r = err_set(err, -errno, "rename '%s/%s': %m", shown(place->directory), building->name);
	pthread_mutex_unlock(&place->lock);
	if (r < 0)
		return r;
	close(take_fd(building->fd));
	if (fsync(place->fd) < 0)
		return err_set(err, -errno, "write '%s' to disk: %m", shown(place->directory));
	return 0;
}

int building_from_tree(struct place *place, const char *volume, struct building *building, struct err *err)
{
	char name[PLACE_FILE_NAME_SIZE];
	int r;

	*building = (struct building){ .place = place, .fd = -1, .is_folder = true };
	if ((r = name_building(volume, building, err)) < 0)
		return r;
	pthread_mutex_lock(&place->lock);
	building->fd = openat(place->fd, place_file_name(volume, PLACE_SUFFIX_TREE, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (building->fd < 0 && errno != ENOENT)
		r = err_set(err, -errno, "open '%s/%s': %m", shown(place->directory), name);
	if (building->fd >= 0 && (flock(building->fd, LOCK_EX | LOCK_NB) < 0 ||
				  renameat(place->fd, name, place->fd, building->name) < 0)) {
		r = err_set(err, -errno, "rename '%s/%s': %m%s", shown(place->directory), name, place_remedy(errno));
		close(take_fd(building->fd));
	}
	pthread_mutex_unlock(&place->lock);
	return r;
}

void building_drop(struct building *building)
{
	struct err ignored;		/* place_list() tries again. */

	if (building->fd < 0)
		return;
	if (building->is_folder)
		place_remove_folder(building->place, building->name, &ignored);
	else
		unlinkat(building->place->fd, building->name, 0);
	close(take_fd(building->fd));
}

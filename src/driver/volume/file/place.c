#include "driver/volume/file/place.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

const char *place_file_name(const char *volume, const char *suffix, char buffer[PLACE_FILE_NAME_SIZE])
{
	int length = snprintf(buffer, PLACE_FILE_NAME_SIZE, "%s%s", volume, suffix);

	assert(length > 0 && length < PLACE_FILE_NAME_SIZE);	/* Names were checked at the door. */
	return buffer;
}

int place_open(const struct volume_params *params, const struct tree_ways *ways, struct place *place, struct err *err)
{
	int r;

	if (!params->directory || params->directory[0] != '/')
		return err_set(err, -EINVAL, "volume folder '%s' is not absolute", shown(params->directory ? params->directory : ""));
	r = file_make_dirs(params->directory, 0711, err);
	if (r < 0)
		return r;
	place->fd = open(params->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(params->directory));
	place->ways = ways;
	place->directory = text_copy(params->directory);
	place->user = params->user;
	place->group = params->group;
	pthread_mutex_init(&place->lock, NULL);
	return 0;
}

void place_close(struct place *place)
{
	pthread_mutex_destroy(&place->lock);
	close(place->fd);
	free(place->directory);
}

static bool has_file(const struct place *place, const char *volume, const char *suffix)
{
	char name[PLACE_FILE_NAME_SIZE];

	return faccessat(place->fd, place_file_name(volume, suffix, name), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool place_has_block(const struct place *place, const char *volume)
{
	return has_file(place, volume, PLACE_SUFFIX_VOLUME);
}

bool place_has_tree(const struct place *place, const char *volume)
{
	return has_file(place, volume, PLACE_SUFFIX_TREE);
}

bool place_has(const struct place *place, const char *volume)
{
	return place_has_block(place, volume) || place_has_tree(place, volume);
}

const char *place_remedy(int error)
{
	switch (error < 0 ? -error : error) {
	case ENOSPC: return ": free some or remove volumes or snapshots";
	case EDQUOT: return ": give the volume a larger size or remove files in it";
	case EROFS: return ": mount it writable, after a look at the kernel's log for why it is not";
	default: return "";
	}
}

int place_add_remedy(int r, struct err *err)
{
	size_t length = strlen(err->msg);

	if (r < 0)
		snprintf(err->msg + length, sizeof(err->msg) - length, "%s", place_remedy(r));
	return r;
}

/* Cuts a file name down to its volume's; false when it has another suffix. */
static bool cut_suffix(char *name, const char *suffix)
{
	size_t length = strlen(name), cut = strlen(suffix);

	if (length <= cut || strcmp(name + length - cut, suffix) != 0)
		return false;
	name[length - cut] = '\0';
	return true;
}

/* What is in a folder; its fd stays the caller's. */
int place_names(int dir_fd, struct volume_names *ret_names, struct err *err)
{
	struct dirent *entry;
	DIR *dir;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !(dir = fdopendir(fd))) {
		err_set(err, -errno, "read folder: %m");
		if (fd >= 0)
			close(fd);
		return err->code;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			*vec_push(&ret_names->items) = text_copy(entry->d_name);
	closedir(dir);
	return 0;
}

int place_parent(const struct place *place, const char *volume, char ret_parent[VOLUME_NAME_LENGTH + 1], struct err *err)
{
	char link[PLACE_FILE_NAME_SIZE], target[PLACE_FILE_NAME_SIZE] = { 0 };
	ssize_t length = readlinkat(place->fd, place_file_name(volume, PLACE_SUFFIX_PARENT, link), target, sizeof(target) - 1);

	if (length < 0 && errno != ENOENT)
		return err_set(err, -errno, "read link '%s/%s': %m", shown(place->directory), link);
	if (length < 0) {
		ret_parent[0] = '\0';
		return 0;
	}
	if (!cut_suffix(target, PLACE_SUFFIX_VOLUME) || volume_check_name("volume", target, err) < 0)
		return err_set(err, -EINVAL, "link '%s/%s' points at '%s', which is no volume", shown(place->directory), link, shown(target));
	strcpy(ret_parent, target);
	return 0;
}

int place_remove(const struct place *place, const char *volume, struct err *err)
{
	static const char *const suffixes[] = { PLACE_SUFFIX_VOLUME, PLACE_SUFFIX_PARENT };
	char name[PLACE_FILE_NAME_SIZE];

	/* The volume first: a link alone is a leftover, a child without its link would be broken. */
	for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++)
		if (unlinkat(place->fd, place_file_name(volume, suffixes[i], name), 0) < 0 && errno != ENOENT)
			return err_set(err, -errno, "remove '%s/%s': %m", shown(place->directory), name);
	return 0;
}

int place_remove_folder(const struct place *place, const char *name, struct err *err)
{
	auto_close int fd = openat(place->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_names struct volume_names names = { 0 };
	int r = fd < 0 ? (errno == ENOENT ? 0 : -errno) : place_names(fd, &names, err);

	if (fd < 0)
		return r < 0 ? err_set(err, r, "open '%s/%s': %m", shown(place->directory), name) : 0;
	for (size_t i = 0; i < names.items.count && r == 0; i++)
		r = place->ways->drop(place, fd, names.items.items[i], err);
	if (r == 0 && unlinkat(place->fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = err_set(err, -errno, "remove '%s/%s': %m", shown(place->directory), name);
	return r;
}

struct listing {
	struct volume_names *names;
	VEC(int) abandoned_fds;		/* Locked, so that nobody else removes them too. */
	struct volume_names abandoned;
};

/* The builder holds the lock, so a file or folder that can be locked has lost its builder. */
static void take_abandoned(const struct place *place, const char *name, struct listing *listing)
{
	auto_close int fd = openat(place->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ELOOP)
		unlinkat(place->fd, name, 0);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	*vec_push(&listing->abandoned_fds) = take_fd(fd);
	*vec_push(&listing->abandoned.items) = text_copy(name);
}

static void remove_abandoned(const struct place *place, struct listing *listing)
{
	struct err ignored;		/* The next list tries again. */

	for (size_t i = 0; i < listing->abandoned.items.count; i++) {
		const char *name = listing->abandoned.items.items[i];

		if (unlinkat(place->fd, name, 0) < 0 && errno == EISDIR)
			place_remove_folder(place, name, &ignored);
		close(listing->abandoned_fds.items[i]);
	}
	vec_done(&listing->abandoned_fds);
	volume_names_done(&listing->abandoned);
}

static void look_at(const struct place *place, const char *file, struct listing *listing)
{
	auto_free char *name = text_copy(file);
	struct err err;

	if (strstr(name, PLACE_SUFFIX_BUILDING))
		take_abandoned(place, name, listing);
	else if (cut_suffix(name, PLACE_SUFFIX_PARENT) && !place_has_block(place, name))
		unlinkat(place->fd, file, 0);
	else if ((cut_suffix(name, PLACE_SUFFIX_VOLUME) || cut_suffix(name, PLACE_SUFFIX_TREE)) && volume_check_name("volume", name, &err) == 0)
		*vec_push(&listing->names->items) = take(name);
}

int place_list(struct place *place, struct volume_names *ret_names, struct err *err)
{
	auto_names struct volume_names files = { 0 };
	struct volume_names names = { 0 };
	struct listing listing = { .names = &names };
	int r;

	pthread_mutex_lock(&place->lock);
	r = place_names(place->fd, &files, err);
	for (size_t i = 0; i < files.items.count; i++)
		look_at(place, files.items.items[i], &listing);
	pthread_mutex_unlock(&place->lock);
	remove_abandoned(place, &listing);
	if (r == 0)
		*ret_names = names;
	return r < 0 ? err_prefix(err, "'%s'", shown(place->directory)) : 0;
}

static int open_layer(const struct place *place, const char *volume, int flags, struct err *err)
{
	char name[PLACE_FILE_NAME_SIZE];
	struct stat st;
	auto_close int fd = openat(place->fd, place_file_name(volume, PLACE_SUFFIX_VOLUME, name), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT, "volume '%s' does not exist", volume);
	if (fd < 0)
		return err_set(err, -errno, "open '%s/%s': %m", shown(place->directory), name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "'%s/%s' is not a regular file", shown(place->directory), name);
	return take_fd(fd);
}

/* The header is the machine's to write, the link is ours: they differ only when somebody meddled. */
static int check_parent(const char *volume, const struct qcow2_header *header, const char *parent, struct err *err)
{
	char name[PLACE_FILE_NAME_SIZE] = "";

	if (parent[0])
		place_file_name(parent, PLACE_SUFFIX_VOLUME, name);
	if (!text_equal(header->backing, name))
		return err_set(err, -EINVAL, "volume '%s' names '%s' as its parent instead of '%s': restore it from a backup", volume,
			       shown(header->backing), name);
	return 0;
}

/* Opens 'name' as the next layer and writes its parent's name there. */
static int push_layer(const struct place *place, char name[VOLUME_NAME_LENGTH + 1], int flags, struct chain *chain, struct err *err)
{
	struct qcow2_header header;
	auto_close int fd = -1;
	char *layer;
	int r;

	if (chain->count == VOLUME_LAYERS_MAX)
		return err_set(err, -EINVAL, "volume '%s' has more than %d parents: clone it to have fewer", chain->names[0],
			       VOLUME_LAYERS_MAX);
	fd = r = open_layer(place, name, flags, err);
	if (r < 0 || (r = qcow2_read_header(fd, &header, err)) < 0)
		return r;
	layer = strcpy(chain->names[chain->count], name);
	if ((r = place_parent(place, layer, name, err)) < 0 || (r = check_parent(layer, &header, name, err)) < 0)
		return r;
	if (chain->count == 0)
		chain->header = header;
	chain->formats[chain->count] = VOLUME_QCOW2;
	chain->fds[chain->count++] = take_fd(fd);
	return 0;
}

int chain_open(const struct place *place, const char *volume, int flags, struct chain *chain, struct err *err)
{
	char name[VOLUME_NAME_LENGTH + 1];
	int r = 0;

	chain->count = 0;
	strcpy(name, volume);
	while (r == 0 && name[0])
		r = push_layer(place, name, chain->count ? O_RDONLY : flags, chain, err);
	if (r < 0)
		chain_close(chain);
	return r < 0 ? r : 0;
}

void chain_close(struct chain *chain)
{
	while (chain->count)
		close(chain->fds[--chain->count]);
}

#include "driver/volume/btrfs/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "driver/volume/file/crc32c.h"
#include "driver/volume/file/frames.h"

enum {
	MAGIC_BYTES = 13, START_BYTES = MAGIC_BYTES + 4, VERSION = 1,
	COMMAND_HEAD_BYTES = 10, COMMAND_MAX = 256 << 10, ATTRIBUTE_HEAD_BYTES = 4,
};

static const char magic[MAGIC_BYTES] = "btrfs-stream";

enum command { SUBVOL = 1, SNAPSHOT = 2, CLONE = 16, END = 21, UPDATE_EXTENT = 22 };
enum attribute { UUID = 1, PATH = 15, CLONE_UUID = 20, CLONE_PATH = 22 };

/* The attributes of one command that matter here; they lie in it. */
struct found { unsigned char *uuid, *clone_uuid; const char *path, *clone_path; size_t path_size, clone_path_size; };

static int refuse(const char *why, struct err *err)
{
	return err_set(err, -EINVAL, "the stream of btrfs %s: send or copy it again", why);
}

int filter_init(struct filter *filter, int base_fd, const unsigned char alias[SUBVOLUME_UUID_SIZE], struct err *err)
{
	*filter = (struct filter){ .base_fd = base_fd };
	memcpy(filter->alias, alias, sizeof(filter->alias));
	return base_fd < 0 ? 0 : subvolume_get_info(base_fd, &filter->base, err);
}

void filter_done(struct filter *filter)
{
	str_done(&filter->pending);
}

static unsigned get16(const unsigned char *bytes)
{
	return (unsigned)bytes[0] | (unsigned)bytes[1] << 8;
}

static bool take_attribute(struct found *found, unsigned type, unsigned char *value, size_t size)
{
	if ((type == UUID || type == CLONE_UUID) && size != SUBVOLUME_UUID_SIZE)
		return false;
	switch (type) {
	case UUID: found->uuid = value; break;
	case CLONE_UUID: found->clone_uuid = value; break;
	case PATH: found->path = (char *)value, found->path_size = size; break;
	case CLONE_PATH: found->clone_path = (char *)value, found->clone_path_size = size; break;
	default: break;
	}
	return true;
}

static bool find_attributes(unsigned char *at, size_t size, struct found *found)
{
	while (size) {
		size_t length = size >= ATTRIBUTE_HEAD_BYTES ? get16(at + 2) : size;

		if (length + ATTRIBUTE_HEAD_BYTES > size || !take_attribute(found, get16(at), at + ATTRIBUTE_HEAD_BYTES, length))
			return false;
		at += ATTRIBUTE_HEAD_BYTES + length;
		size -= ATTRIBUTE_HEAD_BYTES + length;
	}
	return true;
}

static bool is_uuid(const unsigned char *a, const unsigned char *b)
{
	return memcmp(a, b, SUBVOLUME_UUID_SIZE) == 0;
}

static int take_subvolume(struct filter *filter, enum command command, struct found *found, struct err *err)
{
	if (filter->has_subvolume || !found->uuid || !found->path || (command == SNAPSHOT && !found->clone_uuid))
		return refuse("is damaged", err);
	if ((command == SNAPSHOT) != (filter->base_fd >= 0))
		return refuse("is whole where changes were announced, or the other way round", err);
	if (found->path_size == 0 || found->path_size >= FILTER_NAME_SIZE || found->path[0] == '.' ||
	    memchr(found->path, '/', found->path_size) || memchr(found->path, '\0', found->path_size))
		return refuse("has a subvolume with no plain name", err);
	memcpy(filter->name, found->path, found->path_size);
	memcpy(filter->uuid, found->uuid, sizeof(filter->uuid));
	filter->has_subvolume = true;
	if (command != SNAPSHOT)
		return 0;
	if (!is_uuid(found->clone_uuid, filter->base.uuid) && !is_uuid(found->clone_uuid, filter->base.received))
		return err_set(err, -EINVAL, "the stream's changes are to another snapshot than the one of that name here: send a whole stream");
	memcpy(filter->parent, found->clone_uuid, sizeof(filter->parent));
	memcpy(found->clone_uuid, filter->alias, sizeof(filter->alias));
	return 0;
}

/* Blocks to share: of the new subvolume itself, which is in the chroot, or of a plain file of the base. */
static int take_clone(struct filter *filter, struct found *found, struct err *err)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct err ignored;
	struct stat st;

	if (!found->clone_uuid || !found->clone_path)
		return refuse("is damaged", err);
	if (is_uuid(found->clone_uuid, filter->uuid))
		return 0;
	if (filter->base_fd < 0 || !is_uuid(found->clone_uuid, filter->parent))
		return refuse("shares blocks with something it must not know", err);
	path = text_copy_length(found->clone_path, found->clone_path_size);
	if (strlen(path) == found->clone_path_size)
		fd = file_open_beneath(filter->base_fd, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0, &ignored);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse("shares blocks with something that is no file of its base", err);
	memcpy(found->clone_uuid, filter->alias, sizeof(filter->alias));
	return 0;
}

static int take_command(struct filter *filter, unsigned char *bytes, size_t size, struct err *err)
{
	uint32_t sum = frames_unpack32(bytes + 6);
	enum command command = get16(bytes + 4);
	struct found found = { 0 };
	int r = 0;

	frames_pack32(bytes + 6, 0);
	if (crc32c_raw(0, bytes, size) != sum || filter->has_ended ||
	    !find_attributes(bytes + COMMAND_HEAD_BYTES, size - COMMAND_HEAD_BYTES, &found))
		return refuse("is damaged", err);
	if (command < SUBVOL || command > UPDATE_EXTENT || filter->has_subvolume == (command == SUBVOL || command == SNAPSHOT))
		return refuse("holds more than one subvolume, or what is not known here", err);
	if (command == SUBVOL || command == SNAPSHOT)
		r = take_subvolume(filter, command, &found, err);
	else if (command == CLONE)
		r = take_clone(filter, &found, err);
	filter->has_ended = command == END;
	frames_pack32(bytes + 6, crc32c_raw(0, bytes, size));
	return r;
}

/* Whole commands from the front; returns how much that was, or -errno. */
static ssize_t take_commands(struct filter *filter, unsigned char *bytes, size_t size, struct err *err)
{
	size_t at = 0;

	if (!filter->has_begun) {
		if (size < START_BYTES)
			return 0;
		if (memcmp(bytes, magic, MAGIC_BYTES) != 0 || frames_unpack32(bytes + MAGIC_BYTES) != VERSION)
			return refuse("is of another version", err);
		filter->has_begun = true;
		at = START_BYTES;
	}
	while (size - at >= COMMAND_HEAD_BYTES) {
		size_t length = frames_unpack32(bytes + at);
		int r;

		if (length > COMMAND_MAX)
			return refuse("is damaged", err);
		length += COMMAND_HEAD_BYTES;
		if (size - at < length)
			break;
		if ((r = take_command(filter, bytes + at, length, err)) < 0)
			return r;
		at += length;
	}
	return (ssize_t)at;
}

int filter_feed(struct filter *filter, const void *bytes, size_t size, struct str *out, struct err *err)
{
	ssize_t taken;

	str_append_bytes(&filter->pending, bytes, size);
	taken = take_commands(filter, (unsigned char *)filter->pending.data, filter->pending.size, err);
	if (taken <= 0)
		return (int)taken;
	str_append_bytes(out, filter->pending.data, (size_t)taken);
	str_remove_front(&filter->pending, (size_t)taken);
	return 0;
}

int filter_end(const struct filter *filter, struct err *err)
{
	return filter->has_ended && filter->pending.size == 0 ? 0 : refuse("is cut off", err);
}

#include "port/volume.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { SECTOR_BYTES = 512 };

void volume_info_done(struct volume_info *info)
{
	for (size_t i = 0; i < info->layers.count; i++)
		free(info->layers.items[i].path);
	for (size_t i = 0; i < info->snapshots.count; i++)
		free(info->snapshots.items[i]);
	vec_done(&info->layers);
	vec_done(&info->snapshots);
	free(info->tree);
	info->tree = NULL;
}

void volume_names_done(struct volume_names *names)
{
	for (size_t i = 0; i < names->items.count; i++)
		free(names->items.items[i]);
	vec_done(&names->items);
}

int volume_check_name(const char *what, const char *name, struct err *err)
{
	size_t length = strlen(name);

	if (length == 0 || length > VOLUME_NAME_LENGTH)
		return err_set(err, -EINVAL, "%s name '%s' has %zu characters: use 1 to %d", what, shown(name), length,
			       VOLUME_NAME_LENGTH);
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)name[i]) && (i == 0 || !strchr("-_", name[i])))
			return err_set(err, -EINVAL, "%s name '%s': use letters, digits, '-' and '_'", what, shown(name));
	return 0;
}

int volume_check_size(uint64_t size_bytes, struct err *err)
{
	if (size_bytes < SECTOR_BYTES || size_bytes > VOLUME_SIZE_MAX)
		return err_set(err, -EINVAL, "volume size %" PRIu64 " is out of range: use 512 bytes to 64 TiB", size_bytes);
	return 0;
}

void volume_report(const struct volume_progress *progress, uint64_t done, uint64_t total)
{
	if (progress && progress->report)
		progress->report(progress->data, done, total);
}

bool volume_is_cancelled(const struct volume_progress *progress)
{
	return progress && progress->is_cancelled && __atomic_load_n(progress->is_cancelled, __ATOMIC_RELAXED);
}

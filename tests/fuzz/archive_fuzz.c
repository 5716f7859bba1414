/*
 * Whatever the bytes: reading an exported instance ends, writes only the known names into the folder it
 * was given, and leaves nothing there when it fails.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/archive.h"
#include "2-virtualization/images/archive_names.h"
#include "base/file.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Removes what is there and says how much it was. */
static unsigned empty(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	unsigned count = 0;

	assert(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		assert(archive_is_part_name(entry->d_name));
		assert(unlinkat(dirfd(dir), entry->d_name, 0) == 0);
		count++;
	}
	closedir(dir);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char directory[] = "/dev/shm/strata-archive-fuzz-XXXXXX";
	auto_close int fd = memfd_create("archive", MFD_CLOEXEC);
	auto_str struct str manifest = { 0 };
	struct err err;
	unsigned left;
	int r;

	if (fd < 0 || !mkdtemp(directory))
		return 0;
	if (file_write_at(fd, data, size, 0, &err) == 0) {
		r = archive_read_instance(fd, directory, 1 << 20, &manifest, NULL, &err);
		left = empty(directory);
		assert(r == 0 || left == 0);
	}
	rmdir(directory);
	return 0;
}

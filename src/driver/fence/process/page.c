#include "driver/fence/process/page.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int fence_boot_id(char ret_id[48])
{
	auto_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_id, 47);

	if (n <= 0)
		return -EIO;
	memset(ret_id + n, 0, 48 - (size_t)n);
	return 0;
}

int fence_page_map(int fd, struct fence_page **ret_page)
{
	char boot_id[48];
	struct fence_page *page;
	struct stat st;

	if (fstat(fd, &st) < 0 || fence_boot_id(boot_id) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size != sizeof(*page))
		return -EINVAL;
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	if (memcmp(page->magic, FENCE_MAGIC, sizeof(page->magic)) != 0 || memcmp(page->boot_id, boot_id, sizeof(boot_id)) != 0) {
		fence_page_unmap(page);
		return -EINVAL;
	}
	*ret_page = page;
	return 0;
}

void fence_page_unmap(struct fence_page *page)
{
	if (page)
		munmap(page, sizeof(*page));
}

/* The magic comes last: a crash before leaves what is no page. */
int fence_page_format(int fd, struct err *err)
{
	struct fence_page head = { .sleeps_until_ns = UINT64_MAX };
	const size_t size = offsetof(struct fence_page, slots);
	int r;

	if (fence_boot_id(head.boot_id) < 0)
		return err_set(err, -EIO, "/proc/sys/kernel/random/boot_id cannot be read: mount /proc");
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, sizeof(head)) < 0)
		return err_set(err, -errno, "make the fence's page: %m");
	if ((r = -posix_fallocate(fd, 0, (off_t)size)) < 0)
		return err_set(err, r, "make the fence's page: %m");
	if (pwrite(fd, &head, size, 0) != (ssize_t)size ||
	    pwrite(fd, FENCE_MAGIC, sizeof(head.magic), 0) != (ssize_t)sizeof(head.magic))
		return err_set(err, -EIO, "make the fence's page: it cannot be written");
	return 0;
}

pid_t fence_page_holder(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

size_t fence_page_count(const struct fence_page *page)
{
	uint64_t count = FENCE_LOAD(page->slot_count);

	return count < FENCE_GUARDS_MAX ? (size_t)count : FENCE_GUARDS_MAX;
}

long fence_page_find(const struct fence_page *page, const char *uid)
{
	for (size_t i = 0; i < fence_page_count(page); i++)
		if (FENCE_LOAD(page->slots[i].state) == FENCE_SLOT_USED && strncmp(page->slots[i].uid, uid, FENCE_UID_LENGTH + 1) == 0)
			return (long)i;
	return -1;
}

static size_t free_slot(const struct fence_page *page)
{
	size_t count = fence_page_count(page);

	for (size_t i = 0; i < count; i++)
		if (FENCE_LOAD(page->slots[i].state) == FENCE_SLOT_FREE)
			return i;
	return count;
}

int fence_page_add(struct fence_page *page, int fd, const char *uid, const char *cgroup, struct err *err)
{
	size_t i = free_slot(page);
	struct fence_slot *slot = &page->slots[i];
	int r;

	if (i == FENCE_GUARDS_MAX)
		return err_set(err, -E2BIG, "instance '%s' cannot be guarded: %d are, which is the most; move some to other hosts", uid,
			       FENCE_GUARDS_MAX);
	r = -posix_fallocate(fd, (off_t)((char *)slot - (char *)page), sizeof(*slot));
	if (r < 0)
		return err_set(err, r, "instance '%s' cannot be guarded: %m", uid);
	slot->ended_at_ms = 0;
	strcpy(slot->uid, uid);
	strcpy(slot->cgroup, cgroup);
	FENCE_STORE(slot->state, FENCE_SLOT_USED);
	if (i == fence_page_count(page))
		FENCE_STORE(page->slot_count, i + 1);
	return 0;
}

#include "port/page.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

/* A writer needs microseconds: who meets an odd sequence so often meets one that is dead, or was stopped. */
enum { READ_TRIES = 100000, BUSY_TRIES = 100, CHECKED_FROM = offsetof(struct page, magic) };

static size_t size_of(size_t instance_count)
{
	return PAGE_HOST_SIZE + instance_count * sizeof(struct page_instance);
}

static uint64_t checksum(const void *bytes, size_t size)
{
	static const uint64_t seed[2] = { PAGE_MAGIC, PAGE_VERSION };

	return map_hash(seed, (const char *)bytes + CHECKED_FROM, size - CHECKED_FROM);
}

void page_seal(struct page *page)
{
	assert(page->instance_count <= PAGE_INSTANCES_MAX);
	page->sequence = 0;
	page->magic = PAGE_MAGIC;
	page->version = PAGE_VERSION;
	page->size = (uint32_t)size_of(page->instance_count);
	page->reserved = 0;
	page->checksum = checksum(page, page->size);
}

static int bad(struct err *err, const char *what, uint64_t value)
{
	return err_set(err, -EBADMSG, "telemetry page: %s %llu is impossible", what, (unsigned long long)value);
}

static int check_head(const struct page *head, size_t size, struct err *err)
{
	if (head->magic != PAGE_MAGIC)
		return bad(err, "magic", head->magic);
	if (head->version != PAGE_VERSION)
		return err_set(err, -EBADMSG, "telemetry page: version %u, this host reads %d: run the same strata on all hosts", head->version,
			       PAGE_VERSION);
	if (head->instance_count > PAGE_INSTANCES_MAX)
		return bad(err, "number of instances", head->instance_count);
	if (head->size != size_of(head->instance_count) || head->size > size)
		return bad(err, "size", head->size);
	return head->reserved ? bad(err, "reserved field", head->reserved) : 0;
}

int page_check_host(const struct page_host *host, struct err *err)
{
	if (host->known & ~(uint32_t)PAGE_KNOWS_ALL)
		return bad(err, "set of known values", host->known);
	if (host->cpus < 1 || host->cpus > PAGE_CPUS_MAX)
		return bad(err, "number of CPUs", host->cpus);
	if (host->busy_permille > 1000)
		return bad(err, "busy permille", host->busy_permille);
	if (host->memory_available_bytes > host->memory_total_bytes)
		return bad(err, "available memory", host->memory_available_bytes);
	if (host->swap_free_bytes > host->swap_total_bytes)
		return bad(err, "free swap", host->swap_free_bytes);
	return host->reserved ? bad(err, "reserved field", host->reserved) : 0;
}

int page_check(const void *bytes, size_t size, struct err *err)
{
	struct page head;
	int r;

	if (size < PAGE_HOST_SIZE)
		return bad(err, "size", size);
	memcpy(&head, bytes, PAGE_HOST_SIZE);
	r = check_head(&head, size, err);
	if (r < 0)
		return r;
	if (head.checksum != checksum(bytes, head.size))
		return bad(err, "checksum", head.checksum);
	return page_check_host(&head.host, err);
}

void page_copy(struct page *to, const struct page *from)
{
	memcpy(to, from, size_of(from->instance_count));
}

int page_uid_parse(const char *text, uint8_t ret_uid[PAGE_UID_BYTES], struct err *err)
{
	uint8_t uid[PAGE_UID_BYTES];
	char again[PAGE_UID_TEXT_SIZE];

	/* Written again it must be the same: scanf takes blanks and signs too. */
	if (sscanf(text, "%2hhx%2hhx%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx-%2hhx%2hhx%2hhx%2hhx%2hhx%2hhx",
		   &uid[0], &uid[1], &uid[2], &uid[3], &uid[4], &uid[5], &uid[6], &uid[7],
		   &uid[8], &uid[9], &uid[10], &uid[11], &uid[12], &uid[13], &uid[14], &uid[15]) != PAGE_UID_BYTES ||
	    strcasecmp(page_uid_text(uid, again), text) != 0)
		return err_set(err, -EINVAL, "'%s' is no uid: it should look like 01234567-89ab-4cde-8f01-23456789abcd", shown(text));
	memcpy(ret_uid, uid, sizeof(uid));
	return 0;
}

const char *page_uid_text(const uint8_t uid[PAGE_UID_BYTES], char buffer[PAGE_UID_TEXT_SIZE])
{
	snprintf(buffer, PAGE_UID_TEXT_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 uid[0], uid[1], uid[2], uid[3], uid[4], uid[5], uid[6], uid[7],
		 uid[8], uid[9], uid[10], uid[11], uid[12], uid[13], uid[14], uid[15]);
	return buffer;
}

/* In shared memory */

void page_write(struct page *shared, const struct page *value)
{
	/* Odd already: an earlier writer died here, and this one takes over. */
	uint64_t sequence = __atomic_load_n(&shared->sequence, __ATOMIC_RELAXED) | 1;

	__atomic_store_n(&shared->sequence, sequence, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy((char *)shared + sizeof(shared->sequence), (const char *)value + sizeof(value->sequence), value->size - sizeof(value->sequence));
	__atomic_store_n(&shared->sequence, sequence + 1, __ATOMIC_RELEASE);
}

/* Even, or -EAGAIN, -ENODATA. */
static int begin_read(const struct page *shared, unsigned *tries, uint64_t *ret_sequence)
{
	for (; *tries < READ_TRIES; ++*tries) {
		uint64_t sequence = __atomic_load_n(&shared->sequence, __ATOMIC_ACQUIRE);

		if (sequence == 0)
			return -ENODATA;
		if (sequence % 2 == 0) {
			*ret_sequence = sequence;
			return 0;
		}
		if (*tries > BUSY_TRIES)
			sched_yield();
	}
	return -EAGAIN;
}

static bool end_read(const struct page *shared, uint64_t sequence)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&shared->sequence, __ATOMIC_RELAXED) == sequence;
}

int page_read(const struct page *shared, struct page *ret_page)
{
	uint64_t sequence;
	int r;

	for (unsigned tries = 0; (r = begin_read(shared, &tries, &sequence)) == 0; tries++) {
		/* What is read here may be torn; it only decides how much is copied, within the page. */
		size_t count = __atomic_load_n(&shared->instance_count, __ATOMIC_RELAXED);

		memcpy(ret_page, shared, size_of(count <= PAGE_INSTANCES_MAX ? count : 0));
		if (end_read(shared, sequence))
			return 0;
	}
	return r;
}

int page_read_host(const struct page *shared, struct page_host *ret_host)
{
	uint64_t sequence;
	int r;

	for (unsigned tries = 0; (r = begin_read(shared, &tries, &sequence)) == 0; tries++) {
		memcpy(ret_host, &shared->host, sizeof(*ret_host));
		if (end_read(shared, sequence))
			return 0;
	}
	return r;
}

int page_shared_create(struct page_shared *ret_shared, struct err *err)
{
	auto_close int fd = memfd_create("strata-telemetry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *mapping;

	if (fd < 0 || ftruncate(fd, sizeof(struct page)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_set(err, -errno, "create the telemetry page: %m");
	mapping = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (mapping == MAP_FAILED)
		return err_set(err, -errno, "map the telemetry page: %m");
	*ret_shared = (struct page_shared){ mapping, take_fd(fd) };
	return 0;
}

int page_shared_map(int fd, const struct page **ret_page, struct err *err)
{
	struct stat stat;
	void *mapping;

	if (fstat(fd, &stat) < 0)
		return err_set(err, -errno, "map a telemetry page: %m");
	if (stat.st_size != sizeof(struct page))
		return err_set(err, -EBADMSG, "map a telemetry page: %lld bytes instead of %zu: run the same strata on both sides",
			       (long long)stat.st_size, sizeof(struct page));
	mapping = mmap(NULL, sizeof(struct page), PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (mapping == MAP_FAILED)
		return err_set(err, -errno, "map a telemetry page: %m");
	*ret_page = mapping;
	return 0;
}

void page_shared_close(struct page_shared *shared)
{
	if (!shared->page)
		return;
	munmap(shared->page, sizeof(struct page));
	close(shared->fd);
	*shared = (struct page_shared){ .fd = -1 };
}

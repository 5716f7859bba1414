/*
 * page.h - what the daemon and the watchdog share: a file that both have mapped.
 *
 * The daemon writes deadline and guards, the watchdog what it ended and until when it sleeps. Everything is written
 * with single atomic stores, so neither waits for the other, and either may die at any instruction.
 * A slot becomes valid by its 'state', which is written last.
 *
 * Locks:   the daemon holds flock(2) of the file, the watchdog fcntl(2)'s, whose holder everybody may ask for.
 * Trust:   the file is root's own. Still the watchdog takes no text of it for terminated and no path for a cgroup.
 */
#ifndef DRIVER_FENCE_PROCESS_PAGE_H
#define DRIVER_FENCE_PROCESS_PAGE_H

#include <stdint.h>
#include <sys/types.h>

#include "port/fence.h"

#define FENCE_MAGIC "strata-fence 1\n"		/* Of this layout: what has another is begun anew. */

enum { FENCE_SLOT_FREE, FENCE_SLOT_USED };

struct fence_slot {
	uint32_t state;
	uint32_t reserved;
	int64_t ended_at_ms;		/* The watchdog's; the daemon sets it to 0. */
	char uid[FENCE_UID_LENGTH + 1];
	char cgroup[FENCE_CGROUP_LENGTH + 1];
};

struct fence_page {
	char magic[16];
	char boot_id[48];		/* Of the boot whose CLOCK_BOOTTIME this is. */
	uint64_t deadline_ns;
	uint64_t sleeps_until_ns;	/* The watchdog's; UINT64_MAX: until it is woken. */
	uint64_t slot_count;		/* Slots from here on were never used, and have no memory. */
	struct fence_slot slots[FENCE_GUARDS_MAX];
};

#define FENCE_LOAD(field) __atomic_load_n(&(field), __ATOMIC_SEQ_CST)
#define FENCE_STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_SEQ_CST)

/* Maps the page in 'fd', which must be one: -EINVAL with no text; so that the watchdog needs nothing else. */
int fence_page_map(int fd, struct fence_page **ret_page);
void fence_page_unmap(struct fence_page *page);		/* Null is fine. */

/* Makes an empty page of 'fd', whatever was there. */
int fence_page_format(int fd, struct err *err);

int fence_boot_id(char ret_id[48]);

/* Who holds the watchdog's lock; 0: nobody. */
pid_t fence_page_holder(int fd);

/* Slots that may be in use: also when the number in the page is nonsense. */
size_t fence_page_count(const struct fence_page *page);

/* -1: not there. */
long fence_page_find(const struct fence_page *page, const char *uid);
/* Memory is set aside first: a full disk is -ENOSPC and no SIGBUS. */
int fence_page_add(struct fence_page *page, int fd, const char *uid, const char *cgroup, struct err *err);

#endif

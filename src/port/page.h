/*
 * page.h - the telemetry page: what a host says about its load, ten times a second.
 *
 * One fixed layout in memory, on the wire and in what a peer reads by RDMA: little-endian, every member at a place that
 * does not change within a version. The host's part comes first and is of one size; the table of instances follows, and only its
 * entries in use are copied, sent and counted in 'size'.
 *
 * In shared memory a page is a sequence lock (one writer, any readers, also of other processes): 'sequence' is odd while it
 * is written. Who reads it from afar (RDMA) cannot look twice at the right moment and relies on 'checksum'.
 *
 * Errors:  -EAGAIN the writer died while it wrote, -EBADMSG what was read is no page.
 * Memory:  page_shared_*: a mapping, unmapped by page_shared_close().
 * Threads: page_write() from one; page_read*() from any.
 * Source:  sequence lock: Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012);
 *          PSI: Documentation/accounting/psi.rst; checksum: SipHash-2-4.
 */
#ifndef PORT_PAGE_H
#define PORT_PAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the page's layout is that of little-endian machines");

enum {
	PAGE_MAGIC = 0x47505453,		/* "STPG" */
	PAGE_VERSION = 1,			/* Any other is refused. */
	PAGE_UID_BYTES = 16,
	PAGE_INSTANCES_MAX = 512,		/* Of a host with more the owner chooses which. */
	PAGE_CPUS_MAX = 65536,
};

/* Pressure stall information: shares of time in hundredths of a percent, totals in microseconds since the host booted. */
struct page_pressure {
	uint32_t some_avg10, full_avg10;
	uint64_t some_total_us, full_total_us;
};

/* What the host could tell; members of what is missing here are 0. */
enum page_known {
	PAGE_KNOWS_PRESSURE = 1 << 0,		/* A kernel with PSI. */
	PAGE_KNOWS_DISKS = 1 << 1,
	PAGE_KNOWS_NICS = 1 << 2,
	PAGE_KNOWS_BACKLOG = 1 << 3,		/* Of the nics' queues. */
	PAGE_KNOWS_BUSY = 1 << 4,		/* Not in the first sample. */
	PAGE_KNOWS_ALL = (1 << 5) - 1,
};

struct page_host {
	uint8_t node[PAGE_UID_BYTES];		/* The node's uid. */
	uint8_t boot[PAGE_UID_BYTES];		/* The kernel's boot id. */
	uint64_t stamp_ns;			/* CLOCK_BOOTTIME of the sample: grows from page to page, also over restarts of the daemon. */
	int64_t wall_ms;			/* Wall clock of the sample, since 1970. */
	uint32_t known;				/* enum page_known */
	uint32_t cpus;				/* Online. */
	uint32_t run_queue;			/* Tasks that run or wait for a CPU. */
	uint32_t blocked;			/* Tasks that wait for a disk. */
	uint32_t busy_permille;			/* Of all CPUs together, over the last ten samples (a second). */
	uint32_t load1_milli, load5_milli, load15_milli;	/* Load average times 1000. */
	struct page_pressure cpu, memory, io;
	uint64_t memory_total_bytes, memory_available_bytes;
	uint64_t swap_total_bytes, swap_free_bytes;
	/* Sums over physical disks and nics; all but 'in_flight' and 'backlog' count since they appeared. */
	uint64_t disk_in_flight;		/* Requests. */
	uint64_t disk_busy_ms, disk_wait_ms;	/* Time with any request under way; times of all requests added up. */
	uint64_t disk_read_bytes, disk_written_bytes;
	uint64_t nic_rx_bytes, nic_tx_bytes, nic_rx_packets, nic_tx_packets;
	uint64_t nic_rx_drops, nic_tx_drops;
	uint64_t nic_backlog_bytes;		/* Handed to the nics, not sent yet (byte queue limits). */
	uint32_t instances_total;		/* On the host: more than PAGE_INSTANCES_MAX are possible. */
	uint32_t reserved;			/* 0 */
};

struct page_instance {
	uint8_t uid[PAGE_UID_BYTES];
	uint64_t cpu_ns;			/* CPU time used since it started. */
	uint64_t memory_bytes;
	uint32_t cpu_permille;			/* Of one CPU, over the last ten samples; 2000: two CPUs. */
	uint32_t reserved;			/* 0 */
};

struct page {
	uint64_t sequence;
	uint64_t checksum;			/* Of what follows, up to 'size'. */
	uint32_t magic;
	uint16_t version;
	uint16_t instance_count;		/* Entries in use. */
	uint32_t size;				/* Bytes in use, from the page's beginning. */
	uint32_t reserved;			/* 0 */
	struct page_host host;
	struct page_instance instances[PAGE_INSTANCES_MAX];
};

enum { PAGE_HOST_SIZE = offsetof(struct page, instances) };

static_assert(offsetof(struct page, magic) == 16 && offsetof(struct page, host) == 32, "layout of the page's head");
static_assert(offsetof(struct page_host, stamp_ns) == 32 && offsetof(struct page_host, cpu) == 80, "layout of the host's part");
static_assert(offsetof(struct page_host, memory_total_bytes) == 152 && offsetof(struct page_host, disk_in_flight) == 184, "layout of the host's part");
static_assert(offsetof(struct page_host, nic_rx_bytes) == 224 && offsetof(struct page_host, instances_total) == 280, "layout of the host's part");
static_assert(sizeof(struct page_host) == 288 && PAGE_HOST_SIZE == 320, "layout of the host's part");
static_assert(sizeof(struct page_instance) == 40 && sizeof(struct page) == 320 + 512 * 40, "layout of an instance");

/* ---- Values ---- */

/* Fills in head, sizes and checksum of a page whose 'host', 'instances' and 'instance_count' are set. */
void page_seal(struct page *page);
/* Are these bytes, which come from outside, one whole page? Nothing of them was looked at before. */
int page_check(const void *bytes, size_t size, struct err *err);
/* Are the values such as a host can have? For parts that come one by one; page_check() does it too. */
int page_check_host(const struct page_host *host, struct err *err);
/* Copies what is in use. */
void page_copy(struct page *to, const struct page *from);

/* "8-4-4-4-12" hexadecimal digits <-> bytes. -EINVAL. */
enum { PAGE_UID_TEXT_SIZE = 37 };
int page_uid_parse(const char *text, uint8_t ret_uid[PAGE_UID_BYTES], struct err *err);
const char *page_uid_text(const uint8_t uid[PAGE_UID_BYTES], char buffer[PAGE_UID_TEXT_SIZE]);

/* ---- In shared memory ---- */

/* 'value' is sealed; 'shared' is seen by readers. Only one thread of all processes writes a page. */
void page_write(struct page *shared, const struct page *value);
/* Whole, or only the host's part ('instance_count' is then 0 and no instance is touched). -EAGAIN, -ENODATA: nothing was written yet. */
int page_read(const struct page *shared, struct page *ret_page);
int page_read_host(const struct page *shared, struct page_host *ret_host);

struct page_shared {
	struct page *page;
	int fd;					/* A memfd, to be handed to other processes. */
};

int page_shared_create(struct page_shared *ret_shared, struct err *err);
int page_shared_map(int fd, const struct page **ret_page, struct err *err);	/* Read-only; the fd stays the caller's. munmap(2). */
void page_shared_close(struct page_shared *shared);

#endif

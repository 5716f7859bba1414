#include "1-hardware/telemetry/devices.h"

#include <glob.h>
#include <string.h>
#include <unistd.h>

#include "1-hardware/telemetry/parse.h"

static const char *const counter_names[NIC_COUNTERS] = { "rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_dropped", "tx_dropped" };

typedef void found_fn(struct devices *devices, const char *path);

/* 'fn' for each match of the pattern, whose root belongs to it. */
static void for_each(struct devices *devices, const char *root, const char *pattern, found_fn *fn)
{
	auto_free char *whole = text_format("%s%s", root, pattern);
	glob_t found = { 0 };

	if (glob(whole, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			fn(devices, found.gl_pathv[i]);
	globfree(&found);
}

/* "/sys/block/vda/device" -> "/sys/block/vda" */
static char *folder_of(const char *path)
{
	return text_copy_length(path, (size_t)(strrchr(path, '/') - path));
}

static void add_disk(struct devices *devices, const char *path)
{
	auto_free char *folder = folder_of(path), *stat = text_format("%s/stat", folder);
	struct source source = { 0 };

	if (source_open(&source, "", stat) == 0)
		*vec_push(&devices->disks) = source;
}

static void add_queue(struct devices *devices, const char *path)
{
	struct source source = { 0 };

	if (source_open(&source, "", path) == 0)
		*vec_push(&devices->queues) = source;
}

static void add_nic(struct devices *devices, const char *path)
{
	auto_free char *folder = folder_of(path);
	struct nic_sources *nic = vec_push(&devices->nics);

	for (int i = 0; i < NIC_COUNTERS; i++) {
		auto_free char *counter = text_format("%s/statistics/%s", folder, counter_names[i]);

		source_open(&nic->counters[i], "", counter);	/* What does not open is not added up. */
	}
	for_each(devices, folder, "/queues/tx-*/byte_queue_limits/inflight", add_queue);
}

void devices_find(struct devices *devices, const char *root)
{
	devices_done(devices);
	for_each(devices, root, "/sys/block/*/device", add_disk);
	for_each(devices, root, "/sys/class/net/*/device", add_nic);
}

static void add_counter(const struct source *source, uint64_t *sum)
{
	uint64_t number;

	if (source_read_number(source, &number) == 0)
		*sum += number;
}

static void read_disks(const struct devices *devices, struct page_host *host)
{
	char text[SOURCE_TEXT_SIZE];

	host->disk_in_flight = host->disk_busy_ms = host->disk_wait_ms = host->disk_read_bytes = host->disk_written_bytes = 0;
	for (size_t i = 0; i < devices->disks.count; i++)
		if (source_read(&devices->disks.items[i], text, sizeof(text)) == 0 && parse_block_stat(text, host))
			host->known |= PAGE_KNOWS_DISKS;
}

static void read_nics(const struct devices *devices, struct page_host *host)
{
	uint64_t sums[NIC_COUNTERS] = { 0 };

	for (size_t i = 0; i < devices->nics.count; i++)
		for (int j = 0; j < NIC_COUNTERS; j++)
			add_counter(&devices->nics.items[i].counters[j], &sums[j]);
	if (devices->nics.count)
		host->known |= PAGE_KNOWS_NICS;
	host->nic_rx_bytes = sums[0];
	host->nic_tx_bytes = sums[1];
	host->nic_rx_packets = sums[2];
	host->nic_tx_packets = sums[3];
	host->nic_rx_drops = sums[4];
	host->nic_tx_drops = sums[5];
}

static void read_queues(const struct devices *devices, struct page_host *host)
{
	host->nic_backlog_bytes = 0;
	for (size_t i = 0; i < devices->queues.count; i++)
		add_counter(&devices->queues.items[i], &host->nic_backlog_bytes);
	if (devices->queues.count)
		host->known |= PAGE_KNOWS_BACKLOG;
}

void devices_read(const struct devices *devices, struct page_host *host)
{
	host->known &= ~(uint32_t)(PAGE_KNOWS_DISKS | PAGE_KNOWS_NICS | PAGE_KNOWS_BACKLOG);
	read_disks(devices, host);
	read_nics(devices, host);
	read_queues(devices, host);
}

void devices_done(struct devices *devices)
{
	for (size_t i = 0; i < devices->disks.count; i++)
		source_close(&devices->disks.items[i]);
	for (size_t i = 0; i < devices->nics.count; i++)
		for (int j = 0; j < NIC_COUNTERS; j++)
			source_close(&devices->nics.items[i].counters[j]);
	for (size_t i = 0; i < devices->queues.count; i++)
		source_close(&devices->queues.items[i]);
	vec_done(&devices->disks);
	vec_done(&devices->nics);
	vec_done(&devices->queues);
}

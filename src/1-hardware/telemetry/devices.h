/*
 * devices.h - the physical disks and nics of a host, and sums over them.
 *
 * Physical is what has a "device" in /sys: no loop, mapper, bridge, tap, bond, VLAN or tunnel, through which the same bytes would be
 * counted again. The list is made anew now and then, because devices come and go.
 *
 * Threads: one at a time.
 */
#ifndef TELEMETRY_DEVICES_H
#define TELEMETRY_DEVICES_H

#include "1-hardware/telemetry/source.h"
#include "base/vec.h"
#include "port/page.h"

enum { NIC_COUNTERS = 6 };
struct nic_sources { struct source counters[NIC_COUNTERS]; };	/* In the order of page_host: rx_bytes ... tx_dropped. */

struct devices {
	VEC(struct source) disks;		/* "stat" */
	VEC(struct nic_sources) nics;
	VEC(struct source) queues;		/* "inflight" of each nic's queues for sending. */
};

void devices_find(struct devices *devices, const char *root);	/* Again too. */
void devices_read(const struct devices *devices, struct page_host *host);	/* Sets the sums and what of them is known. */
void devices_done(struct devices *devices);

#endif

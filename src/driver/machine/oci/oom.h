/*
 * oom.h - how often the kernel has killed something in a container because of its memory limit.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_OCI_OOM_H
#define DRIVER_MACHINE_OCI_OOM_H

#include <stdint.h>

#include "driver/machine/oci/layout.h"

unsigned long oom_count(const struct layout *layout, const char *uid);
/* An fd that becomes ready ('ret_events' as in epoll(7)) when the count may have changed; -1: this host has none. */
int oom_open(const struct layout *layout, const char *uid, uint32_t *ret_events);
/* Reads what made it ready. */
void oom_clear(int fd);

#endif

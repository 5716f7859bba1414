/*
 * parse.h - texts of /proc and /sys into the host's part of a page.
 *
 * Texts are the kernel's: what is not in them leaves its members as they are, and returns false.
 * Source:  proc(5), Documentation/accounting/psi.rst, Documentation/block/stat.rst.
 * Threads: any.
 */
#ifndef TELEMETRY_PARSE_H
#define TELEMETRY_PARSE_H

#include "port/page.h"

struct cpu_times { uint64_t busy, total; };		/* Ticks of all CPUs since the host booted. */

bool parse_stat(const char *text, struct page_host *host, struct cpu_times *ret_times);	/* /proc/stat */
bool parse_loadavg(const char *text, struct page_host *host);
bool parse_meminfo(const char *text, struct page_host *host);
bool parse_pressure(const char *text, struct page_pressure *pressure);			/* /proc/pressure/... */
bool parse_block_stat(const char *text, struct page_host *host);	/* /sys/block/NAME/stat: adds to the sums. */

#endif

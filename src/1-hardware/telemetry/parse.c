#include "1-hardware/telemetry/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "1-hardware/telemetry/source.h"

enum { SECTOR_BYTES = 512, TICK_FIELDS = 8 };

bool parse_stat(const char *text, struct page_host *host, struct cpu_times *ret_times)
{
	/* user nice system idle iowait irq softirq steal; the time of guests is in the first two. */
	uint64_t ticks[TICK_FIELDS], blocked, total = 0;

	if (sscanf(text, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) != TICK_FIELDS)
		return false;
	for (int i = 0; i < TICK_FIELDS; i++)
		total += ticks[i];
	*ret_times = (struct cpu_times){ total - ticks[3] - ticks[4], total };
	if (text_number_after(text, "procs_blocked ", &blocked))
		host->blocked = (uint32_t)blocked;
	return true;
}

bool parse_loadavg(const char *text, struct page_host *host)
{
	double load1, load5, load15;
	uint32_t running;

	if (sscanf(text, "%lf %lf %lf %" SCNu32 "/", &load1, &load5, &load15, &running) != 4)
		return false;
	host->load1_milli = (uint32_t)(load1 * 1000 + 0.5);
	host->load5_milli = (uint32_t)(load5 * 1000 + 0.5);
	host->load15_milli = (uint32_t)(load15 * 1000 + 0.5);
	/* Who reads runs. */
	host->run_queue = running ? running - 1 : 0;
	return true;
}

bool parse_meminfo(const char *text, struct page_host *host)
{
	uint64_t total, available, swap_total = 0, swap_free = 0;

	if (!text_number_after(text, "MemTotal:", &total) || !text_number_after(text, "MemAvailable:", &available))
		return false;
	text_number_after(text, "SwapTotal:", &swap_total);
	text_number_after(text, "SwapFree:", &swap_free);
	host->memory_total_bytes = total << 10;
	host->memory_available_bytes = (available < total ? available : total) << 10;
	host->swap_total_bytes = swap_total << 10;
	host->swap_free_bytes = (swap_free < swap_total ? swap_free : swap_total) << 10;
	return true;
}

static bool parse_pressure_line(const char *line, const char *kind, uint32_t *ret_avg10, uint64_t *ret_total)
{
	char format[64];
	unsigned whole, hundredths;
	uint64_t total;

	snprintf(format, sizeof(format), "%s avg10=%%u.%%2u avg60=%%*f avg300=%%*f total=%%%s", kind, SCNu64);
	if (sscanf(line, format, &whole, &hundredths, &total) != 3)
		return false;
	*ret_avg10 = whole * 100 + hundredths;
	*ret_total = total;
	return true;
}

bool parse_pressure(const char *text, struct page_pressure *pressure)
{
	const char *full = strstr(text, "\nfull ");

	if (!parse_pressure_line(text, "some", &pressure->some_avg10, &pressure->some_total_us))
		return false;
	/* Older kernels have no such line for the CPU. */
	if (full)
		parse_pressure_line(full + 1, "full", &pressure->full_avg10, &pressure->full_total_us);
	return true;
}

bool parse_block_stat(const char *text, struct page_host *host)
{
	uint64_t read, written, in_flight, busy, wait;

	/* reads merged sectors ms, writes merged sectors ms, in flight, ms busy, ms of all */
	if (sscanf(text, "%*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64 " %*u %" SCNu64 " %" SCNu64 " %" SCNu64, &read, &written, &in_flight,
		   &busy, &wait) != 5)
		return false;
	host->disk_read_bytes += read * SECTOR_BYTES;
	host->disk_written_bytes += written * SECTOR_BYTES;
	host->disk_in_flight += in_flight;
	host->disk_busy_ms += busy;
	host->disk_wait_ms += wait;
	return true;
}

/*
 * progress.h - one line about long work: on a terminal it moves and vanishes at the end,
 * elsewhere a plain line is written now and then.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
	FILE *file;
	bool is_terminal;
	bool is_drawn;
	int64_t started_ms, step_started_ms;
	char what[128];			/* "web", "upload disk.qcow2" */
	char step[64];			/* "starting", "download" */
	uint64_t done_bytes, total_bytes, step_first_bytes;
	int written_percent;		/* Elsewhere: of the last line. */
	bool is_step_written;
	unsigned turns;
};

enum { PROGRESS_TICK_MS = 100 };

void progress_begin(struct progress *progress, FILE *file, const char *what);
void progress_step(struct progress *progress, const char *step, uint64_t done_bytes, uint64_t total_bytes);
void progress_tick(void *progress);
void progress_end(struct progress *progress);

#endif

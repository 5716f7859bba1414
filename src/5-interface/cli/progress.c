#include "5-interface/cli/progress.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"

enum { QUIET_MS = 250, LONG_MS = 2000, BAR_CELLS = 24, LINE_EVERY_PERCENT = 10 };

void progress_begin(struct progress *progress, FILE *file, const char *what)
{
	*progress = (struct progress){ .file = file, .is_terminal = isatty(fileno(file)), .started_ms = clock_monotonic_ms(),
		.written_percent = -1 };
	progress->step_started_ms = progress->started_ms;
	text_shown(what, sizeof(progress->what) - sizeof("..."), progress->what, sizeof(progress->what));
}

static int percent_of(const struct progress *progress)
{
	uint64_t percent = progress->total_bytes ? progress->done_bytes * 100 / progress->total_bytes : 0;

	return percent > 100 ? 100 : (int)percent;
}

/* "12MiB of 80MiB, 40MiB/s, 2s left" */
static void describe_bytes(const struct progress *progress, struct str *out)
{
	int64_t passed = clock_monotonic_ms() - progress->step_started_ms;
	uint64_t moved = progress->done_bytes - progress->step_first_bytes;
	uint64_t rate = passed > 0 ? moved * 1000 / (uint64_t)passed : 0;
	char done[UNITS_TEXT_SIZE], total[UNITS_TEXT_SIZE], speed[UNITS_TEXT_SIZE], left[UNITS_TEXT_SIZE];

	units_format_size(progress->done_bytes, done);
	units_format_size(progress->total_bytes, total);
	units_format_size(rate, speed);
	if (!progress->total_bytes) {
		str_printf(out, "%s, %s/s", done, speed);
		return;
	}
	if (!rate || progress->done_bytes > progress->total_bytes) {
		str_printf(out, "%s of %s", done, total);
		return;
	}
	units_format_duration((int64_t)((progress->total_bytes - progress->done_bytes) / rate) * 1000, left);
	str_printf(out, "%s of %s, %s/s, %s left", done, total, speed, left);
}

static void draw_bar(const struct progress *progress, struct str *out)
{
	int filled = percent_of(progress) * BAR_CELLS / 100;

	for (int i = 0; i < BAR_CELLS; i++)
		str_append(out, i < filled ? "█" : "░");
	str_printf(out, " %3d%%  ", percent_of(progress));
}

static void draw(struct progress *progress)
{
	static const char *const spinner[] = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" };
	auto_str struct str line = { 0 };

	str_printf(&line, "\r\033[K%s %s  ", spinner[progress->turns++ % 10], progress->what);
	if (progress->total_bytes)
		draw_bar(progress, &line);
	str_append(&line, progress->step);
	if (progress->done_bytes) {
		str_append(&line, "  ");
		describe_bytes(progress, &line);
	} else if (clock_monotonic_ms() - progress->started_ms > LONG_MS) {
		str_printf(&line, "  %ds", (int)((clock_monotonic_ms() - progress->started_ms) / 1000));
	}
	fputs(line.data, progress->file);
	fflush(progress->file);
	progress->is_drawn = true;
}

/* Elsewhere than on a terminal, when it takes long: one line per ten percent, and per step that stays for a while. */

static void write_percent(struct progress *progress)
{
	int percent = percent_of(progress);

	if (!progress->total_bytes || clock_monotonic_ms() - progress->started_ms < LONG_MS)
		return;
	if (percent / LINE_EVERY_PERCENT != progress->written_percent / LINE_EVERY_PERCENT) {
		fprintf(progress->file, "%s: %s %d%%\n", progress->what, progress->step, percent);
		progress->written_percent = percent;
	}
}

static void write_step(struct progress *progress)
{
	if (progress->total_bytes || progress->is_step_written || clock_monotonic_ms() - progress->started_ms < LONG_MS)
		return;
	fprintf(progress->file, "%s: %s\n", progress->what, progress->step);
	progress->is_step_written = true;
}

void progress_step(struct progress *progress, const char *step, uint64_t done_bytes, uint64_t total_bytes)
{
	char buffer[sizeof(progress->step)];
	bool is_new;

	text_shown(step, sizeof(buffer) - sizeof("..."), buffer, sizeof(buffer));
	is_new = !text_equal(buffer, progress->step) || done_bytes < progress->done_bytes;
	if (is_new) {
		memcpy(progress->step, buffer, sizeof(buffer));
		progress->step_started_ms = clock_monotonic_ms();
		progress->step_first_bytes = done_bytes;
		progress->written_percent = -LINE_EVERY_PERCENT;
		progress->is_step_written = false;
	}
	progress->done_bytes = done_bytes;
	progress->total_bytes = total_bytes;
	if (!progress->is_terminal)
		write_percent(progress);
}

void progress_tick(void *data)
{
	struct progress *progress = data;

	/* Work that is over at once should not flash. */
	if (!progress->is_terminal)
		write_step(progress);
	else if (clock_monotonic_ms() - progress->started_ms >= QUIET_MS)
		draw(progress);
}

void progress_end(struct progress *progress)
{
	if (progress->is_drawn)
		fputs("\r\033[K", progress->file);
	fflush(progress->file);
	progress->is_drawn = false;
}

#include "2-virtualization/images/tool.h"

#include "base/spawn.h"

enum { TOOL_TIMEOUT_MS = 20 * 60 * 1000, TOOL_OUTPUT_MAX = 4 << 20 };

int tool_run(const char *const *argv, const char *directory, const struct volume_progress *progress, struct str *output,
	     struct err *err)
{
	/* INITRD=No: kernel packages make no ramdisk of their own; ours is smaller. */
	const char *const env[] = { "DEBIAN_FRONTEND=noninteractive", "INITRD=No", NULL };
	const struct spawn_params params = { .argv = argv, .env = env, .directory = directory, .ends_with_parent = true };
	const struct spawn_io io = {
		.output = output, .output_max = TOOL_OUTPUT_MAX, .timeout_ms = TOOL_TIMEOUT_MS,
		.is_cancelled = progress ? progress->is_cancelled : NULL,
	};

	return spawn_run(&params, &io, err);
}

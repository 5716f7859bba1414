#include "driver/fabric/bridge/nft.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/spawn.h"

enum { TIMEOUT_MS = 30 * 1000, OUTPUT_MAX_BYTES = 64 << 20 };

struct complaint { char text[200]; };

/* nft says what is wrong first and draws below where; the first is the useful one. */
static void take_complaint(void *data, const char *line)
{
	struct complaint *complaint = data;
	const char *error = strstr(line, "Error: ");

	if (error && !complaint->text[0])
		text_shown(error + strlen("Error: "), sizeof(complaint->text) - 8, complaint->text, sizeof(complaint->text));
}

static int run(const char *const *argv, const char *input, struct str *output, struct err *err)
{
	struct complaint complaint = { 0 };
	struct spawn_io io = {
		.input = input, .input_size = input ? strlen(input) : 0, .output = output, .output_max = OUTPUT_MAX_BYTES,
		.timeout_ms = TIMEOUT_MS, .on_line = take_complaint, .data = &complaint,
	};
	int r = spawn_run(&(struct spawn_params){ .argv = argv }, &io, err);

	if (r == -EIO && complaint.text[0])
		return err_set(err, -EIO, "nft: %s", complaint.text);
	return r;
}

int nft_apply(const char *commands, struct err *err)
{
	return run((const char *const[]){ "nft", "-f", "-", NULL }, commands, NULL, err);
}

int nft_query(const char *const *words, struct str *out, struct err *err)
{
	const char *argv[8] = { "nft" };

	for (size_t i = 0; words[i] && i + 2 < ARRAY_COUNT(argv); i++)
		argv[i + 1] = words[i];
	return run(argv, NULL, out, err);
}

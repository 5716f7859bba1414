/*
 * Whatever a machine says on its monitor, in whatever pieces: no crash, no leak, the same outcome.
 * The first byte is the size of the pieces.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/machine/qemu/migrate.h"
#include "driver/machine/qemu/monitor.h"
#include "driver/machine/qemu/qmp_message.h"
#include "driver/machine/qemu/stderr_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct counts { unsigned reports, questions, ends; };

static void report(void *data, enum machine_event_kind kind, const char *text)
{
	struct counts *counts = data;

	(void)kind;
	assert(strlen(text) < sizeof(((struct machine_event *)0)->text));
	counts->reports++;
}

static void ask(void *data, const char *command)
{
	struct counts *counts = data;

	(void)command;
	counts->questions++;
}

static void guest_is_off(void *data)
{
	struct counts *counts = data;

	counts->ends++;
}

static struct counts run(const uint8_t *data, size_t size, size_t piece)
{
	struct counts counts = { 0 };
	struct monitor monitor = {
		.report = report, .ask = ask, .guest_is_off = guest_is_off, .data = &counts, .lines.max_bytes = 64 << 10,
	};
	struct err err;

	for (size_t i = 0; i < size; i += piece)
		if (monitor_take(&monitor, data + i, size - i < piece ? size - i : piece, &err) < 0)
			break;
	monitor_exit_cause(&monitor);
	monitor_done(&monitor);
	return counts;
}

static void answers_about_a_migration(const struct json *json)
{
	struct migrate_state state;
	uint64_t done, total;
	char reason[160];
	struct err err;

	migrate_state_read(json, &state);
	assert(migrate_failure(state.reason, &err) < 0);
	migrate_port_read(json);
	migrate_job_read(json, "m-root", &done, &total, reason);
	assert(strlen(reason) < sizeof(reason));
}

static void one_message(const uint8_t *data, size_t size)
{
	struct qmp_message message;
	struct err err;

	if (qmp_message_parse((const char *)data, size, &message, &err) < 0)
		return;
	if (message.kind == QMP_ERROR)
		assert(qmp_message_error(&message, &err) < 0);
	answers_about_a_migration(message.json);
	qmp_message_done(&message);
}

static void last_words(const uint8_t *data, size_t size)
{
	char *line = text_copy_length((const char *)data, size);
	const char *words = stderr_text(line);

	assert(words >= line && words <= line + strlen(line));
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct counts whole, pieces;

	if (size < 2 || size > 32 << 10)
		return 0;
	whole = run(data + 1, size - 1, size - 1);
	pieces = run(data + 1, size - 1, (size_t)data[0] % 64 + 1);
	assert(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	one_message(data + 1, size - 1);
	last_words(data + 1, size - 1);
	return 0;
}

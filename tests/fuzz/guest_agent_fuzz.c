/*
 * Whatever a guest answers to the agent's client: no crash, no leak; what is decoded encodes again to the
 * same bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "driver/machine/qemu/guest_agent.h"
#include "driver/machine/qemu/qmp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void exec_status(const char *text, size_t size)
{
	struct guest_exec_status status;
	struct qmp_message message;
	struct err err;

	if (qmp_message_parse(text, size, &message, &err) < 0)
		return;
	if (guest_exec_status_parse(json_get(message.json, "return"), &status, &err) == 0) {
		assert(status.exit_code >= 0 && status.exit_code <= 255);
		guest_exec_status_done(&status);
	}
	qmp_message_done(&message);
}

static void base64(const char *text)
{
	auto_str struct str bytes = { 0 }, again = { 0 }, once_more = { 0 };
	struct err err;

	if (base64_decode(text, &bytes, &err) < 0)
		return;
	base64_encode(str_text(&bytes), bytes.size, &again);
	assert(again.size == strlen(text));
	assert(base64_decode(str_text(&again), &once_more, &err) == 0);
	assert(once_more.size == bytes.size && memcmp(str_text(&once_more), str_text(&bytes), bytes.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy_length((const char *)data, size);

	exec_status(text, size);
	guest_agent_is_sync(text, size, 7);
	base64(text);
	free(text);
	return 0;
}

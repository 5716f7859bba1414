/*
 * What another host says: the head of its answer, the error in its body, the header that tells who has asked.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "4-service/peer/answer.h"
#include "5-interface/http/origin.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_message(const struct err *err)
{
	check(err->code < 0 && err->msg[0]);
}

static void try_answer(const char *bytes, size_t size)
{
	struct answer_head head = { 0 };
	struct err err = { 0 };
	int r = answer_read_head(bytes, size, &head, &err);

	if (r < 0)
		check_message(&err);
	if (r <= 0)
		return;
	check(head.size <= size && head.status >= 100 && head.status <= 999 && head.content_length >= -1);
	answer_error(head.status, bytes + head.size, size - head.size, &err);
	check_message(&err);
}

static void try_origin(const char *text)
{
	auto_str struct str written = { 0 };
	struct origin origin;
	struct err err = { 0 };

	if (origin_parse(text, &origin, &err) < 0) {
		check_message(&err);
		return;
	}
	origin_write(&origin, &written);
	check(origin_parse(written.data, &origin, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_free char *text = text_copy_length((const char *)bytes, size);

	try_answer(text, size);
	try_origin(text);
	return 0;
}

#include "driver/machine/qemu/qmp_message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void kinds_are_told_apart(void **state)
{
	static const struct { const char *text; enum qmp_kind kind; } messages[] = {
		{ "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r", QMP_GREETING },
		{ "{\"return\": {}}", QMP_RETURN },
		{ "{\"return\": [], \"id\": 7}", QMP_RETURN },
		{ "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}", QMP_ERROR },
		{ "{\"timestamp\": {\"seconds\": 1}, \"event\": \"STOP\"}", QMP_EVENT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(messages); i++) {
		struct qmp_message message;
		struct err err;

		assert_int_equal(qmp_message_parse(messages[i].text, strlen(messages[i].text), &message, &err), 0);
		assert_int_equal(message.kind, messages[i].kind);
		qmp_message_done(&message);
	}
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "7", "{}", "{\"event\": 7}", "{\"error\": \"no\"}", "\xff{}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct qmp_message message;
		struct err err;

		assert_int_equal(qmp_message_parse(bad[i], strlen(bad[i]), &message, &err), -EPROTO);
	}
}

static int code_of(const char *text, struct err *err)
{
	struct qmp_message message;
	int r;

	assert_int_equal(qmp_message_parse(text, strlen(text), &message, err), 0);
	r = qmp_message_error(&message, err);
	qmp_message_done(&message);
	return r;
}

static void errors_keep_their_words(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(code_of("{\"error\":{\"class\":\"GenericError\",\"desc\":\"it \\u001b[31m broke\"}}", &err), -EIO);
	assert_string_equal(err.msg, "it ?[31m broke");
	assert_int_equal(code_of("{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"x\"}}", &err), -EOPNOTSUPP);
	assert_int_equal(code_of("{\"error\":{\"class\":\"GenericError\",\"desc\":\"No space left on device\"}}", &err), -ENOSPC);
	assert_int_equal(code_of("{\"error\":{}}", &err), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_are_told_apart), cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(errors_keep_their_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "driver/machine/qemu/qmp_message.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

static const struct {
	const char *key;
	enum json_type type;		/* JSON_ABSENT: any. */
	enum qmp_kind kind;
} kinds[] = {
	{ "QMP", JSON_OBJECT, QMP_GREETING },
	{ "return", JSON_ABSENT, QMP_RETURN },
	{ "error", JSON_OBJECT, QMP_ERROR },
	{ "event", JSON_STRING, QMP_EVENT },
};

int qmp_message_parse(const char *line, size_t size, struct qmp_message *ret_message, struct err *err)
{
	auto_json struct json *json = NULL;

	if (json_parse(line, size, &json, err) < 0)
		return err_set(err, -EPROTO, "the machine sent what is not JSON");
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		enum json_type type = json_type(json_get(json, kinds[i].key));

		if (type == JSON_ABSENT || (kinds[i].type != JSON_ABSENT && type != kinds[i].type))
			continue;
		*ret_message = (struct qmp_message){ kinds[i].kind, take(json) };
		return 0;
	}
	return err_set(err, -EPROTO, "the machine sent a message of no known kind");
}

void qmp_message_done(struct qmp_message *message)
{
	json_free(take(message->json));
}

/* QEMU has classes for few errors; the others are told apart by their English. */
static int error_code(const char *class, const char *description)
{
	static const struct { const char *text; int code; } known[] = {
		{ "No space left on device", -ENOSPC },
		{ "No such file or directory", -ENOENT },
		{ "not support", -EOPNOTSUPP },
		{ "not find", -ENOENT },
	};

	if (text_equal(class, "CommandNotFound"))
		return -EOPNOTSUPP;
	if (text_equal(class, "DeviceNotFound"))
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_COUNT(known); i++)
		if (strstr(description, known[i].text))
			return known[i].code;
	return -EIO;
}

int qmp_message_error(const struct qmp_message *message, struct err *err)
{
	const char *class = json_string(json_path(message->json, "error.class"), "");
	const char *description = json_string(json_path(message->json, "error.desc"), "an error without words");

	return err_set(err, error_code(class, description), "%s",
		       text_shown(description, 180, (char[200]){ 0 }, 200));
}

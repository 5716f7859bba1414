/*
 * fake_call.h - for tests only: one call of the command against a fake daemon, and what came of it.
 */
#ifndef CLI_FAKE_CALL_H
#define CLI_FAKE_CALL_H

#include <errno.h>

#include "5-interface/cli/cli.h"
#include "5-interface/cli/fake_daemon.h"

enum { TEXT_BYTES = 64 << 10 };

/* One call of the command, and what came of it. */
struct call {
	int exit_code;
	char out[TEXT_BYTES], messages[TEXT_BYTES];
};

static void read_back(FILE *file, char text[TEXT_BYTES])
{
	size_t size;

	rewind(file);
	size = fread(text, 1, TEXT_BYTES - 1, file);
	text[size] = '\0';
	fclose(file);
}

static int no_restore(const char *file, const char *state, struct err *err)
{
	return err_set(err, -EBUSY, "restore %s into %s", file, state);
}

/* 'line' is split at spaces; a '~' in a word stands for one. */
static struct call *run(const char *path, const char *line)
{
	const struct cli_doors doors = { .restore = no_restore };
	auto_free char *copy = text_copy(line);
	char *argv[64] = { "strata", "--socket", (char *)(uintptr_t)path }, *rest = copy, *word;
	FILE *out = tmpfile(), *messages = tmpfile();
	struct call *call = alloc(sizeof(*call));
	int argc = 3;

	while ((word = strsep(&rest, " "))) {
		for (char *c = word; (c = strchr(c, '~')); )
			*c = ' ';
		argv[argc++] = word;
	}
	call->exit_code = cli_main(argc, argv, &doors, out, messages);
	read_back(out, call->out);
	read_back(messages, call->messages);
	return call;
}

/* Follows the script, and checks it to the end. */
static void check(const struct fake_step *steps, size_t count, const char *line, int exit_code, const char *out, const char *message)
{
	struct fake_daemon daemon;
	auto_free struct call *call = NULL;

	fake_start(&daemon, steps, count);
	call = run(daemon.path, line);
	fake_stop(&daemon);
	if (out)
		assert_string_equal(call->out, out);
	if (message)
		assert_non_null(strstr(call->messages, message));
	else
		assert_string_equal(call->messages, "");
	assert_int_equal(call->exit_code, exit_code);
}

#define CHECK(steps, ...) check((steps), ARRAY_COUNT(steps), __VA_ARGS__)

#define OK(body) FAKE_CLOSE("200 OK", body)
#define CREATED(body) FAKE_CLOSE("201 Created", body)
#define ACCEPTED FAKE_CLOSE("202 Accepted", "{}")
#define NOT_FOUND FAKE_CLOSE("404 Not Found", "{\"error\":{\"code\":404,\"message\":\"it does not exist\"}}")
#define CONFLICT FAKE_CLOSE("409 Conflict", "{\"error\":{\"code\":409,\"message\":\"it is there already\"}}")

#endif

#include "5-interface/cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

struct parsed {
	struct cli cli;
	char *topic;
	int result;
	struct err err;
};

/* 'line' is split at spaces and must outlive the result. */
static void parse(char *line, struct parsed *parsed)
{
	char *argv[32] = { "strata" }, *word;
	int argc = 1;

	*parsed = (struct parsed){ 0 };
	while ((word = strsep(&line, " ")))
		argv[argc++] = word;
	parsed->result = options_parse(&parsed->cli, argc, argv, &parsed->topic, &parsed->err);
}

static void parsed_done(struct parsed *parsed)
{
	free(parsed->topic);
	vec_done(&parsed->cli.arguments.values);
	vec_done(&parsed->cli.arguments.rest);
	vec_done(&parsed->cli.arguments.uses);
}

static void options_stand_anywhere_and_in_every_form(void **state)
{
	char line[] = "--socket=/x run --memory 1GiB tiny -c2 --label a=b web -l c=d --vnc";
	struct parsed parsed;

	(void)state;
	parse(line, &parsed);
	assert_int_equal(parsed.result, 0);
	assert_string_equal(parsed.cli.command->name, "run");
	assert_string_equal(cli_value(&parsed.cli, "socket"), "/x");
	assert_string_equal(cli_value(&parsed.cli, "memory"), "1GiB");
	assert_string_equal(cli_value(&parsed.cli, "cpus"), "2");
	assert_string_equal(cli_value_at(&parsed.cli, "label", 0), "a=b");
	assert_string_equal(cli_value_at(&parsed.cli, "label", 1), "c=d");
	assert_null(cli_value_at(&parsed.cli, "label", 2));
	assert_true(cli_has(&parsed.cli, "vnc"));
	assert_false(cli_has(&parsed.cli, "vsock"));
	assert_string_equal(cli_argument(&parsed.cli, 0), "tiny");
	assert_string_equal(cli_argument(&parsed.cli, 1), "web");
	parsed_done(&parsed);
}

static void what_follows_the_guests_command_is_its_own(void **state)
{
	char first[] = "exec -e A=b web -it ls -l --all", second[] = "exec web -- -odd -- x", third[] = "exec web sh -- -c";
	struct parsed parsed;

	(void)state;
	parse(first, &parsed);
	assert_int_equal(parsed.result, 0);
	assert_true(cli_has(&parsed.cli, "interactive") && cli_has(&parsed.cli, "terminal"));
	assert_int_equal(cli_argument_count(&parsed.cli), 4);
	assert_string_equal(cli_argument(&parsed.cli, 3), "--all");
	parsed_done(&parsed);
	parse(second, &parsed);
	assert_int_equal(cli_argument_count(&parsed.cli), 4);
	assert_string_equal(cli_argument(&parsed.cli, 1), "-odd");
	assert_string_equal(cli_argument(&parsed.cli, 2), "--");
	parsed_done(&parsed);
	parse(third, &parsed);
	assert_int_equal(cli_argument_count(&parsed.cli), 4);
	assert_string_equal(cli_argument(&parsed.cli, 2), "--");
	parsed_done(&parsed);
}

static void names_of_two_words_and_topics_are_found(void **state)
{
	char two[] = "image --socket x import a b", topic[] = "volume", none[] = "--help";
	struct parsed parsed;

	(void)state;
	parse(two, &parsed);
	assert_string_equal(parsed.cli.command->name, "image import");
	assert_null(parsed.topic);
	parsed_done(&parsed);
	parse(topic, &parsed);
	assert_int_equal(parsed.result, 0);
	assert_string_equal(parsed.topic, "volume");
	parsed_done(&parsed);
	parse(none, &parsed);
	assert_string_equal(parsed.topic, "");
	parsed_done(&parsed);
}

static void wrong_usage_names_what_was_meant(void **state)
{
	static const struct { const char *line, *message; } cases[] = {
		{ "rum tiny", "did you mean 'run'" },
		{ "image list", "did you mean 'image ls'" },
		{ "image", NULL },
		{ "frobnicate-everything", "unknown command" },
		{ "run tiny --memroy 1", "did you mean '--memory'" },
		{ "run tiny -Z", "unknown option '-Z'" },
		{ "run tiny --memory", "needs a value: --memory SIZE" },
		{ "run tiny --vnc=yes", "takes no value" },
		{ "run tiny -m 1 --memory 2", "given twice" },
		{ "run", "an argument is missing: strata run IMAGE [NAME]" },
		{ "run a b c", "'c' is one argument too many" },
		{ "stop", "strata stop NAME..." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		auto_free char *line = text_copy(cases[i].line);
		struct parsed parsed;

		parse(line, &parsed);
		assert_int_equal(parsed.result, cases[i].message ? CLI_USAGE : 0);
		if (cases[i].message)
			assert_non_null(strstr(parsed.err.msg, cases[i].message));
		parsed_done(&parsed);
	}
}

static void check_options(const struct cli_command *command)
{
	for (const struct cli_option *a = command->options; a && a->name; a++) {
		assert_true(a->doc[strlen(a->doc) - 1] == '.');
		for (const struct cli_option *b = a + 1; b->name; b++) {
			assert_string_not_equal(a->name, b->name);
			assert_true(!a->letter || a->letter != b->letter);
		}
		for (const struct cli_option *global = cli_global_options; global->name; global++) {
			assert_string_not_equal(a->name, global->name);
			assert_true(!a->letter || a->letter != global->letter);
		}
	}
}

static void every_command_is_complete(void **state)
{
	size_t count = 0;

	(void)state;
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		for (const struct cli_command *const *command = group->commands; *command; command++) {
			check_options(*command);
			assert_non_null((*command)->run);
			assert_ptr_equal(command_find((*command)->name), *command);
			assert_true(!(*command)->max == !(*command)->arguments);
			assert_true((*command)->is_hidden || strstr((*command)->examples[0], (*command)->name));
			count++;
		}
	}
	assert_true(count > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere_and_in_every_form),
		cmocka_unit_test(what_follows_the_guests_command_is_its_own),
		cmocka_unit_test(names_of_two_words_and_topics_are_found),
		cmocka_unit_test(wrong_usage_names_what_was_meant),
		cmocka_unit_test(every_command_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

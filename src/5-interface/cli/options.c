#include "5-interface/cli/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "model/field.h"

enum { NAMES_MAX = 128 };

/* What has been read so far. */
struct parser {
	struct cli *cli;
	int argc, next;
	char **argv;
	char *topic;			/* First word of a name of two or three, or the first two. Owned. */
	bool has_ended;			/* "--" was there. */
};

/* Looking into the table. */

const struct cli_command *command_find(const char *name)
{
	for (const struct cli_group *group = cli_groups; group->title; group++)
		for (const struct cli_command *const *command = group->commands; *command; command++)
			if (text_equal((*command)->name, name))
				return *command;
	return NULL;
}

bool command_is_topic(const char *words)
{
	size_t length = strlen(words);

	for (const struct cli_group *group = cli_groups; group->title; group++)
		for (const struct cli_command *const *command = group->commands; *command; command++)
			if (strncmp((*command)->name, words, length) == 0 && (*command)->name[length] == ' ')
				return true;
	return false;
}

static const struct cli_option *find_in(const struct cli_option *options, const char *name, size_t length, char letter)
{
	for (; options && options->name; options++)
		if (letter ? options->letter == letter :
		    strlen(options->name) == length && memcmp(options->name, name, length) == 0)
			return options;
	return NULL;
}

static const struct cli_option *find_option(const struct cli *cli, const char *name, size_t length, char letter)
{
	const struct cli_option *option = NULL;

	if (cli->command)
		option = find_in(cli->command->options, name, length, letter);
	return option ? option : find_in(cli_global_options, name, length, letter);
}

static size_t add_names(const struct cli_option *options, const char *names[NAMES_MAX], size_t count)
{
	for (; options && options->name && count < NAMES_MAX; options++)
		names[count++] = options->name;
	return count;
}

static int unknown_option(const struct cli *cli, const char *word, const char *name, struct err *err)
{
	const char *command = cli->command ? cli->command->name : "";
	const char *space = cli->command ? " " : "";
	const char *names[NAMES_MAX], *nearest;
	size_t count = add_names(cli_global_options, names, 0);

	if (cli->command)
		count = add_names(cli->command->options, names, count);
	nearest = name ? field_nearest(name, names, count) : NULL;
	if (nearest)
		return err_set(err, CLI_USAGE, "unknown option '%s', did you mean '--%s'? See 'strata %s%s--help'",
			       shown(word), nearest, command, space);
	return err_set(err, CLI_USAGE, "unknown option '%s': see 'strata %s%s--help'", shown(word), command, space);
}

/* "image list": the nearest of the commands of its topic. */
static int unknown_command(const char *topic, const char *word, struct err *err)
{
	auto_free char *name = topic ? text_format("%s %s", topic, word) : text_copy(word);
	const char *names[NAMES_MAX], *nearest;
	size_t count = 0, length = topic ? strlen(topic) : 0;

	for (const struct cli_group *group = cli_groups; group->title; group++)
		for (const struct cli_command *const *command = group->commands; *command && count < NAMES_MAX; command++)
			if (!(*command)->is_hidden && strncmp((*command)->name, topic ? topic : "", length) == 0)
				names[count++] = (*command)->name;
	nearest = field_nearest(name, names, count);
	if (nearest)
		return err_set(err, CLI_USAGE, "unknown command '%s', did you mean '%s'? See 'strata --help'", shown(name), nearest);
	return err_set(err, CLI_USAGE, "unknown command '%s': see 'strata --help'", shown(name));
}

/* Reading. */

/* Before anything is asked for: most are read only when it is waited for what has been. */
static int check_value(const struct cli_option *option, const char *value, struct err *err)
{
	int64_t ignored;

	if (!text_equal(option->value, "DURATION") || units_parse_duration(value, &ignored, err) == 0)
		return 0;
	err_prefix(err, "--%s", option->name);
	return err->code = CLI_USAGE;
}

static int add_use(struct parser *parser, const struct cli_option *option, const char *value, struct err *err)
{
	struct arguments *arguments = &parser->cli->arguments;

	for (size_t i = 0; !option->repeats && option->value && i < arguments->uses.count; i++)
		if (arguments->uses.items[i].option == option)
			return err_set(err, CLI_USAGE, "option '--%s' is given twice: '%s' and '%s'", option->name,
				       shown(arguments->uses.items[i].value), shown(value));
	*vec_push(&arguments->uses) = (struct cli_use){ .option = option, .value = value };
	return check_value(option, value, err);
}

static int next_value(struct parser *parser, const struct cli_option *option, const char **ret_value, struct err *err)
{
	if (parser->next >= parser->argc)
		return err_set(err, CLI_USAGE, "option '--%s' needs a value: --%s %s", option->name, option->name, option->value);
	*ret_value = parser->argv[parser->next++];
	return 0;
}

static int parse_long(struct parser *parser, const char *word, struct err *err)
{
	const char *name = word + 2, *equals = strchr(name, '='), *value = equals ? equals + 1 : NULL;
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *option = find_option(parser->cli, name, length, 0);
	auto_free char *only_name = text_copy_length(name, length);

	if (!option)
		return unknown_option(parser->cli, word, only_name, err);
	if (!option->value && value)
		return err_set(err, CLI_USAGE, "option '--%s' takes no value, but '%s' was given", option->name, shown(value));
	if (option->value && !value) {
		int result = next_value(parser, option, &value, err);

		if (result < 0)
			return result;
	}
	return add_use(parser, option, value, err);
}

static int parse_short(struct parser *parser, const char *word, struct err *err)
{
	for (const char *letter = word + 1; *letter; letter++) {
		const struct cli_option *option = find_option(parser->cli, NULL, 0, *letter);
		const char *value = NULL;
		int result;

		if (!option)
			return unknown_option(parser->cli, word, NULL, err);
		if (option->value && letter[1]) {
			value = letter + 1 + (letter[1] == '=');
			return add_use(parser, option, value, err);
		}
		result = option->value ? next_value(parser, option, &value, err) : 0;
		if (result == 0)
			result = add_use(parser, option, value, err);
		if (result < 0)
			return result;
	}
	return 0;
}

/* The first word to three: the command. */
static int parse_name(struct parser *parser, const char *word, struct err *err)
{
	auto_free char *name = parser->topic ? text_format("%s %s", parser->topic, word) : text_copy(word);

	parser->cli->command = command_find(name);
	if (!parser->cli->command && !command_is_topic(name))
		return unknown_command(parser->topic, word, err);
	free(parser->topic);
	parser->topic = take(name);
	return 0;
}

/* Of "cluster token" and "cluster token ls" the longer one. */
static bool goes_on(const struct parser *parser, const char *word)
{
	auto_free char *longer = text_format("%s %s", parser->topic, word);

	return !parser->has_ended && parser->cli->arguments.values.count == 0 && command_find(longer);
}

static bool passes_on(const struct parser *parser)
{
	const struct cli *cli = parser->cli;

	/* Options before the first word of the guest's command are ours: `exec web -t sh -l`. */
	return cli->command && cli->command->passes_after &&
		cli->arguments.values.count > (size_t)cli->command->passes_after;
}

static int parse_word(struct parser *parser, const char *word, struct err *err)
{
	if (parser->has_ended && parser->cli->command && parser->cli->command->passes_rest) {
		*vec_push(&parser->cli->arguments.rest) = word;
		return 0;
	}
	if (!parser->has_ended && text_equal(word, "--")) {
		parser->has_ended = true;
		return 0;
	}
	if (!parser->has_ended && word[0] == '-' && word[1])
		return word[1] == '-' ? parse_long(parser, word, err) : parse_short(parser, word, err);
	if (!parser->cli->command || goes_on(parser, word))
		return parse_name(parser, word, err);
	*vec_push(&parser->cli->arguments.values) = word;
	if (passes_on(parser))
		parser->has_ended = true;
	return 0;
}

static int check_count(const struct cli *cli, struct err *err)
{
	const struct cli_command *command = cli->command;
	size_t count = cli->arguments.values.count;

	if (cli_has(cli, "help"))
		return 0;
	if (count < (size_t)command->min)
		return err_set(err, CLI_USAGE, "an argument is missing: strata %s %s", command->name, command->arguments);
	if (command->max >= 0 && count > (size_t)command->max && command->passes_rest)
		return err_set(err, CLI_USAGE, "'%s' is one argument too many: the command goes after '--', see 'strata %s --help'",
			       shown(cli_argument(cli, (size_t)command->max)), command->name);
	if (command->max >= 0 && count > (size_t)command->max)
		return err_set(err, CLI_USAGE, "'%s' is one argument too many: see 'strata %s --help'",
			       shown(cli_argument(cli, (size_t)command->max)), command->name);
	return 0;
}

int options_parse(struct cli *cli, int argc, char **argv, char **ret_topic, struct err *err)
{
	struct parser parser = { .cli = cli, .argc = argc, .argv = argv, .next = 1 };
	int result = 0;

	while (parser.next < argc && result == 0)
		result = parse_word(&parser, argv[parser.next++], err);
	if (result == 0 && cli->command)
		result = check_count(cli, err);
	if (result == 0)
		*ret_topic = cli->command ? NULL : parser.topic ? take(parser.topic) : text_copy("");
	free(parser.topic);
	return result;
}

/* Asking. */

const char *cli_argument(const struct cli *cli, size_t i)
{
	return i < cli->arguments.values.count ? cli->arguments.values.items[i] : NULL;
}

size_t cli_argument_count(const struct cli *cli)
{
	return cli->arguments.values.count;
}

const char *cli_rest(const struct cli *cli, size_t i)
{
	return i < cli->arguments.rest.count ? cli->arguments.rest.items[i] : NULL;
}

bool cli_offers(const struct cli *cli, const char *option)
{
	return find_option(cli, option, strlen(option), 0);
}

const char *cli_value_at(const struct cli *cli, const char *option, size_t i)
{
	const struct cli_option *found = find_option(cli, option, strlen(option), 0);

	assert(found);
	for (size_t j = 0; j < cli->arguments.uses.count; j++)
		if (cli->arguments.uses.items[j].option == found && i-- == 0)
			return found->value ? cli->arguments.uses.items[j].value : "";
	return NULL;
}

const char *cli_value(const struct cli *cli, const char *option)
{
	return cli_value_at(cli, option, 0);
}

int64_t cli_duration(const struct cli *cli, const char *option)
{
	const char *text = cli_value(cli, option);
	int64_t ms = 0;
	struct err ignored;

	if (text)
		units_parse_duration(text, &ms, &ignored);
	return ms;
}

bool cli_has(const struct cli *cli, const char *option)
{
	return cli_value_at(cli, option, 0);
}

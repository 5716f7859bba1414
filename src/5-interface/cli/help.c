#include "5-interface/cli/help.h"

#include <string.h>

#include "base/str.h"

enum { LINE_COLUMNS = 80, NAME_COLUMNS = 24, OPTION_COLUMNS = 30 };

/* 'text' with line breaks between words, the first line beginning at column 'at', the others at 'indent'. */
static void wrap(FILE *out, const char *text, int indent, int at)
{
	while (*text) {
		int length = (int)strcspn(text, " ");

		if (at > indent && at + 1 + length > LINE_COLUMNS) {
			fprintf(out, "\n%*s", indent, "");
			at = indent;
		}
		fprintf(out, at > indent ? " %.*s" : "%.*s", length, text);
		at += length + (at > indent);
		text += length;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_title(const struct cli_title *titles, const char *option, FILE *out)
{
	for (; titles && titles->option; titles++)
		if (text_equal(titles->option, option))
			fprintf(out, "\n%s:\n", titles->title);
}

static void print_options(const struct cli_option *options, const struct cli_title *titles, FILE *out)
{
	for (; options && options->name; options++) {
		auto_free char *letter = options->letter ? text_format("-%c, ", options->letter) : text_copy("    ");
		auto_free char *left = options->value ? text_format("%s--%s %s", letter, options->name, options->value) :
			text_format("%s--%s", letter, options->name);
		int length = (int)strlen(left);

		print_title(titles, options->name, out);
		fprintf(out, "  %s", left);
		if (length > OPTION_COLUMNS - 2)
			fprintf(out, "\n%*s", OPTION_COLUMNS + 2, "");
		else
			fprintf(out, "%*s", OPTION_COLUMNS - length, "");
		wrap(out, options->doc, OPTION_COLUMNS + 2, OPTION_COLUMNS + 2);
	}
}

static void print_command_line(const struct cli_command *command, FILE *out)
{
	fprintf(out, "  %-*s %s\n", NAME_COLUMNS, command->name, command->summary);
}

void help_overview(FILE *out)
{
	fputs("Usage: strata [OPTION...] COMMAND [ARGUMENT...]\n\nRuns virtual machines and containers on this host, or on another.\n", out);
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		fprintf(out, "\n%s:\n", group->title);
		for (const struct cli_command *const *command = group->commands; *command; command++)
			if (!(*command)->is_hidden)
				print_command_line(*command, out);
	}
	fputs("\nOptions:\n", out);
	print_options(cli_global_options, NULL, out);
	fputs("\nBegin with:\n  strata image build tiny\n  strata run tiny web\n  strata console web\n"
	      "  strata run --container docker.io/library/busybox:1.36 -it\n\n"
	      "'strata COMMAND --help' explains a command. Exit codes: 0 ok, 1 failed, 2 wrong usage, 75 try again later.\n", out);
}

void help_topic(const char *topic, FILE *out)
{
	size_t length = strlen(topic);

	fprintf(out, "Usage: strata %s COMMAND [ARGUMENT...]\n\n", topic);
	for (const struct cli_group *group = cli_groups; group->title; group++)
		for (const struct cli_command *const *command = group->commands; *command; command++)
			if (strncmp((*command)->name, topic, length) == 0 && (*command)->name[length] == ' ')
				print_command_line(*command, out);
	fprintf(out, "\n'strata %s COMMAND --help' explains one.\n", topic);
}

void help_command(const struct cli_command *command, FILE *out)
{
	const char *arguments = command->arguments ? command->arguments : "";
	const char *space = command->arguments ? " " : "";

	if (command->options && command->options->name)
		fprintf(out, "Usage: strata %s [OPTION...]%s%s\n\n%s.\n", command->name, space, arguments, command->summary);
	else
		fprintf(out, "Usage: strata %s%s%s\n\n%s.\n", command->name, space, arguments, command->summary);
	if (command->more)
		wrap(out, command->more, 0, 0);
	if (command->options && command->options->name) {
		fputs("\nOptions:\n", out);
		print_options(command->options, command->titles, out);
	}
	if (command->examples) {
		fputs("\nExamples:\n", out);
		for (const char *const *example = command->examples; *example; example++)
			fprintf(out, "  %s\n", *example);
	}
	fputs("\n'strata --help' lists the options that every command has.\n", out);
}

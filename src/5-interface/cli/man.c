#include "5-interface/cli/help.h"

#include <ctype.h>
#include <string.h>

/* One line of text in roff: a '.' or '\'' in front would be a request, '\' an escape, '-' a hyphen. */
static void put_text(const char *text, FILE *out)
{
	if (text[0] == '.' || text[0] == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
	}
}

/* An argument of an mdoc macro: in quotes, so that words like "No" are not taken for macros. */
static void put_quoted(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputs("\\(dq", out);
		else if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void put_options(const struct cli_option *options, FILE *out)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (; options->name; options++) {
		fputs(".It ", out);
		if (options->letter)
			fprintf(out, "Fl %c , ", options->letter);
		fprintf(out, "Fl Fl %s", options->name);
		if (options->value) {
			fputs(" Ar ", out);
			put_quoted(options->value, out);
		}
		fputc('\n', out);
		put_text(options->doc, out);
		fputc('\n', out);
	}
	fputs(".El\n", out);
}

static void put_command(const struct cli_command *command, FILE *out)
{
	fprintf(out, ".It Nm strata Cm %s", command->name);
	if (command->arguments) {
		fputs(" Ar ", out);
		put_quoted(command->arguments, out);
	}
	fputc('\n', out);
	put_text(command->summary, out);
	fputs(".\n", out);
	if (command->more) {
		put_text(command->more, out);
		fputc('\n', out);
	}
	if (command->options && command->options->name)
		put_options(command->options, out);
	for (const char *const *example = command->examples; example && *example; example++) {
		fputs(".Dl ", out);
		put_text(*example, out);
		fputc('\n', out);
	}
}

void man_page(FILE *out)
{
	fputs(".Dd $Mdocdate$\n.Dt STRATA 1\n.Os\n.Sh NAME\n.Nm strata\n.Nd run virtual machines and containers\n"
	      ".Sh SYNOPSIS\n.Nm strata\n.Op Ar OPTION ...\n.Ar COMMAND\n.Op Ar ARGUMENT ...\n"
	      ".Sh DESCRIPTION\n.Nm\nspeaks with\n.Xr stratad 8 ,\nwhich runs virtual machines and containers on this host, or on another.\n"
	      "Options of every command:\n", out);
	put_options(cli_global_options, out);
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", group->title);
		for (const struct cli_command *const *command = group->commands; *command; command++)
			if (!(*command)->is_hidden)
				put_command(*command, out);
		fputs(".El\n", out);
	}
	fputs(".Sh ENVIRONMENT\n.Bl -tag -width STRATA_SOCKET\n.It Ev STRATA_SOCKET\nPath of the daemon's socket.\n"
	      ".It Ev STRATA_HOST , STRATA_CERT , STRATA_KEY , STRATA_CA\nAs\n.Fl Fl host , cert , key\nand\n.Fl Fl ca .\n.El\n"
	      ".Sh FILES\n.Bl -tag -width Ds\n.It Pa /run/strata/strata.sock\nThe daemon's socket.\n.El\n"
	      ".Sh EXIT STATUS\n0: done. 1: failed, with one line that says why. 2: wrong usage. 75: try again later. 130: interrupted.\n"
	      ".Nm strata Cm exec , attach\nand\n.Nm strata Cm run Fl it\nreturn the exit code of the command or container.\n"
	      ".Sh SEE ALSO\n.Xr stratad 8\n", out);
}

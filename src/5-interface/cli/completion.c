/*
 * The script holds the whole table as lists of words; names of instances, images, ... are asked
 * for with `ls -o name` when Tab is pressed.
 */
#include "5-interface/cli/help.h"

#include <string.h>

#include "base/str.h"

static void put_options(const struct cli_option *options, FILE *out)
{
	for (; options && options->name; options++)
		fprintf(out, " --%s", options->name);
}

/* First words, without repeats. */
static void put_first_words(FILE *out)
{
	auto_str struct str seen = { 0 };

	str_append(&seen, " ");
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		for (const struct cli_command *const *command = group->commands; *command; command++) {
			size_t length = strcspn((*command)->name, " ");
			auto_free char *word = text_format(" %.*s ", (int)length, (*command)->name);

			if ((*command)->is_hidden || strstr(seen.data, word))
				continue;
			str_append(&seen, word + 1);
			fprintf(out, "%s%.*s", seen.size > length + 2 ? " " : "", (int)length, (*command)->name);
		}
	}
}

/* The word of 'name' that follows 'prefix'; null when it does not begin so. */
static const char *word_after(const char *name, const char *prefix, size_t prefix_length)
{
	return strncmp(name, prefix, prefix_length) == 0 && name[prefix_length] == ' ' ? name + prefix_length + 1 : NULL;
}

/* ["image"]="ls show import": each word that may follow, once. */
static void put_words_after(const char *prefix, size_t prefix_length, FILE *out)
{
	auto_str struct str seen = { 0 };

	str_append(&seen, " ");
	fprintf(out, "\t['%.*s']=\"", (int)prefix_length, prefix);
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		for (const struct cli_command *const *command = group->commands; *command; command++) {
			const char *next = word_after((*command)->name, prefix, prefix_length);
			auto_free char *word = next ? text_format(" %.*s ", (int)strcspn(next, " "), next) : NULL;

			if (!word || strstr(seen.data, word))
				continue;
			fprintf(out, seen.size > 1 ? " %.*s" : "%.*s", (int)strcspn(next, " "), next);
			str_append(&seen, word + 1);
		}
	}
	fputs("\"\n", out);
}

/* For each "image", "volume" and "volume snapshot" the words that may follow. */
static void put_next_words(FILE *out)
{
	auto_str struct str seen = { 0 };

	str_append(&seen, "|");
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		for (const struct cli_command *const *command = group->commands; *command; command++) {
			const char *name = (*command)->name;

			for (const char *space = strchr(name, ' '); space; space = strchr(space + 1, ' ')) {
				auto_free char *prefix = text_format("|%.*s|", (int)(space - name), name);

				if (strstr(seen.data, prefix))
					continue;
				put_words_after(name, (size_t)(space - name), out);
				str_append(&seen, prefix + 1);
			}
		}
	}
}

static void put_details(FILE *out)
{
	for (const struct cli_group *group = cli_groups; group->title; group++) {
		for (const struct cli_command *const *command = group->commands; *command; command++) {
			if ((*command)->is_hidden)
				continue;
			fprintf(out, "\t['%s']=\"%s|", (*command)->name, (*command)->completes ? (*command)->completes : "");
			put_options((*command)->options, out);
			fputs("\"\n", out);
		}
	}
}

void completion_bash(FILE *out)
{
	fputs("# bash completion for strata(1). Made by `strata completion bash`.\n\n_strata()\n{\n"
	      "\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal first=\"", out);
	put_first_words(out);
	fputs("\"\n\tlocal -A next=(\n", out);
	put_next_words(out);
	fputs("\t)\n\tlocal -A details=(\n", out);
	put_details(out);
	fputs("\t)\n\tlocal global=\"", out);
	put_options(cli_global_options, out);
	fputs("\"\n\tlocal command= word i target=()\n\n"
	      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\tword=${COMP_WORDS[i]}\n"
	      "\t\tcase $word in\n"
	      "\t\t--socket|--host|--cert|--key|--ca) target+=(\"$word\" \"${COMP_WORDS[i+1]}\"); ((i++));;\n"
	      "\t\t-*) ;;\n"
	      "\t\t*) if [[ -z $command ]]; then command=$word; elif [[ -n ${next[$command]} ]]; then command+=\" $word\"; fi;;\n"
	      "\t\tesac\n"
	      "\tdone\n\n"
	      "\tif [[ -z $command ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$first $global\" -- \"$current\"))\n"
	      "\telif [[ -n ${next[$command]} ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"${next[$command]}\" -- \"$current\"))\n"
	      "\telif [[ $current == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"${details[$command]#*|} $global\" -- \"$current\"))\n"
	      "\telse\n"
	      "\t\tcase ${details[$command]%%|*} in\n"
	      "\t\tinstances) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\timages) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" image ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\tvolumes) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" volume ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\tnetworks) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" network ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\tpools) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" pool ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\tfile) COMPREPLY=($(compgen -f -- \"$current\"));;\n"
	      "\t\tesac\n"
	      "\tfi\n}\ncomplete -o filenames -o bashdefault -F _strata strata\n", out);
}

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

/* "image:ls show import" for each first word of names of two. */
static void put_second_words(FILE *out)
{
	const char *topic = "";
	size_t topic_length = 0;

	for (const struct cli_group *group = cli_groups; group->title; group++) {
		for (const struct cli_command *const *command = group->commands; *command; command++) {
			const char *name = (*command)->name, *space = strchr(name, ' ');

			if (!space)
				continue;
			if ((size_t)(space - name) != topic_length || memcmp(topic, name, topic_length) != 0) {
				fprintf(out, topic_length ? "\"\n\t[%.*s]=\"%s" : "\t[%.*s]=\"%s", (int)(space - name), name, space + 1);
				topic = name;
				topic_length = (size_t)(space - name);
			} else {
				fprintf(out, " %s", space + 1);
			}
		}
	}
	fputs("\"\n", out);
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
	fputs("\"\n\tlocal -A second=(\n", out);
	put_second_words(out);
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
	      "\t\t*) if [[ -z $command ]]; then command=$word; elif [[ -n ${second[$command]} ]]; then command+=\" $word\"; fi;;\n"
	      "\t\tesac\n"
	      "\tdone\n\n"
	      "\tif [[ -z $command ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$first $global\" -- \"$current\"))\n"
	      "\telif [[ -n ${second[$command]} ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"${second[$command]}\" -- \"$current\"))\n"
	      "\telif [[ $current == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"${details[$command]#*|} $global\" -- \"$current\"))\n"
	      "\telse\n"
	      "\t\tcase ${details[$command]%%|*} in\n"
	      "\t\tinstances) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\timages) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" image ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\tvolumes) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" volume ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\tnetworks) COMPREPLY=($(compgen -W \"$(strata \"${target[@]}\" network ls -o name 2>/dev/null)\" -- \"$current\"));;\n"
	      "\t\tfile) COMPREPLY=($(compgen -f -- \"$current\"));;\n"
	      "\t\tesac\n"
	      "\tfi\n}\ncomplete -o filenames -o bashdefault -F _strata strata\n", out);
}

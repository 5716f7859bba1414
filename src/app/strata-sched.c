/* strata-sched - replays recorded and made-up work through 3-scheduling, to measure decisions before they matter. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "3-scheduling/policy.h"
#include "app/sched/sched.h"
#include "base/mem.h"
#include "base/str.h"

static const char usage[] =
	"usage: strata-sched replay --nodes FILE --arrivals FILE [--policy NAME] [--learn] [--out FILE] [--explain SEQ]\n"
	"       strata-sched vmtrace --servers N --vms FILE (--start ROW [--explain SEQ] | --starts FILE) [--policy NAME]\n"
	"       strata-sched synth --nodes N --requests M [--policy NAME [--explain SEQ] | --scan portable|avx2|avx512]\n"
	"                    [--filters all] [--random]\n"
	"       strata-sched lifetime --vms FILE [--classes 900,3600,86400]\n"
	"       strata-sched policies\n"
	"\n"
	"replay    requests that arrive and stay, over CPU, memory and GPUs (files of fgd_eval.py --export)\n"
	"vmtrace   machines that arrive, wait, run and end, on servers of two NUMA nodes (columns cpu,mem,at,lt)\n"
	"synth     rates on a made-up cluster in 8 dimensions; without --policy exact best fit by its index\n"
	"lifetime  how well lifetime classes are foretold (columns cpu,mem,at,lt; if there: image,project,label)\n"
	"policies  lists the policies\n"
	"\n"
	"--learn        policies know the mix of requests only from those that arrived before\n"
	"--explain SEQ  says why request number SEQ (0 is the first) goes where it goes\n"
	"\n"
	"example: strata-sched replay --nodes nodes_42.csv --arrivals arrivals_42.csv --out placements.csv\n";

static int print_policies(const struct sched_options *options, struct err *err)
{
	const struct policy *policy;

	(void)options;
	(void)err;
	for (size_t i = 0; (policy = policy_at(i)) != NULL; i++)
		printf("%-14s  %s\n", policy->name, policy->summary);
	return 0;
}

static const struct command {
	const char *name;
	const char *takes;		/* Letters of 'flags'. */
	int (*run)(const struct sched_options *options, struct err *err);
} commands[] = {
	{ "replay", "naploe", sched_replay },
	{ "vmtrace", "svrSpe", sched_vmtrace },
	{ "synth", "nmpfcRe", sched_synth },
	{ "lifetime", "vC", sched_lifetime },
	{ "policies", "", print_policies },
};

static const struct option flags[] = {
	{ "nodes", required_argument, NULL, 'n' },	{ "arrivals", required_argument, NULL, 'a' },
	{ "policy", required_argument, NULL, 'p' },	{ "out", required_argument, NULL, 'o' },
	{ "explain", required_argument, NULL, 'e' },	{ "learn", no_argument, NULL, 'l' },
	{ "servers", required_argument, NULL, 's' },	{ "vms", required_argument, NULL, 'v' },
	{ "start", required_argument, NULL, 'r' },	{ "starts", required_argument, NULL, 'S' },
	{ "filters", required_argument, NULL, 'f' },	{ "classes", required_argument, NULL, 'C' },
	{ "requests", required_argument, NULL, 'm' },	{ "scan", required_argument, NULL, 'c' },
	{ "random", no_argument, NULL, 'R' },		{ "help", no_argument, NULL, 'h' },		{ 0 },
};

static int parse_number(const char *text, int64_t *ret_value, struct err *err)
{
	char *end;
	long long value = strtoll(text, &end, 10);

	if (end == text || *end || value < 0 || value > INT32_MAX)
		return err_set(err, -EINVAL, "'%s' is no number from 0 to %d", shown(text), INT32_MAX);
	*ret_value = value;
	return 0;
}

static int number_of(const char *flag, int64_t *ret_value, struct err *err)
{
	return parse_number(optarg, ret_value, err) < 0 ? err_prefix(err, "%s", flag) : 0;
}

/* 'given' becomes the letters of the options that were there. */
static int parse(int argc, char **argv, struct sched_options *options, char *given, struct err *err)
{
	int flag, r = 0;

	while (r == 0 && (flag = getopt_long(argc, argv, "h", flags, NULL)) >= 0) {
		switch (flag) {
		case 'n': options->nodes = optarg; break;
		case 'a': options->arrivals = optarg; break;
		case 'p': options->policy = optarg; break;
		case 'o': options->out = optarg; break;
		case 'l': options->is_learning = true; break;
		case 'v': options->vms = optarg; break;
		case 'S': options->starts = optarg; break;
		case 'f': options->filters = optarg; break;
		case 'C': options->classes = optarg; break;
		case 'c': options->scan = optarg; break;
		case 'R': options->is_random = true; break;
		case 'm': r = number_of("--requests", &options->requests, err); break;
		case 'e': r = number_of("--explain", &options->explain, err); break;
		case 's': r = number_of("--servers", &options->servers, err); break;
		case 'r': r = number_of("--start", &options->start, err); break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return err_set(err, -EINVAL, "see strata-sched --help");
		}
		if (!strchr(given, flag))
			given[strlen(given)] = (char)flag;
	}
	return r;
}

static int find_command(const char *name, const struct command **ret_command, struct err *err)
{
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
		if (text_equal(commands[i].name, name)) {
			*ret_command = &commands[i];
			return 0;
		}
	return err_set(err, -EINVAL, "command '%s' does not exist: see strata-sched --help", shown(name));
}

static int check_given(const struct command *command, const char *given, struct err *err)
{
	for (const struct option *flag = flags; flag->name; flag++)
		if (strchr(given, flag->val) && !strchr(command->takes, flag->val))
			return err_set(err, -EINVAL, "--%s is not an option of %s: see strata-sched --help", flag->name, command->name);
	return 0;
}

int main(int argc, char **argv)
{
	struct sched_options options = { .explain = -1, .start = -1 };
	char given[ARRAY_COUNT(flags) + 1] = "";
	const struct command *command = NULL;
	struct err err = { 0 };
	int r = parse(argc, argv, &options, given, &err);

	if (r == 0 && optind + 1 != argc)
		r = err_set(&err, -EINVAL, "give one command: see strata-sched --help");
	r = r ? r : find_command(argv[optind], &command, &err);
	r = r ? r : check_given(command, given, &err);
	/* A number of nodes for synth, a file for the others. */
	if (r == 0 && command->run == sched_synth && options.nodes)
		r = parse_number(options.nodes, &options.node_count, &err) < 0 ? err_prefix(&err, "--nodes") : 0;
	if (r < 0) {
		fprintf(stderr, "strata-sched: %s\n", err.msg);
		return 2;
	}
	r = command->run(&options, &err);
	if (r < 0)
		fprintf(stderr, "strata-sched: %s\n", err.msg);
	return r < 0 ? 1 : 0;
}

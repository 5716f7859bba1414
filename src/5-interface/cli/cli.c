#include "5-interface/cli/cli.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/each.h"
#include "5-interface/cli/help.h"
#include "5-interface/cli/options.h"
#include "base/clock.h"
#include "base/str.h"

#define DEFAULT_SOCKET "/run/strata/strata.sock"

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

void cli_complain(struct cli *cli, const struct err *err)
{
	fflush(cli->out);
	fprintf(cli->messages, "strata: %s\n", err->msg);
}

/* Option, else environment, else 'fallback'. */
static const char *setting(const struct cli *cli, const char *option, const char *variable, const char *fallback)
{
	const char *value = cli_value(cli, option);

	if (!value)
		value = getenv(variable);
	return value && value[0] ? value : fallback;
}

/* "https://ADDRESS:PORT", an IPv6 address in brackets. */
static int parse_host(struct cli *cli, const char *text, struct err *err)
{
	char *host, *colon;

	if (!text_starts_with(text, "https://"))
		return err_set(err, CLI_USAGE, "--host: '%s' is not of the form https://ADDRESS:PORT", shown(text));
	cli->host_text = text_copy(text + strlen("https://"));
	host = cli->host_text;
	host[strcspn(host, "/")] = '\0';
	colon = strrchr(host, ':');
	if (!colon || colon == host || !colon[1] || strchr(colon, ']'))
		return err_set(err, CLI_USAGE, "--host: '%s' names no port: use https://ADDRESS:PORT", shown(text));
	*colon = '\0';
	if (host[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	cli->target.host = host;
	cli->target.port = colon + 1;
	return 0;
}

/* A socket that is named wins over a host from the environment. */
static int find_daemon(struct cli *cli, struct err *err)
{
	const char *host = cli_value(cli, "host");

	cli->target.socket = setting(cli, "socket", "STRATA_SOCKET", DEFAULT_SOCKET);
	cli->target.certificate = setting(cli, "cert", "STRATA_CERT", NULL);
	cli->target.key = setting(cli, "key", "STRATA_KEY", NULL);
	cli->target.authority = setting(cli, "ca", "STRATA_CA", NULL);
	if (!host && !cli_value(cli, "socket"))
		host = setting(cli, "host", "STRATA_HOST", NULL);
	return host ? parse_host(cli, host, err) : 0;
}

static int run_command(struct cli *cli, struct err *err)
{
	int result = find_daemon(cli, err);

	return result < 0 ? result : cli->command->run(cli, err);
}

static int run_line(struct cli *cli, int argc, char **argv, struct err *err)
{
	auto_free char *topic = NULL;
	int result = options_parse(cli, argc, argv, &topic, err);

	if (result < 0)
		return result;
	if (cli_has(cli, "version") && !cli->command) {
		fprintf(cli->out, "strata %s\n", STRATA_VERSION);
		return 0;
	}
	if (cli->command && !cli_has(cli, "help"))
		return run_command(cli, err);
	if (cli->command)
		help_command(cli->command, cli->out);
	else if (topic[0])
		help_topic(topic, cli_has(cli, "help") ? cli->out : cli->messages);
	else
		help_overview(cli_has(cli, "help") ? cli->out : cli->messages);
	return cli_has(cli, "help") ? 0 : EXIT_USAGE;
}

static int exit_code_of(struct cli *cli, int result, const struct err *err)
{
	if (result >= 0)
		return result;
	if (result == -EPIPE)		/* Nobody reads our output any more: `strata logs web | head`. */
		return 1;
	cli_complain(cli, err);
	return result == CLI_USAGE ? EXIT_USAGE : result == -EINTR ? EXIT_INTERRUPTED : err_exit_code(result);
}

int cli_main(int argc, char **argv, const struct cli_doors *doors, FILE *out, FILE *messages)
{
	struct cli cli = { .doors = doors, .out = out, .messages = messages, .started_ms = clock_monotonic_ms() };
	struct err err;
	int result;

	setlocale(LC_CTYPE, "C.UTF-8");		/* For wcwidth(3). */
	signal(SIGPIPE, SIG_IGN);
	result = exit_code_of(&cli, run_line(&cli, argc, argv, &err), &err);
	if (fflush(out) != 0 && result == 0) {
		if (errno != EPIPE)
			fprintf(messages, "strata: write the output: %s\n", strerror(errno));
		result = 1;
	}
	client_free(cli.client);
	free(cli.host_text);
	vec_done(&cli.arguments.values);
	vec_done(&cli.arguments.rest);
	vec_done(&cli.arguments.uses);
	return result;
}

#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"

static const struct kind *network_kind(void)
{
	return &kinds[KIND_NETWORK];
}

static int run_ls(struct cli *cli, struct err *err)
{
	return output_list(cli, &(struct output_list){ .kind = network_kind(), .path = "/v1/networks" }, err);
}

static int run_show(struct cli *cli, struct err *err)
{
	return resource_show(cli, network_kind(), err);
}

static int run_rm(struct cli *cli, struct err *err)
{
	return resource_rm(cli, network_kind(), err);
}

static int run_set(struct cli *cli, struct err *err)
{
	return resource_set(cli, network_kind(), err);
}

static int run_create(struct cli *cli, struct err *err)
{
	struct json *spec = json_new_object();

	set_from_option(cli, "ipv4", spec, "ipv4");
	set_from_option(cli, "ipv6", spec, "ipv6");
	set_from_option(cli, "domain", spec, "domain");
	if (cli_value(cli, "mtu"))
		json_set(spec, "mtu", spec_number(cli_value(cli, "mtu")));
	if (cli_has(cli, "no-nat"))
		json_set(spec, "nat", json_new_bool(false));
	if (cli_has(cli, "no-dhcp"))
		json_set(spec, "dhcp", json_new_bool(false));
	return resource_create(cli, network_kind(), cli_argument(cli, 0), spec, err);
}

const struct cli_command command_network_ls = {
	.name = "network ls", .max = 0, .run = run_ls, .summary = "List networks",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata network ls"),
};

const struct cli_command command_network_show = {
	.name = "network show", .arguments = "NAME...", .min = 1, .max = -1, .completes = "networks", .run = run_show,
	.summary = "Show everything about a network",
	.options = OPTIONS(OUTPUT_OPTIONS),
	.examples = EXAMPLES("strata network show default"),
};

const struct cli_command command_network_create = {
	.name = "network create", .arguments = "NAME", .min = 1, .max = 1, .run = run_create,
	.summary = "Create a network",
	.more = "Without addresses, free private ones are chosen.",
	.options = OPTIONS({ "ipv4", '4', false, "ADDRESS/PREFIX", "The host's address in it, or 'none'." },
		{ "ipv6", '6', false, "ADDRESS/PREFIX", "Likewise for IPv6." },
		{ "no-nat", 0, false, NULL, "Do not hide it behind the host's address." },
		{ "no-dhcp", 0, false, NULL, "Give out no addresses." },
		{ "domain", 0, false, "NAME", "DNS domain of its instances (NAME.internal)." },
		{ "mtu", 0, false, "BYTES", "Largest packet." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata network create lab", "strata network create lab --ipv4 10.7.0.1/24 --ipv6 none --no-nat"),
};

const struct cli_command command_network_set = {
	.name = "network set", .arguments = "NAME FIELD=VALUE...", .min = 2, .max = -1, .completes = "networks", .run = run_set,
	.summary = "Change a network",
	.examples = EXAMPLES("strata network set lab nat=false", "strata network set lab label.owner=tests"),
};

const struct cli_command command_network_rm = {
	.name = "network rm", .arguments = "NAME...", .min = 1, .max = -1, .completes = "networks", .run = run_rm,
	.summary = "Remove networks",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata network rm lab"),
};

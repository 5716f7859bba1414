/* node label. */
#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "base/mem.h"
#include "base/str.h"

static int run_label(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("nodes", cli_argument(cli, 0), NULL);
	auto_json struct json *patch = json_new_object();
	struct json *labels = spec_member(spec_member(patch, "meta"), "labels");

	for (size_t i = 1; i < cli_argument_count(cli); i++) {
		const char *text = cli_argument(cli, i), *equal = strchr(text, '=');

		if (!equal || equal == text)
			return err_set(err, CLI_USAGE, "'%s' is not KEY=VALUE, nor KEY= to remove it", shown(text));
		auto_free char *key = text_copy_length(text, (size_t)(equal - text));
		json_set(labels, key, equal[1] ? json_new_string(equal + 1) : json_new_null());
	}
	return request_json(cli, "PATCH", path, patch, NULL, err);
}

const struct cli_command command_node_label = {
	.name = "node label", .arguments = "NAME KEY=VALUE...", .min = 2, .max = -1, .completes = "nodes", .run = run_label,
	.summary = "Label a host, so that instances can ask for it",
	.more = "KEY= removes a label. 'strata run --on-label KEY=VALUE' asks for it.",
	.examples = EXAMPLES("strata node label alpha disk=ssd zone=b", "strata node label alpha zone="),
};

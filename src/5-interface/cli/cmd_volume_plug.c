/* volume attach, detach: the disks of a vm. */
#include <string.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "base/str.h"
#include "model/instance.h"

enum { PLUG_WITHIN_MS = 5000 };

struct plug { const char *name, *uid; bool is_wanted; };

static bool is_plugged(const struct instance *instance, const char *uid)
{
	for (size_t i = 0; i < instance->status.attached.count; i++)
		if (text_equal(*field_list_at(&instance->status.attached, char *, i), uid))
			return true;
	return false;
}

static bool is_pending(const struct instance *instance, const char *name)
{
	for (size_t i = 0; i < instance->status.pending.count; i++)
		if (strstr(*field_list_at(&instance->status.pending, char *, i), name))
			return true;
	return false;
}

static int wait_until_plugged(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;
	const struct plug *plug = data;

	if (!instance || (instance->status.state != INSTANCE_RUNNING && instance->status.state != INSTANCE_PAUSED))
		return WAIT_DONE;
	if (is_plugged(instance, plug->uid) == plug->is_wanted)
		return WAIT_DONE;
	if (is_pending(instance, plug->name))
		return err_set(err, -ETIMEDOUT, "not before the next start");
	if (instance->status.reason)
		return err_set(err, -EIO, "%s", shown(instance->status.reason));
	return WAIT_MORE;
}

/* Some machines take no disks while they run: then nothing happens before the next start. */
static int wait_for_plug(struct cli *cli, const char *instance, struct plug *plug, const struct json *answer, struct err *err)
{
	auto_free char *path = request_path("instances", instance, NULL);
	int result = wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = path, .name = instance,
			      .look = wait_until_plugged, .data = plug, .revision = answer_revision(answer),
			      .default_timeout_ms = PLUG_WITHIN_MS }, err);

	if (result == -ETIMEDOUT) {
		fprintf(cli->messages, plug->is_wanted ?
			"volume '%s' is plugged in at the next start of '%s': to have it now, 'strata restart %s'\n" :
			"volume '%s' is unplugged at the next start of '%s': to have it now, 'strata restart %s'\n",
			plug->name, instance, instance);
		return 0;
	}
	return result;
}

static int plug(struct cli *cli, const char *instance, const char *operation, bool is_wanted, struct err *err)
{
	const char *name = cli_argument(cli, 0);
	auto_free char *volume_path = request_path("volumes", name, NULL);
	auto_free char *path = request_path("instances", instance, operation, NULL);
	auto_json struct json *body = json_new_object(), *volume = NULL, *answer = NULL;
	int result = request_json(cli, "GET", volume_path, NULL, &volume, err);

	json_set(body, "volume", json_new_string(name));
	if (cli_offers(cli, "read-only") && cli_has(cli, "read-only"))
		json_set(body, "read_only", json_new_bool(true));
	if (result == 0)
		result = request_json(cli, "POST", path, body, &answer, err);
	if (result < 0 || cli_has(cli, "no-wait"))
		return result;
	return wait_for_plug(cli, instance, &(struct plug){ .name = name, .is_wanted = is_wanted,
			     .uid = json_string(json_path(volume, "meta.uid"), "") }, answer, err);
}

static int run_attach(struct cli *cli, struct err *err)
{
	return plug(cli, cli_argument(cli, 1), "attach", true, err);
}

static int run_detach(struct cli *cli, struct err *err)
{
	auto_free char *path = request_path("volumes", cli_argument(cli, 0), NULL);
	const char *instance = cli_argument(cli, 1);
	auto_json struct json *volume = NULL;

	if (!instance) {
		int result = request_json(cli, "GET", path, NULL, &volume, err);

		if (result < 0)
			return result;
		instance = json_string(json_path(volume, "status.instance"), NULL);
	}
	if (!instance)
		return err_set(err, -EINVAL, "volume '%s' is not attached to anything", shown(cli_argument(cli, 0)));
	return plug(cli, instance, "detach", false, err);
}

const struct cli_command command_volume_attach = {
	.name = "volume attach", .arguments = "NAME INSTANCE", .min = 2, .max = 2, .completes = "volumes", .run = run_attach,
	.summary = "Plug a volume into an instance",
	.more = "At once where the machine can (q35), else at the next start; what waits for that is said.",
	.options = OPTIONS({ "read-only", 'r', false, NULL, "The guest may only read it." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume attach data web", "strata volume attach data web --read-only"),
};

const struct cli_command command_volume_detach = {
	.name = "volume detach", .arguments = "NAME [INSTANCE]", .min = 1, .max = 2, .completes = "volumes", .run = run_detach,
	.summary = "Unplug a volume",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata volume detach data"),
};

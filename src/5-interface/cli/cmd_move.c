/* move, node drain: instances go to other nodes. */
#include <errno.h>
#include <time.h>

#include "5-interface/cli/commands.h"
#include "5-interface/cli/resource.h"
#include "5-interface/cli/wait.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/instance.h"
#include "model/node.h"

static const struct timespec poll_pause = { .tv_nsec = 200 * 1000000 };

/* ---- One instance ---- */

struct moving { const char *name; int64_t serial; struct instance_move_status last; };

/* There when it is where it should be and that was this move. */
static int look(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;
	struct moving *moving = data;
	const struct instance_move_status *move = instance ? &instance->status.move : NULL;

	if (!instance)
		return err_set(err, -ENOENT, "it was removed meanwhile");
	if (move->serial < moving->serial)
		return WAIT_MORE;
	if (move->phase == MOVE_FAILED || move->serial > moving->serial)
		return err_set(err, -EIO, "it stays where it is: %s", move->reason ? move->reason : "another move was asked for");
	moving->last = *move;
	moving->last.reason = NULL;
	if (move->phase != MOVE_DONE || !text_equal(instance->status.node, instance->spec.node))
		return WAIT_MORE;
	/* What was stopped for it is started again over there. */
	return instance->spec.power == POWER_RUNNING && (instance->status.state == INSTANCE_STOPPED || instance->status.state == INSTANCE_STARTING) &&
	       instance->status.ended_serial < instance->spec.start_serial ? WAIT_MORE : WAIT_DONE;
}

static int64_t serial_of(const struct json *answer)
{
	return json_int(json_path(answer, "spec.move.serial"), 0);
}

static void print_moved(struct cli *cli, const struct moving *moving, bool is_live)
{
	char took[UNITS_TEXT_SIZE], down[UNITS_TEXT_SIZE];

	if (is_live)
		fprintf(cli->out, "%s moved in %s; it stood still for %s\n", moving->name, units_format_duration(moving->last.total, took),
			units_format_duration(moving->last.downtime, down));
	else
		fprintf(cli->out, "%s moved in %s\n", moving->name, units_format_duration(moving->last.total, took));
}

static int run_move(struct cli *cli, struct err *err)
{
	const char *name = cli_argument(cli, 0), *to = cli_argument(cli, 1);
	auto_free char *path = request_path("instances", name, "move", NULL), *object = request_path("instances", name, NULL);
	auto_json struct json *body = json_new_object(), *answer = NULL;
	struct moving moving = { .name = name };
	int result;

	if (cli_has(cli, "cancel") && to)
		return err_set(err, CLI_USAGE, "--cancel: takes a move back, leave out the node");
	if (to)
		json_set(body, "node", json_new_string(to));
	json_set(body, "cold", json_new_bool(cli_has(cli, "cold")));
	json_set(body, "postcopy", json_new_bool(cli_has(cli, "postcopy")));
	json_set(body, "cancel", json_new_bool(cli_has(cli, "cancel")));
	result = request_json(cli, "POST", path, body, &answer, err);
	if (result < 0 || cli_has(cli, "cancel") || cli_has(cli, "no-wait"))
		return result;
	moving.serial = serial_of(answer);
	result = wait_for(cli, &(struct wait){ .kind = &kinds[KIND_INSTANCE], .path = object, .name = name, .look = look, .data = &moving,
			  .revision = answer_revision(answer) }, err);
	if (result == 0)
		print_moved(cli, &moving, json_bool(json_path(answer, "spec.move.live"), false));
	return result;
}

/* ---- A whole node ---- */

static int set_draining(struct cli *cli, const char *name, bool is_draining, struct json **ret_answer, struct err *err)
{
	auto_free char *path = request_path("nodes", name, NULL);
	auto_json struct json *patch = json_new_object();

	json_set(spec_member(patch, "spec"), "draining", json_new_bool(is_draining));
	json_set(spec_member(patch, "spec"), "cordoned", json_new_bool(is_draining));
	return request_json(cli, "PATCH", path, patch, ret_answer, err);
}

struct left { size_t count, stuck; };

/* Null: it is on its way, or will be. */
static const char *why_it_stays(const struct json *instance)
{
	const char *stuck = json_string(json_path(instance, "status.stuck"), NULL), *lost = json_string(json_path(instance, "status.lost"), NULL);

	/* When its node is fenced it is started elsewhere. */
	return stuck || text_equal(json_string(json_path(instance, "spec.ha"), ""), "restart") ? stuck : lost;
}

/* How many are there still; of those that cannot go, why. */
static int count_left(struct cli *cli, const char *uid, bool must_print, struct left *ret_left, struct err *err)
{
	auto_json struct json *json = NULL;
	const struct json *items;
	int result = request_json(cli, "GET", "/v1/instances", NULL, &json, err);

	*ret_left = (struct left){ 0 };
	items = json_get(json, "items") ? json_get(json, "items") : json;
	for (size_t i = 0; result == 0 && i < json_count(items); i++) {
		const struct json *item = json_at(items, i);
		const char *reason = why_it_stays(item);

		if (!text_equal(json_string(json_path(item, "status.node"), ""), uid))
			continue;
		ret_left->count++;
		ret_left->stuck += reason != NULL;
		if (must_print && reason)
			fprintf(cli->messages, "%s stays: %s\n", json_string(json_path(item, "meta.name"), ""), shown(reason));
	}
	return result;
}

static int wait_until_empty(struct cli *cli, const char *name, const char *uid, struct err *err)
{
	int64_t end_ms = clock_monotonic_ms() + cli_duration(cli, "timeout");
	struct progress progress;
	struct left left = { 0 };
	int result;

	progress_begin(&progress, cli->messages, name);
	do {
		char step[64];

		result = count_left(cli, uid, false, &left, err);
		if (result < 0 || left.count == left.stuck)
			break;
		snprintf(step, sizeof(step), "%zu left", left.count);
		progress_step(&progress, step, 0, 0);
		progress_tick(&progress);
		nanosleep(&poll_pause, NULL);
		if (cli_has(cli, "timeout") && clock_monotonic_ms() >= end_ms)
			result = err_set(err, -ETIMEDOUT, "%zu instances are there still; they go on moving", left.count);
	} while (result == 0);
	progress_end(&progress);
	if (result == 0)
		result = count_left(cli, uid, true, &left, err);
	if (result == 0 && left.count)
		return err_set(err, -EBUSY, "node '%s': %zu could not move", name, left.count);
	return result;
}

static int run_drain(struct cli *cli, struct err *err)
{
	const char *name = cli_argument(cli, 0);
	auto_json struct json *answer = NULL;
	int result = set_draining(cli, name, true, &answer, err);

	if (result == 0 && !cli_has(cli, "no-wait"))
		result = wait_until_empty(cli, name, json_string(json_path(answer, "meta.uid"), ""), err);
	if (result == 0 && !cli_has(cli, "no-wait"))
		fprintf(cli->out, "%s is empty; 'strata node uncordon %s' lets it take instances again\n", name, name);
	return result;
}

const struct cli_command command_move = {
	.name = "move", .arguments = "NAME [NODE]", .min = 1, .max = 2, .completes = "instances", .run = run_move,
	.summary = "Move an instance to another host",
	.more = "A machine that runs goes on running; a container is stopped, moved and started. Without NODE it goes where there is room. "
		"When something is in the way it stays where it is, as if nothing had been.",
	.options = OPTIONS({ "cold", 0, false, NULL, "Stop it, move it, start it." },
		{ "postcopy", 0, false, NULL, "Let a busy machine go on over there before all its memory is there; a link that breaks then ends it." },
		{ "cancel", 0, false, NULL, "Take back the move that is under way." }, WAIT_OPTIONS),
	.examples = EXAMPLES("strata move web beta", "strata move db beta --cold", "strata move web --cancel"),
};

const struct cli_command command_node_drain = {
	.name = "node drain", .arguments = "NAME", .min = 1, .max = 1, .completes = "nodes", .run = run_drain,
	.summary = "Move everything away from a host; it takes nothing new",
	.more = "What cannot move is named with the reason; then the exit code is not 0. 'strata what-if drain' says it before.",
	.options = OPTIONS(WAIT_OPTIONS),
	.examples = EXAMPLES("strata node drain alpha", "strata node drain alpha --timeout 10m"),
};

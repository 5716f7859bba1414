#include "host.h"

#include <errno.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "2-virtualization/images/source.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/work.h"
#include "port/store.h"

static int64_t machine_clock(void *data)
{
	struct host *host = data;

	return host->loop ? loop_wall_ms(host->loop) : host->wall_ms;
}

void host_init(struct host *host, uint64_t seed)
{
	struct store_params params = { 0 };
	struct err err = { 0 };

	*host = (struct host){ .wall_ms = 1700000000000, .machines = sim_machines_new(), .volumes = sim_volumes_new(),
			       .fabric = sim_fabric_new() };
	rng_init(&host->rng, seed);
	rng_init(&host->fault.rng, seed + 1);
	strcpy(host->directory, "/tmp/strata-scenario-XXXXXX");
	strcpy(host->boot_id, "boot-1");
	assert_non_null(mkdtemp(host->directory));
	assert_int_equal(store_memory.open(&params, &host->store_driver, &err), 0);
	sim_machines_set_clock(host->machines, machine_clock, host);
	sim_machines_on_snapshot(host->machines, sim_volumes_take_snapshot, host->volumes);
}

void host_done(struct host *host)
{
	struct err err = { 0 };

	host_crash(host);
	sim_machines_free(host->machines);
	sim_volumes_free(host->volumes);
	sim_fabric_free(host->fabric);
	host->store_driver->ops->close(host->store_driver);
	file_remove_tree(host->directory, &err);
}

static void open_drivers(struct host *host)
{
	struct machine_params machine = { .world = host->machines, .fault = &host->fault, .directory = host->directory };
	struct volume_params volume = { .world = host->volumes, .fault = &host->fault, .directory = host->directory };
	struct fabric_params fabric = { .world = host->fabric, .fault = &host->fault, .node_tag = "0abc" };
	struct err err = { 0 };

	assert_int_equal(machine_sim.open(&machine, &host->machine_driver, &err), 0);
	assert_int_equal(volume_sim.open(&volume, &host->volume_driver, &err), 0);
	assert_int_equal(fabric_sim.open(&fabric, &host->fabric_driver, &err), 0);
}

/* All pools are of the one world of simulated volumes. */
static int open_pool(void *data, const struct pool *pool, struct volume_driver **ret_driver, char **ret_path, struct err *err)
{
	struct host *host = data;
	struct volume_params params = { .world = host->volumes, .fault = &host->fault, .directory = host->directory };

	if (text_equal(pool->spec.source, "/broken"))
		return err_set(err, -EROFS, "'/broken' is on a read-only file system: mount it writable");
	*ret_path = text_copy("/pool");
	return volume_sim.open(&params, ret_driver, err);
}

static int destroy_pool(void *data, const struct pool *pool, struct err *err)
{
	(void)data;
	(void)pool;
	(void)err;
	return 0;
}

void host_start(struct host *host)
{
	struct store_params store = { .shared = host->store_driver };
	struct core_params params = {
		.rng = &host->rng, .directory = host->directory, .node_uid = "node-1", .node_tag = "0abc", .boot_id = host->boot_id,
		.version = "test", .images = &image_source_sim,
	};
	struct err err = { 0 };

	host->fault.has_crashed = false;
	assert_int_equal(loop_new(LOOP_CLOCK_VIRTUAL, host->wall_ms, &host->loop, &err), 0);
	host->work = work_new(host->loop, 0);
	host->view = view_new();
	open_drivers(host);
	assert_int_equal(store_open(&store_memory, &store, host->loop, &host->store, &err), 0);
	params.loop = host->loop;
	params.work = host->work;
	params.store = host->store;
	params.machines[INSTANCE_VM] = params.machines[INSTANCE_CONTAINER] = host->machine_driver;
	params.volume = host->volume_driver;
	params.pools = (struct pool_source){ .open = open_pool, .destroy = destroy_pool, .data = host };
	params.fabric = host->fabric_driver;
	params.view = host->view;
	if (core_new(&params, &host->core, &err) < 0)
		fail_msg("core_new: %s", err.msg);
	core_start(host->core);
}

void host_crash(struct host *host)
{
	if (!host->loop)
		return;
	host->wall_ms = loop_wall_ms(host->loop);
	host->fault.has_crashed = true;		/* Nothing below may change the world any more. */
	work_free(host->work);
	core_free(host->core);
	store_abandon(host->store);
	host->machine_driver->ops->close(host->machine_driver);
	host->volume_driver->ops->close(host->volume_driver);
	host->fabric_driver->ops->close(host->fabric_driver);
	view_free(host->view);
	loop_free(host->loop);
	host->loop = NULL;
	host->core = NULL;
}

void host_reboot(struct host *host)
{
	host_crash(host);
	sim_machines_free(host->machines);
	sim_fabric_free(host->fabric);
	host->machines = sim_machines_new();
	host->fabric = sim_fabric_new();
	sim_machines_set_clock(host->machines, machine_clock, host);
	sim_machines_on_snapshot(host->machines, sim_volumes_take_snapshot, host->volumes);
	strcpy(host->boot_id, "boot-2");
}

bool host_run(struct host *host, uint64_t quiet_ms, uint64_t max_ms)
{
	uint64_t begin = loop_now_ms(host->loop), last_busy = begin;
	struct err err = { 0 };

	while (loop_now_ms(host->loop) - begin < max_ms) {
		bool has_run = loop_step(host->loop, 0);

		if (fault_step(&host->fault, "turn", &err) < 0 && host->fault.has_crashed)
			return false;
		if (!has_run)
			return true;
		if (!agent_is_settled(core_agent(host->core)))
			last_busy = loop_now_ms(host->loop);
		else if (loop_now_ms(host->loop) - last_busy > quiet_ms)
			return true;
	}
	return true;
}

void answer_done(struct answer *answer)
{
	json_free(answer->body);
	*answer = (struct answer){ 0 };
}

static void take_reply(struct call *call, struct call_reply *reply)
{
	struct answer *answer = call->data;
	struct err err = { 0 };

	if (answer) {
		answer->has_come = true;
		answer->code = reply->err.code;
		snprintf(answer->message, sizeof(answer->message), "%s", reply->err.code ? reply->err.msg : "");
		if (reply->body.size)
			assert_int_equal(json_parse(reply->body.data, reply->body.size, &answer->body, &err), 0);
	}
	call_reply_done(reply);
	call_free(call);
}

void host_send(struct host *host, enum call_op op, const char *kind, const char *name, const char *child, const char *body,
	       struct answer *answer)
{
	struct call *call = call_new(op);
	struct err err = { 0 };

	call->kind = kind ? kind_find(kind) : NULL;
	call->name = text_copy(name);
	call->child = text_copy(child);
	if (body && json_parse(body, strlen(body), &call->body, &err) < 0)
		fail_msg("bad body in test: %s", err.msg);
	call->reply = take_reply;
	call->data = answer;
	api_call(host->core, call);
}

int host_call(struct host *host, enum call_op op, const char *kind, const char *name, const char *child, const char *body)
{
	struct answer answer = { 0 };
	int code;

	host_send(host, op, kind, name, child, body, &answer);
	while (!answer.has_come && loop_step(host->loop, 0))
		;
	assert_true(answer.has_come);
	if (answer.code)
		print_message("answer: %s\n", answer.message);
	code = answer.code;
	answer_done(&answer);
	return code;
}

void host_do(struct host *host, enum call_op op, const char *kind, const char *name, const char *child, const char *body)
{
	assert_int_equal(host_call(host, op, kind, name, child, body), 0);
}

struct json *host_get(struct host *host, const char *folder, const char *name)
{
	auto_view_text struct view_text *text = view_get(host->view, folder, name);
	struct json *json = NULL;
	struct err err = { 0 };

	if (text)
		assert_int_equal(json_parse(text->bytes, text->size, &json, &err), 0);
	return json;
}

const char *host_state(struct host *host, const char *folder, const char *name)
{
	auto_json struct json *json = host_get(host, folder, name);
	const char *state = json_string(json_path(json, "status.state"), "");

	/* A static text of the model, so that nothing has to be freed. */
	for (size_t i = 0; instance_state_names[i]; i++)
		if (text_equal(instance_state_names[i], state))
			return instance_state_names[i];
	return strcmp(state, "ready") == 0 ? "ready" : strcmp(state, "importing") == 0 ? "importing" : "";
}

void host_make_image(struct host *host)
{
	host_do(host, CALL_CREATE, "image", NULL, NULL, "{\"meta\":{\"name\":\"tiny\"},\"spec\":{\"build\":\"tiny\"}}");
	assert_true(host_run(host, 2000, 60000));
	assert_string_equal(host_state(host, "images", "tiny"), "ready");
	host_do(host, CALL_CREATE, "image", NULL, NULL, "{\"meta\":{\"name\":\"busybox\"},\"spec\":{\"kind\":\"container\",\"build\":\"busybox\"}}");
	assert_true(host_run(host, 2000, 60000));
	assert_string_equal(host_state(host, "images", "busybox"), "ready");
}

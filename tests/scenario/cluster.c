#include "cluster.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "2-virtualization/images/source.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { CPUS = 16 };
#define MEMORY (UINT64_C(32) << 30)

void cluster_init(struct cluster *cluster, size_t count, uint64_t seed)
{
	*cluster = (struct cluster){ .count = count };
	sim_house_init(&cluster->house, seed, 1700000000000);
	/* Nothing in it has to outlast the test: memory is quicker than a disk. */
	snprintf(cluster->directory, sizeof(cluster->directory), "%s/strata-cluster-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(cluster->directory));
	for (size_t i = 0; i < count; i++) {
		auto_free char *directory = text_format("%s/%zu", cluster->directory, i);

		sim_host_init(&cluster->members[i].host, &cluster->house, (unsigned)i, directory, CPUS, MEMORY);
		cluster_start(cluster, i);
	}
}

void cluster_done(struct cluster *cluster)
{
	struct err err = { 0 };

	for (size_t i = 0; i < cluster->count; i++)
		cluster_kill(cluster, i);
	for (size_t i = 0; i < cluster->count; i++)
		sim_host_done(&cluster->members[i].host);
	sim_house_done(&cluster->house);
	file_remove_tree(cluster->directory, &err);
}

void cluster_kill(struct cluster *cluster, size_t i)
{
	struct member *member = &cluster->members[i];

	if (!member->core)
		return;
	sim_host_drop_work(&member->host);
	core_free(member->core);
	member->core = NULL;
	sim_host_close(&member->host);
	view_free(member->view);
}

/* Of what moves here all disks are in the shared pool; files beside them simulated instances do not have. */
static int get_nothing(void *data, const struct peer *peer, const char *path, int to_fd, const struct volume_progress *progress, struct err *err)
{
	(void)data;
	(void)to_fd;
	(void)progress;
	return err_set(err, -ENOENT, "%s: there is no %s", peer->name, path);
}

void cluster_start(struct cluster *cluster, size_t i)
{
	struct member *member = &cluster->members[i];
	struct sim_host *host = &member->host;
	struct err err = { 0 };

	sim_link_cut(host->link, false);
	if (member->core)
		return;
	if (sim_host_open(host, &err) < 0)
		fail_msg("host %zu: %s", i, err.msg);
	member->view = view_new();
	rng_init(&member->rng, rng_next(&cluster->house.rng));
	struct core_params params = {
		.loop = host->loop, .work = host->work, .store = host->store, .machines = { host->machine_driver, host->machine_driver },
		.volume = host->volume_driver, .pools = host->pools, .fabric = host->fabric_driver, .fence = host->fence_driver,
		.cgroups = { "/sim", "/sim" }, .images = &image_source_sim, .view = member->view, .rng = &member->rng,
		.directory = host->directory, .node_uid = host->uid, .node_tag = host->tag, .boot_id = host->boot_id, .version = "test",
		.inventory = &host->inventory, .peers = { .get = get_nothing },
	};
	if (core_new(&params, &member->core, &err) < 0)
		fail_msg("host %zu: %s", i, err.msg);
	core_start(member->core);
}

void cluster_power_off(struct cluster *cluster, size_t i)
{
	cluster_kill(cluster, i);
	sim_host_reboot(&cluster->members[i].host);
}

/* ---- Time ---- */

uint64_t cluster_now(const struct cluster *cluster)
{
	return loop_now_ms(cluster->house.loop);
}

static void is_over(void *data)
{
	*(bool *)data = true;
}

static bool never(struct cluster *cluster, void *data)
{
	(void)cluster, (void)data;
	return false;
}

bool cluster_run_until(struct cluster *cluster, bool (*is_true)(struct cluster *cluster, void *data), void *data, uint64_t max_ms)
{
	struct loop_source *timer = NULL;
	bool is_late = false, is_met = is_true(cluster, data);

	loop_add_timer(cluster->house.loop, max_ms, is_over, &is_late, &timer);
	while (!is_met && !is_late && !cluster->house.witness.broken[0]) {
		loop_step(cluster->house.loop, 0);
		is_met = is_true(cluster, data);
	}
	loop_remove(timer);
	return is_met;
}

bool cluster_run(struct cluster *cluster, uint64_t ms)
{
	cluster_run_until(cluster, never, NULL, ms);
	return !cluster->house.witness.broken[0];
}

/* ---- Calls ---- */

int cluster_leader(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->count; i++)
		if (cluster->members[i].core && core_is_leader(cluster->members[i].core))
			return (int)i;
	return -1;
}

static struct member *whom_to_ask(struct cluster *cluster)
{
	int leader = cluster_leader(cluster);

	for (size_t i = 0; leader < 0 && i < cluster->count; i++)
		if (cluster->members[i].core)
			leader = (int)i;
	return leader < 0 ? NULL : &cluster->members[leader];
}

struct asked { struct cluster *cluster; struct answer *answer; };

static void take_reply(struct call *call, struct call_reply *reply)
{
	auto_free struct asked *asked = call->data;
	struct answer *answer = asked->answer;
	struct err err = { 0 };

	asked->cluster->answers++;
	if (answer) {
		answer->has_come = true;
		answer->code = reply->forward.address ? -EAGAIN : reply->err.code;
		snprintf(answer->message, sizeof(answer->message), "%s", reply->err.code ? reply->err.msg : "");
		if (reply->body.size)
			assert_int_equal(json_parse(reply->body.data, reply->body.size, &answer->body, &err), 0);
	}
	call_reply_done(reply);
	call_free(call);
}

void cluster_send(struct cluster *cluster, enum call_op op, const char *kind, const char *name, const char *body, struct answer *answer)
{
	struct member *member = whom_to_ask(cluster);
	struct asked *asked;
	struct call *call;
	struct err err = { 0 };

	if (!member)
		return;
	call = call_new(op);
	asked = alloc(sizeof(*asked));
	*asked = (struct asked){ cluster, answer };
	call->kind = kind ? kind_find(kind) : NULL;
	call->name = text_copy(name);
	if (body && json_parse(body, strlen(body), &call->body, &err) < 0)
		fail_msg("bad body in test: %s", err.msg);
	call->reply = take_reply;
	call->data = asked;
	cluster->calls++;
	api_call(member->core, call);
}

static bool has_come(struct cluster *cluster, void *data)
{
	(void)cluster;
	return ((struct answer *)data)->has_come;
}

void cluster_do(struct cluster *cluster, enum call_op op, const char *kind, const char *name, const char *body)
{
	struct answer answer = { .code = -EAGAIN };

	for (int tries = 0; tries < 20 && (answer.code == -EAGAIN || answer.code == -EHOSTUNREACH); tries++) {
		answer = (struct answer){ 0 };
		cluster_send(cluster, op, kind, name, body, &answer);
		if (!cluster_run_until(cluster, has_come, &answer, 60000))
			fail_msg("no answer to %s %s", kind ? kind : "", body ? body : "");
		if (answer.code)
			cluster_run(cluster, 1000);
	}
	if (answer.code)
		fail_msg("%s: %s", body ? body : "", answer.message);
	answer_done(&answer);
}

struct json *cluster_get(struct cluster *cluster, const char *folder, const char *name)
{
	struct member *member = whom_to_ask(cluster);
	auto_view_text struct view_text *text = member ? view_get(member->view, folder, name) : NULL;
	struct json *json = NULL;
	struct err err = { 0 };

	if (text)
		assert_int_equal(json_parse(text->bytes, text->size, &json, &err), 0);
	return json;
}

char *cluster_state(struct cluster *cluster, const char *folder, const char *name)
{
	auto_json struct json *json = cluster_get(cluster, folder, name);

	return text_copy(json_string(json_path(json, "status.state"), ""));
}

int cluster_where(struct cluster *cluster, const char *instance)
{
	auto_json struct json *json = cluster_get(cluster, "instances", instance);

	return witness_where(&cluster->house.witness, json_string(json_path(json, "meta.uid"), ""));
}

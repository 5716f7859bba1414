/*
 * Death of a node, as kill -9 of its daemon in the simulation is: how long until another node leads and acknowledges a create, and
 * until an instance with 'ha: restart' runs elsewhere, when its node led and when it did not. All waits at their defaults. The floor is the
 * lease, which has to end before anybody may know.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "lib/hosts.h"

enum { ROUNDS = 3, NODES = 3, TIMEOUT_MS = 60000, LOOK_MS = 10 };
enum { LEADER_LEASE_MS = 3000, LEASE_MS = 5000, FENCE_MS = 3000 };	/* The defaults of 4-service/cluster/{peers,lease}.h. */

struct figures { struct samples leads, created, restarted, restarted_with_leader; };

static int make_pool(struct hosts *hosts, struct node *leader, struct err *err)
{
	auto_free char *folder = text_format("%s/shared", hosts->bench->folder), *body = NULL;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make '%s': %m", folder);
	body = text_format("{\"meta\":{\"name\":\"shared\"},\"spec\":{\"driver\":\"file\",\"shared\":true,\"source\":\"%s\"}}", folder);
	return node_call(leader, "POST", "/v1/pools", body, NULL, err);
}

/* Made at that node, and free to be elsewhere afterwards. Returns when it runs there. */
static int run_at(struct node *leader, const struct node *node, const char *name, struct err *err)
{
	auto_free char *body = text_format("{\"meta\":{\"name\":\"%s\"},\"spec\":{\"root_size\":\"1MiB\",\"pool\":\"shared\",\"nics\":[],"
					   "\"ha\":\"restart\",\"power\":\"running\",\"placement\":{\"node\":\"%s\"}}}", name, node->hostname);
	auto_free char *path = text_format("/v1/instances/%s", name);
	int r = node_call(leader, "POST", "/v1/instances", body, NULL, err);

	if (r == 0)
		r = node_wait_for(leader, path, "\"state\":\"running\"", 1, err);
	return r < 0 ? r : node_call(leader, "PATCH", path, "{\"spec\":{\"placement\":{\"node\":null}}}", NULL, err);
}

/* "", or the node that it runs at. */
static int read_node(struct node *asked, const char *name, char **ret_node, struct err *err)
{
	auto_free char *path = text_format("/v1/instances/%s", name);
	auto_str struct str answer = { 0 };
	auto_json struct json *json = NULL;
	int r = node_call(asked, "GET", path, NULL, &answer, err);

	if (r == 0)
		r = json_parse(answer.data, answer.size, &json, err);
	if (r == 0)
		*ret_node = text_copy(text_equal(json_string(json_path(json, "status.state"), ""), "running") ?
				      json_string(json_path(json, "status.node"), "") : "");
	return r;
}

static int wait_elsewhere(struct node *asked, const char *name, const char *before, struct err *err)
{
	double end = now_ms() + TIMEOUT_MS;

	for (;;) {
		auto_free char *node = NULL;
		int r = read_node(asked, name, &node, err);

		if (r < 0)
			return r;
		if (*node && !text_equal(node, before))
			return 0;
		if (now_ms() > end)
			return err_set(err, -ETIMEDOUT, "instance '%s' is not started elsewhere", name);
		usleep(LOOK_MS * 1000);
	}
}

/* An instance at 'victim', which dies. */
static int measure_restart(struct node *leader, struct node *victim, struct samples *samples, struct err *err)
{
	auto_free char *before = NULL;
	double start;
	int r = run_at(leader, victim, "one", err);

	if (r == 0)
		r = read_node(leader, "one", &before, err);
	if (r < 0)
		return r;
	start = now_ms();
	node_kill(victim);
	r = wait_elsewhere(leader, "one", before, err);
	samples_add(samples, now_ms() - start);
	return r;
}

static int wait_leads(struct hosts *hosts, struct node *asked, const struct node *before, struct err *err)
{
	double end = now_ms() + TIMEOUT_MS;
	struct node *leader = NULL;
	int r;

	while ((r = hosts_leader(hosts, asked, &leader, err)) == 0 && (!leader || leader == before)) {
		if (now_ms() > end)
			return err_set(err, -ETIMEDOUT, "no other node leads");
		usleep(LOOK_MS * 1000);
	}
	return r;
}

/* The one that leads has an instance, and dies; 'left' is the only one left, or all others are. */
static int measure_failover(struct hosts *hosts, struct node *leader, struct node *left, struct figures *figures, struct err *err)
{
	auto_free char *before = NULL;
	double start;
	int r = run_at(leader, leader, "two", err);

	if (r == 0)
		r = read_node(leader, "two", &before, err);
	if (r < 0)
		return r;
	start = now_ms();
	node_kill(leader);
	r = wait_leads(hosts, left, leader, err);
	samples_add(&figures->leads, now_ms() - start);
	if (r == 0)
		r = node_call(left, "POST", "/v1/instances", "{\"meta\":{\"name\":\"new\"},\"spec\":{\"root_size\":\"1MiB\",\"power\":\"stopped\"}}",
			      NULL, err);
	samples_add(&figures->created, now_ms() - start);
	if (r == 0)
		r = wait_elsewhere(left, "two", before, err);
	samples_add(&figures->restarted_with_leader, now_ms() - start);
	return r;
}

/* One dies that does not lead, then the one that leads; when there is little time only the latter. */
static int measure_round(const struct bench *bench, int round, struct figures *figures, struct err *err)
{
	auto_hosts struct hosts hosts;
	struct node *leader = NULL, *victim, *left;
	int r = hosts_start(&hosts, bench, 1, bench->is_quick ? 2 : NODES, round, err);

	if (r == 0)
		r = hosts_leader(&hosts, &hosts.nodes[0], &leader, err);
	if (r == 0)
		r = make_pool(&hosts, leader, err);
	if (r < 0)
		return r;
	left = leader == &hosts.nodes[0] ? &hosts.nodes[1] : &hosts.nodes[0];
	victim = leader == &hosts.nodes[2] ? &hosts.nodes[1] : &hosts.nodes[2];
	if (!bench->is_quick)
		r = measure_restart(leader, victim, &figures->restarted, err);
	return r < 0 ? r : measure_failover(&hosts, leader, left, figures, err);
}

static void print_restart(const char *promise, struct samples *samples)
{
	double seconds = samples_median(samples) / 1e3;

	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.1f s", seconds),
		.floor = cell("lease and fencing: %.1f s", (LEASE_MS + FENCE_MS) / 1e3),
		.comparison = cell("%+.1f s", seconds - (LEASE_MS + FENCE_MS) / 1e3),
		.target = "≤ 15 s",
	});
}

static void print(struct figures *figures)
{
	double leads = samples_median(&figures->leads) / 1e3, created = samples_median(&figures->created) / 1e3;

	row_print(&(struct row){
		.promise = "death of the node that leads, until another acknowledges a create",
		.measured = cell("%.1f s; leads after %.1f s", created, leads),
		.floor = cell("lease of the leader: %.1f s", LEADER_LEASE_MS / 1e3),
		.comparison = cell("%+.1f s", created - LEADER_LEASE_MS / 1e3),
		.target = "≤ 1 s more",
	});
	if (figures->restarted.values.count)
		print_restart("death of a node, until its instance with `ha: restart` runs elsewhere (sim)", &figures->restarted);
	print_restart("the same when that node led", &figures->restarted_with_leader);
}

static int measure(const struct bench *bench, struct err *err)
{
	struct figures figures = { 0 };
	int r = hosts_start_etcd(bench, 1, err);

	for (int i = 0; i < (bench->is_quick ? 1 : ROUNDS) && r == 0; i++)
		r = measure_round(bench, i, &figures, err);
	if (r == 0)
		print(&figures);
	samples_done(&figures.leads);
	samples_done(&figures.created);
	samples_done(&figures.restarted);
	samples_done(&figures.restarted_with_leader);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

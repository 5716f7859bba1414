/*
 * From a change on one node to what another node does about it: an instance at the one is started by requests to the other, which
 * leads; against a put to etcd until etcd's watch tells it. It is seen through a long poll of the API of the node that acts: its readers are
 * told in the turn in which its agent is, and the agent begins with storing that it does (the state is another).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/mem.h"
#include "lib/hosts.h"
#include "lib/load.h"
#include "lib/wire.h"

enum { ROUNDS = 200, QUICK_ROUNDS = 40, TIMEOUT_MS = 20000, SETTLE_MS = 5 };

struct figures { struct samples acknowledged, known, begun, floor; };

/* The floor */

struct floor { struct wire watch, put; };

static void floor_close(struct floor *floor)
{
	wire_close(&floor->watch);
	wire_close(&floor->put);
}

static void write_key(struct str *out, const char *name, const char *key)
{
	str_printf(out, "\"%s\":\"", name);
	base64_encode(key, strlen(key), out);
	str_append_char(out, '"');
}

static int send_post(struct wire *wire, const char *path, const struct str *body, struct err *err)
{
	auto_str struct str request = { 0 };

	load_post(&request, path, body->data, body->size);
	return wire_send(wire, &request, err);
}

/* Returns when etcd has said that it watches. */
static int floor_open(struct floor *floor, struct err *err)
{
	auto_str struct str body = { 0 };
	int r = wire_open_port(&floor->watch, hosts_port(0), err);

	if (r == 0)
		r = wire_open_port(&floor->put, hosts_port(0), err);
	str_append(&body, "{\"create_request\":{");
	write_key(&body, "key", "/floor");
	str_append(&body, "}}");
	if (r == 0)
		r = send_post(&floor->watch, "/v3/watch", &body, err);
	while (r == 0 && !strstr(str_text(&floor->watch.in), "\"created\":true"))
		r = wire_receive(&floor->watch, err);
	return r;
}

static int measure_floor(struct floor *floor, struct samples *samples, struct err *err)
{
	auto_str struct str body = { 0 };
	double start = now_ms();
	const char *ignored;
	int r;

	str_append_char(&body, '{');
	write_key(&body, "key", "/floor");
	str_append_char(&body, ',');
	write_key(&body, "value", "changed");
	str_append_char(&body, '}');
	str_clear(&floor->watch.in);
	r = send_post(&floor->put, "/v3/kv/put", &body, err);
	while (r == 0 && !strstr(str_text(&floor->watch.in), "\"mod_revision\""))
		r = wire_receive(&floor->watch, err);
	samples_add(samples, now_ms() - start);
	return r < 0 ? r : wire_answer(&floor->put, &ignored, err);
}

/* Two nodes */

struct pair {
	struct wire leader, other;
	uint64_t revision;		/* Of the other's list of instances. */
};

static void pair_close(struct pair *pair)
{
	wire_close(&pair->leader);
	wire_close(&pair->other);
}

static int send_poll(struct pair *pair, struct err *err)
{
	auto_str struct str request = { 0 };
	auto_free char *path = text_format("/v1/instances?after=%llu&timeout=%ds", (unsigned long long)pair->revision, TIMEOUT_MS / 1000);

	load_get(&request, path);
	return wire_send(&pair->other, &request, err);
}

/* The list's own revision is its last member. */
static int read_poll(struct pair *pair, const char **ret_list, struct err *err)
{
	int r = wire_answer(&pair->other, ret_list, err);
	const char *last = NULL;

	if (r < 0)
		return r;
	for (const char *at = *ret_list; (at = strstr(at, "\"revision\":")); at++)
		last = at;
	if (!last)
		return err_set(err, -EIO, "a list without a revision");
	pair->revision = strtoull(last + strlen("\"revision\":"), NULL, 10);
	return 0;
}

static int wait_state(struct pair *pair, const char *state, struct err *err)
{
	auto_free char *wanted = text_format("\"state\":\"%s\"", state);
	double end = now_ms() + TIMEOUT_MS;
	const char *list = "";
	int r;

	do {
		r = send_poll(pair, err);
		if (r == 0)
			r = read_poll(pair, &list, err);
	} while (r == 0 && !strstr(list, wanted) && now_ms() < end);
	return r == 0 && !strstr(list, wanted) ? err_set(err, -ETIMEDOUT, "the instance is not '%s': %s", state, list) : r;
}

/* What the node that acts shows, as it changes; answers may come in any order. */
struct change { double start, acknowledged, known, begun; };

static int take_poll(struct pair *pair, struct change *change, struct err *err)
{
	double now = now_ms();
	const char *list;
	int r = read_poll(pair, &list, err);

	if (r < 0)
		return r;
	if (!change->known && strstr(list, "\"power\":\"running\""))
		change->known = now;
	if (!strstr(list, "\"state\":\"stopped\""))
		change->begun = now;
	return change->begun ? 0 : send_poll(pair, err);
}

static int take_answers(struct pair *pair, struct change *change, struct err *err)
{
	struct pollfd wanted[] = { { .fd = pair->leader.fd, .events = POLLIN }, { .fd = pair->other.fd, .events = POLLIN } };
	const char *ignored;
	int r = 0;

	if (poll(wanted, ARRAY_COUNT(wanted), TIMEOUT_MS) <= 0)
		return err_set(err, -ETIMEDOUT, "the other node does nothing");
	if (wanted[0].revents) {
		change->acknowledged = now_ms();
		r = wire_answer(&pair->leader, &ignored, err);
	}
	return r == 0 && wanted[1].revents ? take_poll(pair, change, err) : r;
}

static int send_verb(struct pair *pair, const char *verb, struct err *err)
{
	auto_free char *path = text_format("/v1/instances/web/%s", verb);
	auto_str struct str request = { 0 };

	load_post(&request, path, "{}", 2);
	return wire_send(&pair->leader, &request, err);
}

static int measure_start(struct pair *pair, struct figures *figures, struct err *err)
{
	struct change change = { 0 };
	int r = send_poll(pair, err);

	usleep(SETTLE_MS * 1000);		/* So that it waits already. */
	change.start = now_ms();
	if (r == 0)
		r = send_verb(pair, "start", err);
	while (r == 0 && (!change.acknowledged || !change.begun))
		r = take_answers(pair, &change, err);
	if (r < 0)
		return r;
	samples_add(&figures->acknowledged, change.acknowledged - change.start);
	samples_add(&figures->known, change.known - change.start);
	samples_add(&figures->begun, change.begun - change.start);
	return 0;
}

static int measure_once(struct pair *pair, struct floor *floor, struct figures *figures, struct err *err)
{
	const char *ignored;
	int r = measure_start(pair, figures, err);

	if (r == 0)
		r = wait_state(pair, "running", err);
	if (r == 0)
		r = measure_floor(floor, &figures->floor, err);
	if (r == 0)
		r = send_verb(pair, "stop", err);
	if (r == 0)
		r = wire_answer(&pair->leader, &ignored, err);
	return r < 0 ? r : wait_state(pair, "stopped", err);
}

/* An instance at the node that does not lead. */
static int create_there(struct node *leader, const struct node *other, struct err *err)
{
	auto_free char *body = text_format("{\"meta\":{\"name\":\"web\"},\"spec\":{\"root_size\":\"1MiB\",\"power\":\"stopped\",\"nics\":[],"
					   "\"placement\":{\"node\":\"%s\"}}}", other->hostname);

	return node_call(leader, "POST", "/v1/instances", body, NULL, err);
}

static int measure_hosts(struct hosts *hosts, struct pair *pair, struct floor *floor, struct figures *figures, struct err *err)
{
	struct node *leader = NULL, *other;
	int r = hosts_leader(hosts, &hosts->nodes[0], &leader, err);

	if (r < 0)
		return r;
	other = leader == &hosts->nodes[0] ? &hosts->nodes[1] : &hosts->nodes[0];
	r = create_there(leader, other, err);
	if (r == 0)
		r = node_wait_for(other, "/v1/instances", "\"disk_ready\":true", 1, err);
	if (r == 0)
		r = wire_open_socket(&pair->leader, leader->socket, err);
	if (r == 0)
		r = wire_open_socket(&pair->other, other->socket, err);
	if (r == 0)
		r = wait_state(pair, "stopped", err);
	if (r == 0)
		r = floor_open(floor, err);
	for (int i = 0; i < (hosts->bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++)
		r = measure_once(pair, floor, figures, err);
	return r;
}

static void print(struct figures *figures)
{
	double known = samples_median(&figures->known), begun = samples_median(&figures->begun), floor = samples_median(&figures->floor);

	row_print(&(struct row){
		.promise = "start on one node, until the agent of another knows it",
		.measured = cell("%.2f ms; acknowledged after %.2f ms", known, samples_median(&figures->acknowledged)),
		.floor = cell("etcd, a put until its watch tells: %.2f ms", floor),
		.comparison = cell("%+.2f ms", known - floor),
		.target = "≤ 2 ms more",
	});
	row_print(&(struct row){
		.promise = "the same, until it has stored that it begins",
		.measured = cell("%.2f ms", begun),
		.floor = cell("twice that: %.2f ms", 2 * floor),
		.comparison = cell("%+.2f ms", begun - 2 * floor),
		.target = "none",
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_hosts struct hosts hosts = { 0 };
	struct pair pair = { .leader.fd = -1, .other.fd = -1 };
	struct floor floor = { .watch.fd = -1, .put.fd = -1 };
	struct figures figures = { 0 };
	int r = hosts_start_etcd(bench, 1, err);

	if (r == 0)
		r = hosts_start(&hosts, bench, 1, 2, 0, err);
	if (r == 0)
		r = measure_hosts(&hosts, &pair, &floor, &figures, err);
	if (r == 0)
		print(&figures);
	pair_close(&pair);
	floor_close(&floor);
	samples_done(&figures.acknowledged);
	samples_done(&figures.known);
	samples_done(&figures.begun);
	samples_done(&figures.floor);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

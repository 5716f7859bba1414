/*
 * Instances bound per second: many clients at the node that leads, each of which waits until its instance has a node and
 * is stored by a three-member etcd; against transactions of the same shape (as many instances, keys, guards and bytes in
 * each) sent to the same JSON gateway, over one connection as the store does, with and without watches. How many instances went into one transaction of
 * etcd is read from the revisions of their keys.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/mem.h"
#include "lib/hosts.h"
#include "lib/load.h"
#include "lib/wire.h"

enum { ROUNDS = 3, QUICK_ROUNDS = 1, MEMBERS = 3, NODES = 3, CLIENTS = 512, CREATES = 3000, QUICK_CREATES = 1000, WARM_UP = 200, KEY_BYTES = 64 };

/* What the nodes have written */

struct shape {
	size_t instances, txns;		/* Of etcd. */
	size_t keys, claims, bytes;	/* In all of these; bytes of values. */
};

struct written { char *key; uint64_t revision; size_t bytes; };
struct reading { VEC(struct written) all; VEC(uint64_t) revisions; };

static int note_key(void *data, const struct store_kv *kv, struct err *err)
{
	struct reading *reading = data;

	(void)err;
	*vec_push(&reading->all) = (struct written){ text_copy(kv->key), kv->create_revision, kv->value_size };
	if (text_starts_with(kv->key, "desired/instance/"))
		*vec_push(&reading->revisions) = kv->create_revision;
	return 0;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void sum_up(struct reading *reading, struct shape *shape)
{
	shape->instances = reading->revisions.count;
	if (shape->instances)
		qsort(reading->revisions.items, reading->revisions.count, sizeof(uint64_t), compare);
	for (size_t i = 0; i < reading->revisions.count; i++)
		shape->txns += i == 0 || reading->revisions.items[i] != reading->revisions.items[i - 1];
	for (size_t i = 0; i < reading->all.count; i++) {
		const struct written *written = &reading->all.items[i];

		if (!bsearch(&written->revision, reading->revisions.items, reading->revisions.count, sizeof(uint64_t), compare))
			continue;
		shape->keys++;
		shape->claims += text_starts_with(written->key, "claim/");
		shape->bytes += written->bytes;
	}
}

static int read_shape(struct hosts *hosts, struct shape *ret_shape, struct err *err)
{
	struct reading reading = { 0 };
	struct store *store = NULL;
	struct loop *loop = NULL;
	uint64_t revision;
	int r = loop_new(LOOP_CLOCK_REAL, 0, &loop, err);

	*ret_shape = (struct shape){ 0 };
	if (r == 0)
		r = hosts_open_store(hosts, loop, &store, err);
	if (r == 0)
		r = store_range(store, "", note_key, &reading, &revision, err);
	if (r == 0)
		sum_up(&reading, ret_shape);
	store_close(store);
	if (loop)
		loop_free(loop);
	for (size_t i = 0; i < reading.all.count; i++)
		free(reading.all.items[i].key);
	vec_done(&reading.all);
	vec_done(&reading.revisions);
	return r == 0 && !ret_shape->txns ? err_set(err, -EIO, "no instance is stored") : r;
}

/* The floor */

struct floor {
	size_t instances;		/* In each transaction ... */
	size_t guards, keys, bytes;	/* ... and of each instance. */
	const char *prefix;		/* Of the keys; "/watched": somebody is told of each. */
	struct str *requests;
	int round;
};

static void write_key(struct str *out, const struct floor *floor, size_t request, size_t instance, size_t key)
{
	char text[KEY_BYTES + 1];
	int size = snprintf(text, sizeof(text), "%s/%d/%zu/%zu/%zu/", floor->prefix, floor->round, request, instance, key);

	memset(text + size, 'k', KEY_BYTES - (size_t)size);
	str_append(out, "\"key\":\"");
	base64_encode(text, KEY_BYTES, out);
	str_append_char(out, '"');
}

static void write_instance(const struct floor *floor, struct str *out, size_t request, size_t instance)
{
	auto_free char *value = alloc(floor->bytes / floor->keys + 1);

	memset(value, 'x', floor->bytes / floor->keys);
	str_append(out, "{\"request_txn\":{\"compare\":[");
	for (size_t i = 0; i < floor->guards; i++) {
		str_append(out, i ? ",{" : "{");
		write_key(out, floor, request, instance, i);
		str_append(out, ",\"target\":\"VERSION\",\"result\":\"EQUAL\",\"version\":\"0\"}");
	}
	str_append(out, "],\"success\":[");
	for (size_t i = 0; i < floor->keys; i++) {
		str_append(out, i ? ",{\"request_put\":{" : "{\"request_put\":{");
		write_key(out, floor, request, instance, i);
		str_append(out, ",\"value\":\"");
		base64_encode(value, floor->bytes / floor->keys, out);
		str_append(out, "\"}}");
	}
	str_append(out, "]}}");
}

static void write_txn(const struct floor *floor, struct str *out, size_t request)
{
	auto_str struct str body = { 0 };

	str_append(&body, "{\"success\":[");
	for (size_t i = 0; i < floor->instances; i++) {
		str_append(&body, i ? "," : "");
		write_instance(floor, &body, request, i);
	}
	str_append(&body, "]}");
	load_post(out, "/v3/kv/txn", body.data, body.size);
}

static void copy_request(void *data, uint64_t index, struct str *out)
{
	const struct floor *floor = data;

	str_append_bytes(out, floor->requests[index].data, floor->requests[index].size);
}

/* What is written is told to one reader at each member, as to the daemons. */
static int watch_member(size_t member, struct err *err)
{
	auto_wire struct wire wire = { .fd = -1 };
	auto_str struct str request = { 0 };
	static const char body[] = "{\"create_request\":{\"key\":\"L3dhdGNoZWQ=\",\"range_end\":\"L3dhdGNoZWU=\"}}";	/* "/watched" */
	int r = wire_open_port(&wire, hosts_port(member), err);

	load_post(&request, "/v3/watch", body, strlen(body));
	if (r == 0)
		r = wire_send(&wire, &request, err);
	while (r == 0) {
		str_clear(&wire.in);
		r = wire_receive(&wire, err);
	}
	return r;
}

/* They end with the namespace. */
static int start_watches(struct err *err)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		pid_t child = fork();

		if (child < 0)
			return err_set(err, -errno, "fork: %m");
		if (child == 0) {
			struct err ignored;

			watch_member(i, &ignored);
			_exit(1);
		}
	}
	return 0;
}

/* '*ret_per_second': instances. */
static int measure_floor(const struct shape *shape, const char *prefix, int round, double *ret_per_second, struct err *err)
{
	struct floor floor = {
		.instances = (shape->instances + shape->txns / 2) / shape->txns, .guards = shape->claims / shape->instances + 1,
		.keys = shape->keys / shape->instances, .bytes = shape->bytes / shape->instances, .prefix = prefix, .round = round,
	};
	struct load load = { .port = hosts_port(0), .connections = 1, .requests = shape->txns, .write = copy_request, .data = &floor, .status = 200 };
	struct load_result result = { 0 };
	int r;

	floor.requests = alloc_array(NULL, shape->txns, sizeof(*floor.requests));
	for (size_t i = 0; i < shape->txns; i++) {
		floor.requests[i] = (struct str){ 0 };
		write_txn(&floor, &floor.requests[i], i);
	}
	r = load_run(&load, &result, err);
	if (r == 0)
		*ret_per_second = load_rate(&load, &result) * (double)floor.instances;
	load_result_done(&result);
	for (size_t i = 0; i < shape->txns; i++)
		str_done(&floor.requests[i]);
	free(floor.requests);
	return r;
}

/* Creating */

struct creating { const struct hosts *hosts; const char *prefix; };

/* Evenly on all nodes: best fit alone would fill one after the other, and its agent's writes would go through the leader's connection. */
static void write_create(void *data, uint64_t index, struct str *out)
{
	const struct creating *creating = data;
	auto_free char *body = text_format("{\"meta\":{\"name\":\"%s%llu\"},\"spec\":{\"root_size\":\"1MiB\",\"power\":\"stopped\","
					   "\"placement\":{\"node\":\"%s\"}}}", creating->prefix, (unsigned long long)index,
					   creating->hosts->nodes[index % creating->hosts->node_count].hostname);

	load_post(out, "/v1/instances", body, strlen(body));
}

static int create(const struct hosts *hosts, const struct node *leader, const char *prefix, size_t count, double *ret_per_second, struct err *err)
{
	struct creating creating = { hosts, prefix };
	struct load load = { .socket = leader->socket, .connections = CLIENTS, .requests = count, .write = write_create, .data = &creating,
			     .status = 201 };
	struct load_result result = { 0 };
	int r = load_run(&load, &result, err);

	if (r == 0)
		*ret_per_second = load_rate(&load, &result);
	load_result_done(&result);
	return r;
}

struct figures { struct samples bound, floor, watched_floor, per_txn; };

static int measure_hosts(struct hosts *hosts, int round, struct figures *figures, struct err *err)
{
	bool is_quick = hosts->bench->is_quick;
	size_t count = is_quick ? QUICK_CREATES : CREATES;
	double bound = 0, floor = 0, watched_floor = 0;
	struct node *leader = NULL;
	struct shape shape = { 0 };
	int r = hosts_leader(hosts, &hosts->nodes[0], &leader, err);

	if (r == 0)
		r = create(hosts, leader, "w", WARM_UP, &bound, err);
	if (r == 0)
		r = create(hosts, leader, "i", count, &bound, err);
	if (r == 0)
		r = node_wait_for(leader, "/v1/instances", "\"disk_ready\":true", count + WARM_UP, err);
	if (r == 0)
		r = read_shape(hosts, &shape, err);
	if (r == 0)
		r = measure_floor(&shape, "/floor", round, &floor, err);
	if (r == 0)
		r = measure_floor(&shape, "/watched", round, &watched_floor, err);
	if (r < 0)
		return r;
	samples_add(&figures->bound, bound);
	samples_add(&figures->floor, floor);
	samples_add(&figures->watched_floor, watched_floor);
	samples_add(&figures->per_txn, (double)shape.instances / (double)shape.txns);
	return 0;
}

static int measure_round(const struct bench *bench, int round, struct figures *figures, struct err *err)
{
	auto_hosts struct hosts hosts;
	int r = hosts_start(&hosts, bench, MEMBERS, NODES, round, err);

	if (r == 0 && round == 0)
		r = start_watches(err);
	return r < 0 ? r : measure_hosts(&hosts, round, figures, err);
}

static void print(struct figures *figures)
{
	double bound = samples_median(&figures->bound), floor = samples_median(&figures->floor), per_txn = samples_median(&figures->per_txn);

	row_print(&(struct row){
		.promise = cell("instances bound, in an etcd of %d members, %d clients that wait", MEMBERS, CLIENTS),
		.measured = cell("%.0f/s, %.0f in a transaction", bound, per_txn),
		.floor = cell("etcd's own, as many in a transaction: %.0f/s; told to %d watches %.0f/s", floor, MEMBERS,
			      samples_median(&figures->watched_floor)),
		.comparison = cell("%.0f%%", bound / floor * 100),
		.target = "≥ 80%, ≥ 50 in a transaction",
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	struct figures figures = { 0 };
	int r = hosts_start_etcd(bench, MEMBERS, err);

	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++)
		r = measure_round(bench, i, &figures, err);
	if (r == 0)
		print(&figures);
	samples_done(&figures.bound);
	samples_done(&figures.floor);
	samples_done(&figures.watched_floor);
	samples_done(&figures.per_txn);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

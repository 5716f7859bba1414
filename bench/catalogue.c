/*
 * Memory of stratad for each object it knows: its store is filled with nodes and instances (copies of real ones, with names, addresses
 * and claims of their own), all of them at other nodes, so that nothing but knowing them is measured; against a daemon with none.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "2-virtualization/objects/objects.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lib/node.h"
#include "model/instance.h"
#include "port/store.h"

enum { NODES = 10000, INSTANCES = 100000, QUICK_SHARE = 10, PROC_BYTES = 64 << 10, IN_FLIGHT = 1000 };

static const char instance_body[] =
	"{\"meta\":{\"name\":\"web\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"root_size\":\"1GiB\",\"power\":\"running\"}}";

static int read_rss(const struct node *node, double *ret_bytes, struct err *err)
{
	auto_free char *path = text_format("/proc/%d/status", node->pid);
	auto_str struct str text = { 0 };
	int r = file_read_all(path, PROC_BYTES, &text, err);
	const char *found = strstr(str_text(&text), "\nVmRSS:");

	if (r < 0)
		return r;
	*ret_bytes = found ? strtod(found + strlen("\nVmRSS:"), NULL) * 1024 : 0;
	return 0;
}

/* What a real one looks like */

struct templates { struct instance *instance; void *node; };

struct wanted { const struct kind *kind; void *object; };

static int take_one(void *data, const struct store_kv *kv, struct err *err)
{
	struct wanted *wanted = data;
	const struct kind *kind = wanted->kind;
	auto_json struct json *json = NULL;
	int r = json_parse(kv->value, kv->value_size, &json, err);

	if (r < 0)
		return r;
	if (text_starts_with(kv->key, "desired/"))
		return kind_decode(kind, json, FIELD_STORED, wanted->object, err);
	return field_decode(kind->status, json, FIELD_STORED, "status", kind_status(kind, wanted->object), err);
}

static int read_template(struct store *store, enum kind_id kind, void **ret_object, struct err *err)
{
	auto_free char *desired = text_format("desired/%s/", kinds[kind].name), *observed = text_format("observed/%s/", kinds[kind].name);
	struct wanted wanted = { &kinds[kind], kind_new(&kinds[kind]) };
	uint64_t revision;
	int r;

	*ret_object = wanted.object;
	r = store_range(store, desired, take_one, &wanted, &revision, err);
	return r < 0 ? r : store_range(store, observed, take_one, &wanted, &revision, err);
}

/* Copies */

struct filling {
	struct loop *loop;
	struct store *store;
	struct rng rng;
	VEC(char *) nodes;		/* uids */
	size_t pending;
	int code;
};

static void stored(void *data, const struct store_result *result)
{
	struct filling *filling = data;

	filling->pending--;
	filling->code = result->err.code ? result->err.code : filling->code;
}

static void put(struct filling *filling, const struct kind *kind, void *object)
{
	struct store_txn *txn = store_txn_new();
	auto_free char *key = text_format("observed/%s/%s", kind->name, kind_meta(object)->uid);
	auto_str struct str status = { 0 };
	struct json_writer writer = { .out = &status };

	field_encode(kind->status, kind_status(kind, object), &writer, NULL);
	objects_put_claims(txn, kind, NULL, object);
	objects_put_desired(txn, kind, object);
	store_txn_put(txn, key, status.data, status.size, 0);
	filling->pending++;
	store_submit(filling->store, txn, stored, filling);
	while (filling->pending > IN_FLIGHT)
		loop_step(filling->loop, -1);
}

static void rename_one(struct filling *filling, struct meta *meta, const char *prefix, size_t number)
{
	char uid[37];

	rng_uuid(&filling->rng, uid);
	text_replace(&meta->uid, uid);
	free(meta->name);
	meta->name = text_format("%s%zu", prefix, number);
}

static void put_node(struct filling *filling, void *node, size_t number)
{
	rename_one(filling, kind_meta(node), "host", number);
	*vec_push(&filling->nodes) = text_copy(kind_meta(node)->uid);
	put(filling, &kinds[KIND_NODE], node);
}

static void put_instance(struct filling *filling, struct instance *instance, size_t number)
{
	const char *node = filling->nodes.items[number % filling->nodes.count];

	rename_one(filling, &instance->meta, "web", number);
	text_replace(&instance->spec.node, node);
	text_replace(&instance->status.node, node);
	for (size_t i = 0; i < instance->spec.nics.count; i++) {
		struct instance_nic *nic = field_list_at(&instance->spec.nics, struct instance_nic, i);

		free(nic->ipv4);
		free(nic->ipv6);
		free(nic->mac);
		nic->ipv4 = text_format("10.%zu.%zu.%zu", number >> 16, number >> 8 & 0xff, number & 0xff);
		nic->ipv6 = text_format("fd00::%zx", number + 2);
		nic->mac = text_format("52:54:00:%02zx:%02zx:%02zx", number >> 16, number >> 8 & 0xff, number & 0xff);
		nic->number = (int64_t)number + 1;
	}
	put(filling, &kinds[KIND_INSTANCE], instance);
}

static int copy_all(struct filling *filling, const struct templates *templates, size_t nodes, size_t instances, struct err *err)
{
	for (size_t i = 0; i < nodes; i++)
		put_node(filling, templates->node, i);
	for (size_t i = 0; i < instances; i++)
		put_instance(filling, templates->instance, i + 1000);
	while (filling->pending)
		loop_step(filling->loop, -1);
	return filling->code < 0 ? err_set(err, filling->code, "filling the store: %s", strerror(-filling->code)) : 0;
}

static int fill(const struct node *node, size_t nodes, size_t instances, struct err *err)
{
	auto_free char *path = text_format("%s/store.db", node->state);
	struct filling filling = { 0 };
	struct templates templates = { 0 };
	void *found = NULL;
	int r = loop_new(LOOP_CLOCK_REAL, 0, &filling.loop, err);

	rng_init(&filling.rng, 1);
	if (r == 0)
		r = store_open(&store_sqlite, &(struct store_params){ .path = path }, filling.loop, &filling.store, err);
	if (r == 0)
		r = read_template(filling.store, KIND_NODE, &found, err);
	templates.node = take(found);
	if (r == 0)
		r = read_template(filling.store, KIND_INSTANCE, &found, err);
	templates.instance = found;
	if (r == 0)
		r = copy_all(&filling, &templates, nodes, instances, err);
	kind_free(&kinds[KIND_NODE], templates.node);
	kind_free(&kinds[KIND_INSTANCE], templates.instance);
	store_close(filling.store);
	if (filling.loop)
		loop_free(filling.loop);
	for (size_t i = 0; i < filling.nodes.count; i++)
		free(filling.nodes.items[i]);
	vec_done(&filling.nodes);
	return r;
}

/* Without any, and with the one that the others are copies of. */
static int measure_empty(struct node *node, double *ret_bytes, struct err *err)
{
	int r = node_start(node, NULL, err);

	if (r == 0)
		r = node_wait_for(node, "/v1/networks", "\"name\":\"default\"", 1, err);
	if (r == 0)
		r = node_call(node, "POST", "/v1/instances", instance_body, NULL, err);
	if (r == 0)
		r = node_wait_for(node, "/v1/instances", "\"state\":\"running\"", 1, err);
	if (r == 0)
		r = node_stop(node, err);
	if (r == 0)
		r = node_start(node, NULL, err);
	if (r == 0)
		r = read_rss(node, ret_bytes, err);
	return r < 0 ? r : node_stop(node, err);
}

static int measure(const struct bench *bench, struct err *err)
{
	size_t share = bench->is_quick ? QUICK_SHARE : 1, nodes = NODES / share, instances = INSTANCES / share;
	double empty = 0, full = 0, start_ms = 0, each;
	auto_node struct node node;
	int r;

	node_init(&node, bench, "node", true);
	r = measure_empty(&node, &empty, err);
	if (r == 0)
		r = fill(&node, nodes, instances, err);
	if (r == 0)
		r = node_start(&node, &start_ms, err);
	if (r == 0)
		r = read_rss(&node, &full, err);
	if (r < 0)
		return r;
	each = (full - empty) / (double)(nodes + instances);
	row_print(&(struct row){
		.promise = cell("memory (RSS) of stratad for each of %zu nodes and %zu instances it knows", nodes, instances),
		.measured = cell("%.0f bytes; %.0f MiB in all, started in %.1f s", each, full / 1048576, start_ms / 1e3),
		.floor = cell("without: %.1f MiB", empty / 1048576),
		.comparison = cell("%.1f times the target", each / 600),
		.target = "≤ 600 bytes",
	});
	return 0;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}

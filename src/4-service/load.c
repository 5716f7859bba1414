/*
 * load.c - how loaded the nodes are: for the scheduler, and for people.
 *
 * The note "cluster/telemetry-key" has the key by which members of the cluster hear each other; who can read the store is one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "4-service/cluster/peers.h"
#include "base/mem.h"

static const char key_name[] = "cluster/telemetry-key";

/* ---- What is to be known ---- */

void load_nodes_changed(struct core *core)
{
	const struct map *all = objects_all(core->objects, KIND_NODE);
	const struct note *key = objects_note(core->objects, key_name);
	auto_free struct load_node *nodes = alloc_array(NULL, all->count + 1, sizeof(*nodes));
	struct load_cluster cluster = { .key = key ? key->value : NULL, .may_use_rdma = core->config.telemetry.rdma, .nodes = nodes };

	if (!core->params.load.set_cluster)
		return;
	for (size_t i = 0; i < all->count; i++) {
		const struct node *node = all->entries[i].value;

		nodes[cluster.count++] = (struct load_node){ node->meta.uid, node->status.address };
	}
	core->params.load.set_cluster(core->params.load.data, &cluster);
}

static void key_changed(void *data, const char *key, const struct note *note)
{
	(void)key;
	(void)note;
	load_nodes_changed(data);
}

static void tell_instances(void *data)
{
	struct core *core = data;
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);
	auto_free struct load_instance *instances = alloc_array(NULL, all->count + 1, sizeof(*instances));
	size_t count = 0;

	core->is_load_stale = false;
	for (size_t i = 0; i < all->count; i++) {
		const struct instance *instance = all->entries[i].value;

		if ((instance->status.state == INSTANCE_RUNNING || instance->status.state == INSTANCE_PAUSED) &&
		    text_equal(objects_owner(core->objects, &kinds[KIND_INSTANCE], instance), core->node_uid))
			instances[count++] = (struct load_instance){ instance->meta.uid, instance->spec.kind == INSTANCE_CONTAINER };
	}
	core->params.load.set_instances(core->params.load.data, instances, count);
}

/* Once for all that changed together. */
void load_instances_changed(struct core *core)
{
	if (!core->params.load.set_instances || core->is_load_stale)
		return;
	core->is_load_stale = true;
	loop_post(core->params.loop, tell_instances, NULL, core);
}

void load_start(struct core *core)
{
	objects_listen_notes(core->objects, key_name, key_changed, core);
	load_nodes_changed(core);
	load_instances_changed(core);
}

void load_lead(struct core *core)
{
	uint8_t random[PAGES_KEY_BYTES];
	struct str text = { 0 };
	struct store_txn *txn;

	if (!core->params.load.set_cluster || objects_note(core->objects, key_name))
		return;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort();
	for (size_t i = 0; i < sizeof(random); i++)
		str_printf(&text, "%02x", random[i]);
	txn = store_txn_new();
	peers_guard(core->peers, txn);
	store_txn_guard(txn, STORE_ABSENT, key_name, 0);
	store_txn_put(txn, key_name, text.data, text.size, 0);
	store_submit(core->params.store, txn, NULL, NULL);
	explicit_bzero(random, sizeof(random));
	explicit_bzero(text.data, text.size);
	str_done(&text);
}

void load_look(struct core *core)
{
	placement_look(core->placement, &core->params.load, loop_now_ms(core->params.loop));
}

/* ---- Shown ---- */

static void write_pressure(const char *key, const struct page_pressure *pressure, struct json_writer *writer)
{
	json_write_object(writer, key);
	json_write_double(writer, "some", pressure->some_avg10 / 100.0);
	json_write_double(writer, "full", pressure->full_avg10 / 100.0);
	json_write_end_object(writer);
}

static void write_cpus(const struct page_host *host, struct json_writer *writer)
{
	json_write_uint(writer, "cpus", host->cpus);
	if (host->known & PAGE_KNOWS_BUSY)
		json_write_uint(writer, "busy_permille", host->busy_permille);
	json_write_uint(writer, "run_queue", host->run_queue);
	json_write_uint(writer, "blocked", host->blocked);
	json_write_double(writer, "load1", host->load1_milli / 1000.0);
	json_write_double(writer, "load5", host->load5_milli / 1000.0);
	json_write_double(writer, "load15", host->load15_milli / 1000.0);
	if (!(host->known & PAGE_KNOWS_PRESSURE))
		return;
	write_pressure("pressure_cpu", &host->cpu, writer);
	write_pressure("pressure_memory", &host->memory, writer);
	write_pressure("pressure_io", &host->io, writer);
}

static void write_devices(const struct page_host *host, struct json_writer *writer)
{
	if (host->known & PAGE_KNOWS_DISKS) {
		json_write_uint(writer, "disk_in_flight", host->disk_in_flight);
		json_write_uint(writer, "disk_busy_ms", host->disk_busy_ms);
		json_write_uint(writer, "disk_wait_ms", host->disk_wait_ms);
		json_write_uint(writer, "disk_read_bytes", host->disk_read_bytes);
		json_write_uint(writer, "disk_write_bytes", host->disk_written_bytes);
	}
	if (host->known & PAGE_KNOWS_NICS) {
		json_write_uint(writer, "net_receive_bytes", host->nic_rx_bytes);
		json_write_uint(writer, "net_transmit_bytes", host->nic_tx_bytes);
		json_write_uint(writer, "net_receive_drops", host->nic_rx_drops);
		json_write_uint(writer, "net_transmit_drops", host->nic_tx_drops);
	}
	if (host->known & PAGE_KNOWS_BACKLOG)
		json_write_uint(writer, "net_backlog_bytes", host->nic_backlog_bytes);
}

static void write_instances(struct core *core, const struct page *page, struct json_writer *writer)
{
	json_write_array(writer, "instances");
	for (size_t i = 0; i < page->instance_count; i++) {
		const struct page_instance *item = &page->instances[i];
		char uid[PAGE_UID_TEXT_SIZE];
		const struct instance *instance = objects_get(core->objects, KIND_INSTANCE, page_uid_text(item->uid, uid));

		json_write_object(writer, NULL);
		json_write_string(writer, "instance", instance ? instance->meta.name : uid);
		json_write_uint(writer, "cpu_permille", item->cpu_permille);
		json_write_uint(writer, "memory_bytes", item->memory_bytes);
		json_write_end_object(writer);
	}
	json_write_end_array(writer);
}

static void write_page(struct core *core, const struct page *page, uint64_t age_ms, struct json_writer *writer)
{
	json_write_uint(writer, "age_ms", age_ms);
	write_cpus(&page->host, writer);
	json_write_uint(writer, "memory", page->host.memory_total_bytes);
	json_write_uint(writer, "memory_available", page->host.memory_available_bytes);
	json_write_uint(writer, "swap", page->host.swap_total_bytes);
	json_write_uint(writer, "swap_free", page->host.swap_free_bytes);
	write_devices(&page->host, writer);
	write_instances(core, page, writer);
}

static int read_page(struct core *core, const struct node *node, struct page *ret_page, uint64_t *ret_age_ms, struct err *err)
{
	uint8_t uid[PAGE_UID_BYTES];
	int r = page_uid_parse(node->meta.uid, uid, err);

	return r < 0 ? r : core->params.load.page(core->params.load.data, uid, ret_page, ret_age_ms, err);
}

static const char *why_unknown(const struct node *node)
{
	if (node_is_lost((enum node_state)node->status.state))
		return "it does not answer";
	return node->status.address ? "nothing came from it yet" : "it has no address: set 'api.listen' there";
}

/* What is not known is no failure: who looks at all nodes wants to see the others. */
void node_load_show(struct core *core, struct call *call)
{
	auto_free struct page *page = alloc(sizeof(*page));
	struct json_writer writer = { .out = NULL };
	struct str json = { 0 };
	struct err err = { 0 };
	uint64_t age_ms;
	void *found;
	int r = find_object(core, KIND_NODE, call->name, &found, &err);

	if (r == 0 && !core->params.load.page)
		r = err_set(&err, -EOPNOTSUPP, "this host is in no cluster, so its load is not sampled: see 'strata top'");
	if (r < 0) {
		answer_err(call, &err);
		return;
	}
	writer.out = &json;
	json_write_object(&writer, NULL);
	json_write_string(&writer, "node", ((struct node *)found)->meta.name);
	if (!node_is_lost((enum node_state)((struct node *)found)->status.state) && read_page(core, found, page, &age_ms, &err) == 0)
		write_page(core, page, age_ms, &writer);
	else
		json_write_string(&writer, "text", why_unknown(found));
	json_write_end_object(&writer);
	answer_json(call, 200, &json);
}

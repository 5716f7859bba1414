/*
 * power.c - a node that is lost is switched off, where people have said how (spec.power).
 *
 * Its watchdog ends what must not run on without it; power is the second proof. It is asked for as soon as the node is unreachable, and
 * waited for a while: a controller that lost its power with its host cannot answer.
 */
#include "4-service/cluster/peers.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "port/power.h"

struct power_job {
	struct peers *peers;
	const struct power_ops *ops;
	struct node_power how;		/* A copy. */
	char *node;			/* uid */
	struct err err;
};

static void power_free(void *data)
{
	struct power_job *job = data;

	field_done(&node_power_table, &job->how);
	free(job->node);
	free(job);
}

static void power_run(void *data)
{
	struct power_job *job = data;
	const struct power_params params = {
		.address = job->how.address, .credentials = job->how.credentials, .ca_file = job->how.ca, .system = job->how.system,
		.limit_ms = PEERS_POWER_LIMIT_MS, .world = job->peers->core->params.power_world,
	};
	struct power_driver *driver;
	int r = job->ops->open(&params, &driver, &job->err);

	if (r < 0)
		return;
	r = job->ops->off(driver, &job->err);
	job->ops->close(driver);
	if (r == 0)
		job->err.code = 0;
}

static void tell(struct peers *peers, const struct node *node, const struct err *err)
{
	struct core *core = peers->core;
	struct store_txn *txn = store_txn_new();
	bool is_off = err->code == 0;

	peers_guard(peers, txn);
	objects_put_event(core->objects, txn, &kinds[KIND_NODE], &node->meta, is_off ? "powered-off" : "not-powered-off", !is_off,
			  is_off ? "node '%s' was lost and is switched off" : "node '%s' was lost and could not be switched off: %s", node->meta.name,
			  err->msg);
	store_submit(core->params.store, txn, NULL, NULL);
}

static void power_done(void *data)
{
	struct power_job *job = data;
	struct peers *peers = job->peers;
	struct suspect *suspect = map_get(&peers->suspects, job->node);
	const struct node *node = objects_get(peers->core->objects, KIND_NODE, job->node);

	if (suspect && node) {
		suspect->is_power_asked = false;
		tell(peers, node, &job->err);
		peers_look_at(peers, job->node);
	}
	power_free(job);
}

void power_off_lost(struct peers *peers, const struct node *node, struct suspect *suspect)
{
	struct core *core = peers->core;
	const struct power_ops *ops = core->params.power[node->spec.power.driver];
	struct power_job *job;

	if (suspect->has_power_been_asked || !ops)
		return;
	suspect->has_power_been_asked = suspect->is_power_asked = true;
	job = alloc(sizeof(*job));
	*job = (struct power_job){ .peers = peers, .ops = ops, .node = text_copy(node->meta.uid) };
	field_copy(&node_power_table, &node->spec.power, &job->how);
	work_submit(core->params.work, power_run, power_done, power_free, job);
}

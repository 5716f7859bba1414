/*
 * power.c - a node that is lost is switched off, where people have said how (spec.power).
 *
 * Its watchdog ends what must not run on without it; power is the second proof. It is asked for as soon as the node is unreachable, and
 * waited for a while: a controller that lost its power with its host cannot answer.
 */
#include "4-service/cluster/peers.h"

#include <errno.h>

#include "base/mem.h"
#include "base/str.h"
#include "port/power.h"

struct power_job {
	struct peers *peers;
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

static int open_driver(struct core *core, const struct node_power *how, struct power_driver **ret_driver, struct err *err)
{
	const struct power_params params = {
		.address = how->address, .credentials = how->credentials, .ca_file = how->ca, .system = how->system,
		.limit_ms = PEERS_POWER_LIMIT_MS, .world = core->params.power_world,
	};

	return core->params.power[how->driver]->open(&params, ret_driver, err);
}

static void power_run(void *data)
{
	struct power_job *job = data;
	struct power_driver *driver;
	int r = open_driver(job->peers->core, &job->how, &driver, &job->err);

	if (r < 0)
		return;
	r = driver->ops->off(driver, &job->err);
	driver->ops->close(driver);
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

int power_check(struct core *core, const struct node_power *how, struct err *err)
{
	struct power_driver *driver;
	int r;

	if (how->driver == NODE_POWER_NONE)
		return 0;
	if (!core->params.power[how->driver])
		return err_set(err, -EINVAL, "spec.power.driver: 'sim' switches only simulated hosts: use none, redfish or ipmi");
	r = open_driver(core, how, &driver, err);
	if (r < 0)
		return err_prefix(err, "spec.power");
	driver->ops->close(driver);
	return 0;
}

/* ---- People ask, to see that it would work ---- */

struct power_question {
	struct core *core;
	struct call *call;
	char *node;			/* Its name. */
	struct node_power how;		/* A copy. */
	enum power_state state;
	struct err err;
};

static void question_free(void *data)
{
	struct power_question *question = data;

	field_done(&node_power_table, &question->how);
	free(question->node);
	free(question);
}

static void ask(void *data)
{
	struct power_question *question = data;
	struct power_driver *driver;

	if (open_driver(question->core, &question->how, &driver, &question->err) < 0)
		return;
	if (driver->ops->status(driver, &question->state, &question->err) == 0)
		question->err.code = 0;
	driver->ops->close(driver);
}

static void asked(void *data)
{
	struct power_question *question = data;
	bool has_driver = question->how.driver != NODE_POWER_NONE;
	auto_str struct str driver = { 0 };
	struct str json = { 0 };
	struct json_writer writer = { .out = &json };

	field_text(&node_power_table, "driver", &question->how, &driver);
	json_write_object(&writer, NULL);
	json_write_string(&writer, "node", question->node);
	json_write_string(&writer, "driver", str_text(&driver));
	if (question->how.address)
		json_write_string(&writer, "address", question->how.address);
	if (has_driver && question->err.code == 0)
		json_write_string(&writer, "state", power_state_name(question->state));
	else
		json_write_string(&writer, "text", has_driver ? question->err.msg : "nobody has said how: its watchdog alone ends what must not run on");
	json_write_end_object(&writer);
	answer_json(question->call, 200, &json);
	question_free(question);
}

/* What is not known is no failure: who looks at all nodes wants to see the others. */
void node_power_show(struct core *core, struct call *call)
{
	struct power_question *question;
	const struct node *node;
	struct err err = { 0 };
	void *found;

	if (find_object(core, KIND_NODE, call->name, &found, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	node = found;
	question = alloc(sizeof(*question));
	*question = (struct power_question){ .core = core, .call = call, .node = text_copy(node->meta.name) };
	field_copy(&node_power_table, &node->spec.power, &question->how);
	if (question->how.driver == NODE_POWER_NONE || power_check(core, &question->how, &question->err) < 0)
		asked(question);
	else
		work_submit(core->params.work, ask, asked, question_free, question);
}

/* ---- A node is lost ---- */

void power_off_lost(struct peers *peers, const struct node *node, struct suspect *suspect)
{
	struct core *core = peers->core;
	struct power_job *job;

	if (suspect->has_power_been_asked || !core->params.power[node->spec.power.driver])
		return;
	suspect->has_power_been_asked = suspect->is_power_asked = true;
	job = alloc(sizeof(*job));
	*job = (struct power_job){ .peers = peers, .node = text_copy(node->meta.uid) };
	field_copy(&node_power_table, &node->spec.power, &job->how);
	work_submit(core->params.work, power_run, power_done, power_free, job);
}

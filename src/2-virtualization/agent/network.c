/* network.c - the controller of networks. */
#include "2-virtualization/agent/item.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct network_job {
	struct job job;
	struct fabric_driver *fabric;
	struct network *network;		/* A copy. */
};

static void split_cidr(int family, const char *text, void *ret_address, unsigned *ret_prefix)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	auto_free char *address = slash ? text_copy_length(text, (size_t)(slash - text)) : NULL;

	if (address && inet_pton(family, address, ret_address) == 1)
		*ret_prefix = (unsigned)atoi(slash + 1);
}

static int bring_up(struct network_job *job, struct err *err)
{
	const struct network_spec *spec = &job->network->spec;
	struct fabric_network params = {
		.uid = job->network->meta.uid, .name = job->network->meta.name, .domain = spec->domain,
		.index = (unsigned)spec->index, .has_nat = spec->nat, .has_dhcp = spec->dhcp, .mtu = (unsigned)spec->mtu,
	};

	split_cidr(AF_INET, spec->ipv4, &params.ipv4, &params.ipv4_prefix);
	split_cidr(AF_INET6, spec->ipv6, &params.ipv6, &params.ipv6_prefix);
	return job->fabric->ops->network_up(job->fabric, &params, err);
}

static void run(struct job *base)
{
	struct network_job *job = container_of(base, struct network_job, job);
	int r;

	if (job->network->meta.deleted_at)
		r = job->fabric->ops->network_down(job->fabric, job->network->meta.uid, &base->err);
	else
		r = bring_up(job, &base->err);
	if (r == 0)
		base->err.code = 0;
}

static void done(struct job *base)
{
	struct network_job *job = container_of(base, struct network_job, job);
	struct item *item = base->item;
	struct network_status *status = item->status;
	enum network_state before = (enum network_state)status->state;
	const char *name = job->network->meta.name;

	if (base->err.code < 0) {
		status->state = NETWORK_FAILED;
		text_replace(&status->reason, base->err.msg);
		item_fail(item);
		item_save(item, before == NETWORK_FAILED ? NULL : "failed", true, "network '%s': %s", name, base->err.msg);
		return;
	}
	if (job->network->meta.deleted_at) {
		item_delete(item, NULL);
		item->is_up = false;
		return;
	}
	item->is_up = true;
	item->up_generation = job->network->meta.generation;
	item->failures = 0;
	status->state = NETWORK_READY;
	text_replace(&status->reason, NULL);
	item_save(item, before == NETWORK_READY ? NULL : "ready", false, "network '%s' is up", name);
}

static void free_job(struct job *base)
{
	struct network_job *job = container_of(base, struct network_job, job);

	kind_free(&kinds[KIND_NETWORK], job->network);
	free(job);
}

static void reconcile(struct item *item, void *object)
{
	const struct network *network = object;
	struct network_job *job;

	if (!network->meta.deleted_at && item->is_up && item->up_generation == network->meta.generation)
		return;
	job = job_new(struct network_job);
	*job = (struct network_job){ .job = { .item = item, .run = run, .done = done, .free = free_job },
				     .fabric = item->agent->params.fabric, .network = kind_copy(item->kind, network) };
	item_run(&job->job);
}

const struct controller network_controller = { .reconcile = reconcile };

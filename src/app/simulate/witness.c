#include "app/simulate/witness.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct held { unsigned host, count; };

static void hold(const struct witness_host *host, const char *what, const char *name)
{
	struct witness *witness = host->witness;
	auto_free char *key = text_format("%s %s", what, name);
	struct held *held = map_get(&witness->holders, key);

	if (!held) {
		held = alloc(sizeof(*held));
		held->host = host->number;
		map_put(&witness->holders, key, held);
	}
	if (++held->count > 1 && !witness->broken[0])
		snprintf(witness->broken, sizeof(witness->broken), "%s is used by two machines, on hosts %u and %u", key, held->host, host->number);
}

static void let_go(struct witness *witness, const char *what, const char *name)
{
	auto_free char *key = text_format("%s %s", what, name);
	struct held *held = map_get(&witness->holders, key);

	if (held && --held->count == 0)
		free(map_remove(&witness->holders, key));
}

static void tell(const struct witness_host *host, const char *what, const char *name, bool is_running)
{
	if (is_running)
		hold(host, what, name);
	else
		let_go(host->witness, what, name);
}

void witness_see(void *data, const struct machine_config *config, bool is_running)
{
	const struct witness_host *host = data;

	host->witness->started += is_running;
	host->witness->running += is_running ? 1 : (size_t)-1;
	tell(host, "instance", config->uid, is_running);
	for (size_t i = 0; i < config->disk_count; i++)
		if (!config->disks[i].is_read_only && config->disks[i].layer_count)
			tell(host, "disk", config->disks[i].layers[0].path, is_running);
}

int witness_where(const struct witness *witness, const char *uid)
{
	auto_free char *key = text_format("instance %s", uid);
	const struct held *held = map_get(&witness->holders, key);

	return held ? (int)held->host : -1;
}

void witness_done(struct witness *witness)
{
	for (size_t i = 0; i < witness->holders.count; i++)
		free(witness->holders.entries[i].value);
	map_done(&witness->holders);
}

#include "driver/fabric/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

struct subnet { struct in_addr address; unsigned prefix; };

/* A nic and the process in whose namespace it is. */
struct sim_nic { struct fabric_nic *nic; pid_t pid; };

struct sim_fabric {
	pthread_mutex_t mutex;
	struct map networks;		/* uid -> struct fabric_network *, owned. */
	struct map nics;		/* fabric_nic_key() -> struct sim_nic *, owned. */
	size_t published;		/* Sum over nics: none published, nothing to compare. */
	VEC(struct fabric_publish) used_ports;
	VEC(struct subnet) used_subnets;
};

struct sim_driver {
	struct fabric_driver base;
	struct sim_fabric *world;
	struct sim_fabric *own_world;	/* When the caller brought none. */
	struct fault *fault;		/* Borrowed; only touched with the world locked. */
	char tag[8];
};

static void sim_nic_free(struct sim_nic *nic)
{
	if (nic)
		fabric_nic_free(nic->nic);
	free(nic);
}

struct sim_fabric *sim_fabric_new(void)
{
	struct sim_fabric *world = alloc(sizeof(*world));

	pthread_mutex_init(&world->mutex, NULL);
	return world;
}

void sim_fabric_free(struct sim_fabric *world)
{
	if (!world)
		return;
	for (size_t i = 0; i < world->networks.count; i++)
		fabric_network_free(world->networks.entries[i].value);
	for (size_t i = 0; i < world->nics.count; i++)
		sim_nic_free(world->nics.entries[i].value);
	map_done(&world->networks);
	map_done(&world->nics);
	vec_done(&world->used_ports);
	vec_done(&world->used_subnets);
	pthread_mutex_destroy(&world->mutex);
	free(world);
}

size_t sim_fabric_network_count(const struct sim_fabric *world)
{
	return world->networks.count;
}

size_t sim_fabric_nic_count(const struct sim_fabric *world)
{
	return world->nics.count;
}

const struct fabric_network *sim_fabric_network(const struct sim_fabric *world, const char *uid)
{
	return map_get(&world->networks, uid);
}

const struct fabric_nic *sim_fabric_nic(const struct sim_fabric *world, const char *instance, unsigned index)
{
	char key[FABRIC_KEY_SIZE];
	const struct sim_nic *found = map_get(&world->nics, fabric_nic_key(instance, index, key));

	return found ? found->nic : NULL;
}

pid_t sim_fabric_nic_pid(const struct sim_fabric *world, const char *instance, unsigned index)
{
	char key[FABRIC_KEY_SIZE];
	const struct sim_nic *found = map_get(&world->nics, fabric_nic_key(instance, index, key));

	return found ? found->pid : 0;
}

void sim_fabric_use_port(struct sim_fabric *world, enum fabric_protocol protocol, uint16_t port)
{
	pthread_mutex_lock(&world->mutex);
	*vec_push(&world->used_ports) = (struct fabric_publish){ .protocol = protocol, .host_port = port };
	pthread_mutex_unlock(&world->mutex);
}

void sim_fabric_use_subnet(struct sim_fabric *world, struct in_addr address, unsigned prefix)
{
	pthread_mutex_lock(&world->mutex);
	*vec_push(&world->used_subnets) = (struct subnet){ address, prefix };
	pthread_mutex_unlock(&world->mutex);
}

static void unlockp(struct sim_fabric **world)
{
	pthread_mutex_unlock(&(*world)->mutex);
}

#define auto_unlock __attribute__((cleanup(unlockp), unused))

static struct sim_driver *lock(struct fabric_driver *driver)
{
	struct sim_driver *sim = container_of(driver, struct sim_driver, base);

	pthread_mutex_lock(&sim->world->mutex);
	return sim;
}

static int sim_open(const struct fabric_params *params, struct fabric_driver **ret_driver, struct err *err)
{
	struct sim_driver *sim = alloc(sizeof(*sim));

	(void)err;
	*sim = (struct sim_driver){ .base.ops = &fabric_sim, .world = params->world, .fault = params->fault };
	snprintf(sim->tag, sizeof(sim->tag), "%s", params->node_tag ? params->node_tag : "0000");
	if (!sim->world)
		sim->world = sim->own_world = sim_fabric_new();
	*ret_driver = &sim->base;
	return 0;
}

static void sim_close(struct fabric_driver *driver)
{
	struct sim_driver *sim = container_of(driver, struct sim_driver, base);

	if (!driver)
		return;
	sim_fabric_free(sim->own_world);
	free(sim);
}

static int check_index(const struct sim_fabric *world, const struct fabric_network *network, struct err *err)
{
	for (size_t i = 0; i < world->networks.count; i++) {
		const struct fabric_network *other = world->networks.entries[i].value;

		if (other->index == network->index && !text_equal(other->uid, network->uid))
			return err_set(err, -EBUSY, "network index %u belongs to network '%s'", network->index, shown(other->name));
	}
	return 0;
}

static int sim_network_up(struct fabric_driver *driver, const struct fabric_network *network, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	int r;

	if ((r = fabric_check_network(network, err)) < 0 ||
	    (r = check_index(world, network, err)) < 0 ||
	    (r = fault_step(sim->fault, "network up", err)) < 0)
		return r;
	fabric_network_free(map_put(&world->networks, network->uid, fabric_network_copy(network)));
	return fault_step(sim->fault, "network up", err);
}

static int sim_network_down(struct fabric_driver *driver, const char *uid, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	int r;

	if ((r = fault_step(sim->fault, "network down", err)) < 0)
		return r;
	fabric_network_free(map_remove(&world->networks, uid));
	return fault_step(sim->fault, "network down", err);
}

static int check_port(const struct sim_fabric *world, const struct fabric_nic *nic,
		      const struct fabric_publish *publish, struct err *err)
{
	const char *protocol = fabric_protocol_name(publish->protocol);

	for (size_t i = 0; i < world->used_ports.count; i++)
		if (fabric_publish_overlaps(publish, &world->used_ports.items[i]))
			return err_set(err, -EBUSY, "host port %u/%s is in use by another program: choose another one",
				       publish->host_port, protocol);
	for (size_t i = 0; world->published && i < world->nics.count; i++) {
		const struct fabric_nic *other = ((const struct sim_nic *)world->nics.entries[i].value)->nic;

		if (text_equal(other->instance, nic->instance) && other->index == nic->index)
			continue;
		for (size_t j = 0; j < other->publish_count; j++)
			if (fabric_publish_overlaps(publish, &other->publish[j]))
				return err_set(err, -EBUSY, "host port %u/%s is in use by instance '%s': choose another one",
					       publish->host_port, protocol, shown(other->hostname));
	}
	return 0;
}

static void remove_nic(struct sim_fabric *world, const char *key)
{
	struct sim_nic *found = map_remove(&world->nics, key);

	if (found)
		world->published -= found->nic->publish_count;
	sim_nic_free(found);
}

/* With its new values the nic stays where it is. */
static void put_nic(struct sim_fabric *world, const struct fabric_nic *nic)
{
	struct sim_nic *added = alloc(sizeof(*added));
	const struct sim_nic *old;
	char key[FABRIC_KEY_SIZE];

	old = map_get(&world->nics, fabric_nic_key(nic->instance, nic->index, key));
	*added = (struct sim_nic){ fabric_nic_copy(nic), old && old->nic->kind == nic->kind ? old->pid : 0 };
	remove_nic(world, key);
	map_put(&world->nics, key, added);
	world->published += nic->publish_count;
}

static int sim_nic_up(struct fabric_driver *driver, const struct fabric_nic *nic, char ret_ifname[IFNAMSIZ], struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	int r;

	if ((r = fabric_check_nic(nic, err)) < 0)
		return r;
	if (!map_get(&world->networks, nic->network))
		return err_set(err, -ENOENT, "network '%s' is not up on this host", shown(nic->network));
	for (size_t i = 0; i < nic->publish_count; i++)
		if ((r = check_port(world, nic, &nic->publish[i], err)) < 0)
			return r;
	if ((r = fault_step(sim->fault, "nic up", err)) < 0)
		return r;
	put_nic(world, nic);
	if ((r = fault_step(sim->fault, "nic up", err)) < 0)
		return r;
	snprintf(ret_ifname, IFNAMSIZ, "s%.4st%u", sim->tag, nic->number % (FABRIC_NIC_NUMBER_MAX + 1));
	return 0;
}

static int sim_nic_enter(struct fabric_driver *driver, const struct fabric_nic *nic, pid_t pid, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	char key[FABRIC_KEY_SIZE];
	struct sim_nic *found;
	int r;

	if ((r = fabric_check_nic(nic, err)) < 0)
		return r;
	if (nic->kind != FABRIC_VETH)
		return err_set(err, -EINVAL, "nic %u of '%s' is a tap: it enters no container", nic->index, shown(nic->hostname));
	found = map_get(&world->nics, fabric_nic_key(nic->instance, nic->index, key));
	if (!found || found->nic->kind != FABRIC_VETH)
		return err_set(err, -ENOENT, "nic %u of '%s' is not up: bring it up first", nic->index, shown(nic->hostname));
	if ((r = fault_step(sim->fault, "nic enter", err)) < 0)
		return r;
	found->pid = pid;
	return fault_step(sim->fault, "nic enter", err);
}

static int sim_nic_down(struct fabric_driver *driver, const char *instance, unsigned index, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	char key[FABRIC_KEY_SIZE];
	int r;

	if ((r = fault_step(sim->fault, "nic down", err)) < 0)
		return r;
	remove_nic(world, fabric_nic_key(instance, index, key));
	return fault_step(sim->fault, "nic down", err);
}

static int sim_inventory(struct fabric_driver *driver, struct fabric_inventory *ret_inventory, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	struct fabric_inventory inventory = { 0 };
	int r;

	if ((r = fault_step(sim->fault, "inventory", err)) < 0)
		return r;
	for (size_t i = 0; i < world->networks.count; i++)
		vec_push(&inventory.networks)->uid = text_copy(world->networks.entries[i].key);
	for (size_t i = 0; i < world->nics.count; i++) {
		const struct fabric_nic *nic = ((const struct sim_nic *)world->nics.entries[i].value)->nic;

		*vec_push(&inventory.nics) = (struct fabric_name){ text_copy(nic->instance), nic->index };
	}
	*ret_inventory = inventory;
	return 0;
}

static int sim_check_subnet(struct fabric_driver *driver, struct in_addr address, unsigned prefix, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	char text[INET_ADDRSTRLEN];

	for (size_t i = 0; i < world->used_subnets.count; i++) {
		const struct subnet *used = &world->used_subnets.items[i];

		if (fabric_subnets_overlap(address, prefix, used->address, used->prefix))
			return err_set(err, -EBUSY, "subnet %s/%u is in use by the host: choose another one",
				       inet_ntop(AF_INET, &address, text, sizeof(text)), prefix);
	}
	for (size_t i = 0; i < world->networks.count; i++) {
		const struct fabric_network *other = world->networks.entries[i].value;

		if (other->ipv4.s_addr && fabric_subnets_overlap(address, prefix, other->ipv4, other->ipv4_prefix))
			return err_set(err, -EBUSY, "subnet %s/%u is in use by network '%s': choose another one",
				       inet_ntop(AF_INET, &address, text, sizeof(text)), prefix, shown(other->name));
	}
	return 0;
}

static int sim_probe(struct fabric_driver *driver, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;

	return fault_step(sim->fault, "probe", err);
}

static int sim_clear(struct fabric_driver *driver, struct err *err)
{
	struct sim_driver *sim = lock(driver);
	auto_unlock struct sim_fabric *world = sim->world;
	int r;

	/* One by one, so that a crash in the middle leaves the rest. */
	while (world->nics.count) {
		if ((r = fault_step(sim->fault, "clear", err)) < 0)
			return r;
		remove_nic(world, world->nics.entries[world->nics.count - 1].key);
	}
	while (world->networks.count) {
		if ((r = fault_step(sim->fault, "clear", err)) < 0)
			return r;
		fabric_network_free(map_remove(&world->networks, world->networks.entries[world->networks.count - 1].key));
	}
	return fault_step(sim->fault, "clear", err);
}

const struct fabric_ops fabric_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.network_up = sim_network_up,
	.network_down = sim_network_down,
	.nic_up = sim_nic_up,
	.nic_enter = sim_nic_enter,
	.nic_down = sim_nic_down,
	.inventory = sim_inventory,
	.check_subnet = sim_check_subnet,
	.probe = sim_probe,
	.clear = sim_clear,
};

/* resources.c - what requests about networks mean, and what all simple resources share. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "4-service/service.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

/* ---- What all of them share ---- */

struct change *resource_decode_new(struct core *core, struct call *call, const struct kind *kind)
{
	struct change *change = change_new(core, call, kind, NULL);
	struct err err = { 0 };

	if (kind_decode(kind, call->body, FIELD_CREATE, change->next, &err) == 0 &&
	    check_name_free(core, kind, NULL, kind_meta(change->next)->name, &err) == 0)
		return change;
	change_refuse(change, &err);
	return NULL;
}

struct change *resource_decode_patch(struct core *core, struct call *call, const struct kind *kind)
{
	struct change *change;
	struct err err = { 0 };
	void *object;

	if (find_object(core, kind->id, call->name, &object, &err) < 0) {
		answer_err(call, &err);
		return NULL;
	}
	change = change_new(core, call, kind, object);
	change->event = "changed";
	if (kind_decode(kind, call->body, FIELD_PATCH, change->next, &err) == 0)
		return change;
	change_refuse(change, &err);
	return NULL;
}

void resource_delete(struct core *core, struct call *call, const struct kind *kind, const void *object)
{
	struct change *change = change_new(core, call, kind, object);
	struct meta *meta = kind_meta(change->next);

	if (!meta->deleted_at)
		meta->deleted_at = loop_wall_ms(core->params.loop);
	change->event = "deleting";
	change->http_status = 202;
	change_commit(change);
}

void resource_delete_unused(struct core *core, struct call *call, const struct kind *kind,
			    bool (*uses)(const struct instance *instance, const char *uid))
{
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);
	struct err err = { 0 };
	void *object;

	if (find_object(core, kind->id, call->name, &object, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	for (size_t i = 0; i < all->count; i++) {
		const struct instance *instance = all->entries[i].value;

		if (!uses(instance, kind_meta(object)->uid))
			continue;
		err_set(&err, -EBUSY, "%s '%s' is used by instance '%s': %s that first", kind->name, call->name, instance->meta.name,
			kind->id == KIND_VOLUME ? "detach it from" : "remove");
		answer_err(call, &err);
		return;
	}
	resource_delete(core, call, kind, object);
}

void resource_rename(struct core *core, struct call *call)
{
	const char *name = json_string(json_get(call->body, "name"), NULL);
	struct change *change;
	struct err err = { 0 };
	void *object;

	if (find_object(core, call->kind->id, call->name, &object, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	change = change_new(core, call, call->kind, object);
	if (!name)
		err_set(&err, -EINVAL, "name: is missing: give the new name");
	else if (call->kind->name_check(name, &err) < 0)
		err_prefix(&err, "name");
	else if (!text_equal(name, call->name))
		check_name_free(core, call->kind, NULL, name, &err);
	if (err.code == 0 && kind_meta(object)->deleted_at)
		err_set(&err, -EBUSY, "%s '%s' is being deleted", call->kind->name, call->name);
	if (err.code == 0 && call->kind->id != KIND_INSTANCE && call->kind->id != KIND_IMAGE)
		err_set(&err, -EOPNOTSUPP, "only instances and images can be renamed: others refer to %s by name", call->kind->plural);
	if (err.code < 0) {
		change_refuse(change, &err);
		return;
	}
	text_replace(&kind_meta(change->next)->name, name);
	change->event = "renamed";
	change_commit(change);
}

/* ---- Networks ---- */

enum { INDEX_MAX = 4096, SUBNETS = 256 * 16, DEFAULT_PREFIX = 20 };

static int choose_index(struct core *core, struct network *network, struct err *err)
{
	for (int64_t index = 0; index < INDEX_MAX; index++) {
		auto_free char *key = text_format("claim/network-number/%" PRId64, index);

		if (!claim_is_free(core, key))
			continue;
		network->spec.index = index;
		return 0;
	}
	return err_set(err, -ENOSPC, "this node has %d networks, as many as it may: remove some", INDEX_MAX);
}

struct subnet { uint32_t first, last; };

static bool read_subnet(const char *text, struct subnet *ret_subnet)
{
	char address[32];
	struct in_addr in;
	unsigned prefix;
	uint32_t mask;

	if (!text || sscanf(text, "%31[0-9.]/%u", address, &prefix) != 2 || prefix < 1 || prefix > 31 || inet_pton(AF_INET, address, &in) != 1)
		return false;
	mask = 0xffffffffu << (32 - prefix);
	ret_subnet->first = ntohl(in.s_addr) & mask;
	ret_subnet->last = ret_subnet->first | ~mask;
	return true;
}

/* The network of ours that overlaps, or null. */
static const struct network *overlapping(struct core *core, const char *text)
{
	const struct map *all = objects_all(core->objects, KIND_NETWORK);
	struct subnet wanted, other;

	if (!read_subnet(text, &wanted))
		return NULL;
	for (size_t i = 0; i < all->count; i++) {
		const struct network *network = all->entries[i].value;

		if (read_subnet(network->spec.ipv4, &other) && wanted.first <= other.last && other.first <= wanted.last)
			return network;
	}
	return NULL;
}

/* Does the host itself use it?  Asked from the kernel, quick. */
static int check_host(struct core *core, const char *text, struct err *err)
{
	struct fabric_driver *fabric = core->params.fabric;
	struct in_addr address = { 0 };
	char plain[32];
	unsigned prefix = 0;

	if (sscanf(text, "%31[0-9.]/%u", plain, &prefix) != 2)
		return 0;
	inet_pton(AF_INET, plain, &address);
	return fabric->ops->check_subnet(fabric, address, prefix, err);
}

/* A free /20 of 10.0.0.0/8, beginning at a random place so that two hosts or daemons seldom choose the same. */
static int choose_ipv4(struct core *core, struct network *network, struct err *err)
{
	uint64_t start = rng_below(core->params.rng, SUBNETS);

	for (unsigned i = 0; i < SUBNETS; i++) {
		unsigned number = (unsigned)((start + i) % SUBNETS);
		auto_free char *text = text_format("10.%u.%u.1/%d", number / 16, number % 16 * 16, DEFAULT_PREFIX);
		auto_free char *key = text_format("claim/subnet/%s", text);

		if (number < 16 || !claim_is_free(core, key) || overlapping(core, text) || check_host(core, text, err) < 0)
			continue;	/* 10.0.x.x is what most home and office routers use. */
		network->spec.ipv4 = take(text);
		return 0;
	}
	return err_set(err, -ENOSPC, "no free IPv4 subnet of 10.0.0.0/8 was found: give one with --ipv4 ADDRESS/PREFIX");
}

static int check_ipv4(struct core *core, const struct network *network, struct err *err)
{
	const struct network *other = overlapping(core, network->spec.ipv4);

	if (text_equal(network->spec.ipv4, "none"))
		return 0;
	if (other)
		return err_set(err, -EBUSY, "spec.ipv4: %s overlaps network '%s' (%s): use another subnet", network->spec.ipv4,
			       other->meta.name, other->spec.ipv4);
	return check_host(core, network->spec.ipv4, err) < 0 ? err_prefix(err, "spec.ipv4") : 0;
}

/* RFC 4193: fd, 40 random bits, a 16-bit subnet. */
static void choose_ipv6(struct core *core, struct network *network)
{
	uint64_t random = rng_next(core->params.rng);

	network->spec.ipv6 = text_format("fd%02x:%x:%x::1/64", (unsigned)(random & 0xff), (unsigned)(random >> 8 & 0xfffe) | 1,
					 (unsigned)(random >> 24 & 0xfffe) | 1);
}

int network_fill(struct core *core, struct network *network, struct err *err)
{
	int r = choose_index(core, network, err);

	if (r == 0)
		r = network->spec.ipv4 ? check_ipv4(core, network, err) : choose_ipv4(core, network, err);
	if (r == 0 && !network->spec.ipv6)
		choose_ipv6(core, network);
	if (r == 0 && text_equal(network->spec.ipv4, "none") && text_equal(network->spec.ipv6, "none") && network->spec.dhcp)
		return err_set(err, -EINVAL, "spec.dhcp: a network without IPv4 and IPv6 has no addresses to give: set dhcp to false");
	return r;
}

void network_create(struct core *core, struct call *call)
{
	struct change *change = resource_decode_new(core, call, &kinds[KIND_NETWORK]);
	struct err err = { 0 };

	if (!change)
		return;
	if (network_fill(core, change->next, &err) < 0)
		change_refuse(change, &err);
	else
		change_commit(change);
}

void network_update(struct core *core, struct call *call)
{
	struct change *change = resource_decode_patch(core, call, &kinds[KIND_NETWORK]);

	if (change)
		change_commit(change);
}

static bool uses_network(const struct instance *instance, const char *uid)
{
	for (size_t i = 0; i < instance->spec.nics.count; i++)
		if (text_equal(field_list_at(&instance->spec.nics, struct instance_nic, i)->network_uid, uid))
			return true;
	return false;
}

void network_delete(struct core *core, struct call *call)
{
	resource_delete_unused(core, call, &kinds[KIND_NETWORK], uses_network);
}

/* Once per store: who removes it does not get it back. */
void network_create_default(struct core *core)
{
	struct change *change;
	struct err err = { 0 };

	if (objects_is_claimed(core->objects, "claim/default-network-made"))
		return;
	change = change_new(core, NULL, &kinds[KIND_NETWORK], NULL);
	text_replace(&kind_meta(change->next)->name, "default");
	if (network_fill(core, change->next, &err) < 0) {
		log_line(LOG_WARNING, "the default network could not be made: %s", err.msg);
		change_free(change);
		return;
	}
	store_txn_put(change->txn, "claim/default-network-made", "yes", 3, 0);
	change_commit(change);
}

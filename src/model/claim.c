#include "model/claim.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "model/instance.h"
#include "model/network.h"

static void add(struct claims *claims, char *key, char *what)
{
	*vec_push(&claims->items) = (struct claim){ key, what };
}

/* One writer has the volume for itself; readers only say that they are there. */
static void add_attachment(const struct instance *instance, const char *volume_uid, const char *name, bool is_read_only,
			   struct claims *claims)
{
	if (is_read_only)
		add(claims, text_format("claim/attachment/%s/%s", volume_uid, instance->meta.uid), text_format("reading volume '%s'", name));
	else
		add(claims, text_format("claim/attachment/%s", volume_uid), text_format("volume '%s'", name));
}

static void instance_claims(const struct instance *instance, struct claims *claims)
{
	const struct instance_spec *spec = &instance->spec;

	for (size_t i = 0; i < spec->nics.count; i++) {
		const struct instance_nic *nic = field_list_at(&spec->nics, struct instance_nic, i);

		if (nic->ipv4)
			add(claims, text_format("claim/address/%s/%s", nic->network_uid, nic->ipv4),
			    text_format("address %s in network '%s'", nic->ipv4, nic->network));
		if (nic->ipv6)
			add(claims, text_format("claim/address/%s/%s", nic->network_uid, nic->ipv6),
			    text_format("address %s in network '%s'", nic->ipv6, nic->network));
		add(claims, text_format("claim/mac/%s/%s", nic->network_uid, nic->mac),
		    text_format("MAC address %s in network '%s'", nic->mac, nic->network));
		add(claims, text_format("claim/nic/%" PRId64, nic->number),
		    text_format("nic number %" PRId64, nic->number));
	}
	for (size_t i = 0; i < spec->publish.count; i++) {
		const struct instance_publish *publish = field_list_at(&spec->publish, struct instance_publish, i);
		const char *protocol = publish->protocol == PUBLISH_UDP ? "udp" : "tcp";

		add(claims, text_format("claim/port/%s/%s/%" PRId64, spec->node, protocol, publish->host_port),
		    text_format("host port %" PRId64 "/%s", publish->host_port, protocol));
	}
	for (size_t i = 0; i < spec->volumes.count; i++) {
		const struct instance_volume *volume = field_list_at(&spec->volumes, struct instance_volume, i);

		add_attachment(instance, volume->volume_uid, volume->volume, volume->read_only, claims);
	}
	for (size_t i = 0; i < spec->container.mounts.count; i++) {
		const struct instance_mount *mount = field_list_at(&spec->container.mounts, struct instance_mount, i);

		if (mount->volume_uid)
			add_attachment(instance, mount->volume_uid, mount->source, mount->read_only, claims);
	}
}

void claims_of(const struct kind *kind, const void *object, struct claims *ret_claims)
{
	const struct meta *meta = object;

	*ret_claims = (struct claims){ 0 };
	add(ret_claims, text_format("claim/name/%s/%s/%s", kind->name, meta->parent ? meta->parent : meta->project, meta->name),
	    text_format("name '%s'", meta->name));
	if (kind->id == KIND_INSTANCE)
		instance_claims(object, ret_claims);
	if (kind->id == KIND_NETWORK) {
		const struct network *network = object;

		add(ret_claims, text_format("claim/network-number/%" PRId64, network->spec.index),
		    text_format("network number %" PRId64, network->spec.index));
		if (network->spec.ipv4 && !text_equal(network->spec.ipv4, "none"))
			add(ret_claims, text_format("claim/subnet/%s", network->spec.ipv4), text_format("subnet %s", network->spec.ipv4));
	}
}

void claims_done(struct claims *claims)
{
	for (size_t i = 0; i < claims->items.count; i++) {
		free(claims->items.items[i].key);
		free(claims->items.items[i].what);
	}
	vec_done(&claims->items);
}

bool claims_have(const struct claims *claims, const char *key)
{
	for (size_t i = 0; i < claims->items.count; i++)
		if (text_equal(claims->items.items[i].key, key))
			return true;
	return false;
}

/*
 * Plugged cpus and memory are there but unused until somebody in the guest says so. Distributions
 * for clouds differ in whether udev does; where an agent runs, it is told. Without one the
 * guest decides by itself.
 */
#include <poll.h>

#include "driver/machine/qemu/guest_agent.h"

enum { TRIES = 20, RETRY_MS = 50 };

static const struct kind {
	const char *list, *set;		/* Commands. */
	const char *argument;		/* Of 'set'. */
	const char *id;
} cpus = { "guest-get-vcpus", "guest-set-vcpus", "vcpus", "logical-id" },
  memory = { "guest-get-memory-blocks", "guest-set-memory-blocks", "mem-blks", "phys-index" };

/* Writes the request that brings all that is offline online; returns how many there are. */
static size_t write_request(const struct kind *kind, const struct json *list, struct str *out)
{
	struct json_writer writer = { .out = out };
	size_t count = 0;

	json_write_object(&writer, NULL);
	json_write_array(&writer, kind->argument);
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *item = json_at(list, i);

		if (json_bool(json_get(item, "online"), true))
			continue;
		json_write_object(&writer, NULL);
		json_write_int(&writer, kind->id, json_int(json_get(item, kind->id), 0));
		json_write_bool(&writer, "online", true);
		json_write_end_object(&writer);
		count++;
	}
	json_write_end_array(&writer);
	json_write_end_object(&writer);
	return count;
}

/* How many were offline; negative: the guest cannot be asked. */
static int online_some(struct qemu *qemu, const char *uid, const struct kind *kind, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_str struct str request = { 0 };
	size_t count;
	int r = guest_agent_call(qemu, uid, kind->list, NULL, &reply, err);

	if (r < 0)
		return r;
	count = write_request(kind, json_get(reply, "return"), &request);
	if (count)
		r = guest_agent_call(qemu, uid, kind->set, request.data, NULL, err);
	return r < 0 ? r : (int)count;
}

/* The guest notices its new parts one after the other, a little later. */
static void online_all(struct qemu *qemu, const char *uid, const struct kind *kind)
{
	bool has_seen_some = false;

	for (int i = 0; i < TRIES; i++) {
		int count = online_some(qemu, uid, kind, &(struct err){ 0 });

		if (count < 0 || (count == 0 && has_seen_some))
			return;
		has_seen_some |= count > 0;
		poll(NULL, 0, RETRY_MS);
	}
}

void guest_online(struct qemu *qemu, const char *uid, bool has_new_cpus, bool has_new_memory)
{
	if (guest_agent_check(qemu, uid, &(struct err){ 0 }) < 0)
		return;
	if (has_new_cpus)
		online_all(qemu, uid, &cpus);
	if (has_new_memory)
		online_all(qemu, uid, &memory);
}

/*
 * The client: asks the leader by api_call() as the HTTP floor does. What an instance is follows from its number and the seed alone, so
 * that one that has to be asked for again is the same one.
 */
#include "app/simulate/simulation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum {
	UNDER_WAY_MAX = 256, AGAIN_MS = 500, PER_NETWORK = 60000, GROUPS = 8,
	VOLUME_EVERY = 50, HA_EVERY = 10, GROUP_EVERY = 25, ALONE_EVERY = 20 /* without a nic */,	/* Instances: one in so many. */
};

struct asked {
	struct simulation *simulation;
	struct call *call;
	bool is_volume;			/* That comes before the instance. */
	bool is_tried;			/* Asked for before. */
	uint32_t number;
};

char *client_name(uint32_t number) { return text_format("i%06u", number); }

void client_init(struct client *client, const struct simulation *simulation)
{
	*client = (struct client){ .wishes = alloc(simulation->options.instances + 1) };
	rng_init(&client->rng, simulation->options.seed + 1);
}

static void asked_free(struct asked *asked)
{
	call_free(asked->call);
	free(asked);
}

void client_done(struct client *client)
{
	for (size_t i = 0; i < client->asked.count; i++)
		asked_free(client->asked.items[i]);
	vec_done(&client->asked);
	vec_done(&client->again);
	loop_remove(client->timer);
	free(client->wishes);
}

/* ---- What is asked for ---- */

static bool has_volume(uint32_t number) { return number % VOLUME_EVERY == 7; }

static uint32_t networks(const struct simulation *simulation) { return simulation->options.instances / PER_NETWORK + 1; }

/* Some are of a group, some want to be away from one. */
static void write_placement(uint32_t number, struct str *body)
{
	if (number % GROUP_EVERY == 4)
		str_printf(body, ",\"placement\":{\"without\":[\"app=g%u\"]}", number / GROUP_EVERY % GROUPS);
}

void simulate_instance_size(uint64_t seed, uint32_t number, int64_t *ret_cpus, uint64_t *ret_memory)
{
	static const uint64_t mib[] = { 256, 512, 1024, 2048, 4096 };
	struct rng rng;

	rng_init(&rng, seed * 1000003 + number);
	*ret_cpus = 1 + (int64_t)rng_below(&rng, 4);
	*ret_memory = mib[rng_below(&rng, ARRAY_COUNT(mib))] << 20;
}

static void write_instance(const struct simulation *simulation, uint32_t number, struct str *body)
{
	bool is_shared = number % HA_EVERY == 1 || has_volume(number);
	uint64_t memory;
	int64_t cpus;

	simulate_instance_size(simulation->options.seed, number, &cpus, &memory);
	str_printf(body, "{\"meta\":{\"name\":\"i%06u\"", number);
	if (number % GROUP_EVERY == 3)
		str_printf(body, ",\"labels\":{\"app\":\"g%u\"}", number / GROUP_EVERY % GROUPS);
	str_printf(body, "},\"spec\":{\"root_size\":\"10GiB\",\"cpus\":%" PRId64 ",\"memory\":%" PRIu64 ",\"nics\":[",
		   cpus, memory);
	if (number % ALONE_EVERY)
		str_printf(body, "{\"network\":\"net-%u\"}", number % networks(simulation));
	str_append_char(body, ']');
	if (is_shared)
		str_printf(body, ",\"pool\":\"shared\",\"ha\":\"restart\"");
	if (has_volume(number))
		str_printf(body, ",\"volumes\":[{\"volume\":\"v%06u\"}]", number);
	write_placement(number, body);
	str_printf(body, "}}");
}

/* ---- Asking ---- */

static void take_reply(struct call *call, struct call_reply *reply);

static struct call *new_call(enum kind_id kind, const struct str *body, struct err *err)
{
	struct call *call = call_new(CALL_CREATE);

	call->kind = &kinds[kind];
	if (json_parse(body->data, body->size, &call->body, err) < 0)
		abort();			/* We wrote it. */
	return call;
}

static void ask(struct simulation *simulation, uint32_t number, bool is_volume)
{
	struct client *client = &simulation->client;
	struct asked *asked = alloc(sizeof(*asked));
	auto_str struct str body = { 0 };
	struct err err;

	if (is_volume)
		str_printf(&body, "{\"meta\":{\"name\":\"v%06u\"},\"spec\":{\"size\":\"1GiB\",\"pool\":\"shared\"}}", number);
	else
		write_instance(simulation, number, &body);
	*asked = (struct asked){
		.simulation = simulation, .call = new_call(is_volume ? KIND_VOLUME : KIND_INSTANCE, &body, &err), .is_volume = is_volume,
		.is_tried = client->wishes[number] == WISH_ASKED, .number = number,
	};
	client->wishes[number] = WISH_ASKED;
	*vec_push(&client->asked) = asked;
	asked->call->reply = take_reply;
	asked->call->data = asked;
	api_call(simulation->core, asked->call);
}

static void go_on(void *data)
{
	(void)data;			/* The turn is enough: client_ask() comes after it. */
}

static void later(struct simulation *simulation, uint32_t number)
{
	*vec_push(&simulation->client.again) = number;
	if (!simulation->client.timer)
		loop_add_timer(simulation->house.loop, AGAIN_MS, go_on, NULL, &simulation->client.timer);
}

static void forget(struct client *client, const struct asked *asked)
{
	for (size_t i = client->asked.count; i-- > 0;)
		if (client->asked.items[i] == asked) {
			vec_remove(&client->asked, i);
			return;
		}
}

static bool is_passing(int code)
{
	return code == -EAGAIN || code == -EHOSTUNREACH || code == -ESTALE || code == -ETIMEDOUT || code == -EBUSY;
}

static void take_reply(struct call *call, struct call_reply *reply)
{
	struct asked *asked = call->data;
	struct simulation *simulation = asked->simulation;
	struct client *client = &simulation->client;
	int code = reply->err.code == -EEXIST && asked->is_tried ? 0 : reply->err.code;	/* The answer was lost. */

	if (is_passing(code)) {
		later(simulation, asked->number);
	} else if (code < 0) {
		client->wishes[asked->number] = WISH_REFUSED;
		client->refused++;
		snprintf(client->refusal, sizeof(client->refusal), "%.199s", reply->err.msg);
	} else if (asked->is_volume) {
		ask(simulation, asked->number, false);
	} else {
		client->wishes[asked->number] = WISH_MADE;
		client->made++;
	}
	forget(client, asked);
	call_reply_done(reply);
	asked_free(asked);
}

void client_ask(struct simulation *simulation, uint32_t up_to)
{
	struct client *client = &simulation->client;

	if (!simulation->core)
		return;
	while (!client->timer && client->again.count && client->asked.count < UNDER_WAY_MAX) {
		uint32_t number = client->again.items[--client->again.count];

		ask(simulation, number, has_volume(number));
	}
	while (client->next < up_to && client->asked.count < UNDER_WAY_MAX) {
		ask(simulation, client->next, has_volume(client->next));
		client->next++;
	}
}

void client_lost_core(struct simulation *simulation)
{
	struct client *client = &simulation->client;

	while (client->asked.count) {
		struct asked *asked = client->asked.items[--client->asked.count];

		later(simulation, asked->number);
		asked_free(asked);
	}
}

bool client_is_done(const struct simulation *simulation)
{
	const struct client *client = &simulation->client;

	return client->made + client->refused == simulation->options.instances;
}

/* ---- What has to be there first ---- */

struct preparation { int code; bool has_come; struct err err; };

static void prepared(struct call *call, struct call_reply *reply)
{
	struct preparation *preparation = call->data;

	*preparation = (struct preparation){ reply->err.code, true, reply->err };
	call_reply_done(reply);
	call_free(call);
}

static int create(struct simulation *simulation, enum kind_id kind, const struct str *body, struct err *err)
{
	struct preparation preparation = { 0 };
	struct call *call = new_call(kind, body, err);

	call->reply = prepared;
	call->data = &preparation;
	api_call(simulation->core, call);
	while (!preparation.has_come && loop_step(simulation->house.loop, 0))
		simulation->steps++;
	if (preparation.code < 0)
		*err = preparation.err;
	return preparation.code;
}

int client_prepare(struct simulation *simulation, struct err *err)
{
	auto_str struct str body = { 0 };
	int r;

	str_printf(&body, "{\"meta\":{\"name\":\"shared\"},\"spec\":{\"shared\":true,\"source\":\"/pool\"}}");
	r = create(simulation, KIND_POOL, &body, err);
	for (uint32_t i = 0; i < networks(simulation) && r == 0; i++) {
		str_clear(&body);
		str_printf(&body, "{\"meta\":{\"name\":\"net-%u\"},\"spec\":{\"ipv4\":\"10.%u.0.1/16\"}}", i, 64 + i);
		r = create(simulation, KIND_NETWORK, &body, err);
	}
	return r;
}

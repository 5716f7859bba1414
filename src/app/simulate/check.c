/* Is everything as it must be? */
#include "app/simulate/simulation.h"

#include "base/mem.h"
#include "base/str.h"

static void broken(struct simulation *simulation, const char *text)
{
	if (!simulation->broken[0])
		snprintf(simulation->broken, sizeof(simulation->broken), "%.180s (seed %llu, step %llu)", text,
			 (unsigned long long)simulation->options.seed, (unsigned long long)simulation->steps);
}

void check_step(struct simulation *simulation)
{
	if (simulation->house.witness.broken[0])
		broken(simulation, simulation->house.witness.broken);
}

void check_second(struct simulation *simulation)
{
	size_t present = objects_all(simulation->objects, KIND_INSTANCE)->count;
	struct err err;

	if (present < simulation->client.made)
		broken(simulation, "instances that were acknowledged are not there any more");
	if (simulation->core && core_check(simulation->core, false, &err) < 0)
		broken(simulation, err.msg);
}

struct tally check_all(struct simulation *simulation)
{
	struct tally tally = { 0 };

	for (uint32_t i = 0; i < simulation->options.instances; i++) {
		auto_free char *name = NULL;
		const struct instance *instance;

		if (simulation->client.wishes[i] != WISH_MADE)
			continue;
		name = client_name(i);
		instance = objects_find(simulation->objects, KIND_INSTANCE, NULL, name);
		if (!instance) {
			tally.lost++;
			snprintf(tally.silent, sizeof(tally.silent), "%s", name);
		} else if (instance->status.state == INSTANCE_RUNNING && witness_where(&simulation->house.witness, instance->meta.uid) >= 0) {
			tally.running++;
		} else if (instance->status.reason && instance->status.reason[0]) {
			tally.explained++;
			snprintf(tally.why_not, sizeof(tally.why_not), "%s: %.160s", name, instance->status.reason);
		} else {
			snprintf(tally.silent, sizeof(tally.silent), "%s, which is %s", name, instance_state_names[instance->status.state]);
		}
	}
	return tally;
}

void check_end(struct simulation *simulation)
{
	struct tally tally = check_all(simulation);
	struct err err;

	check_step(simulation);
	check_second(simulation);
	if (tally.lost) {
		auto_free char *text = text_format("instance %s was acknowledged and is lost", tally.silent);

		broken(simulation, text);
	} else if (tally.silent[0]) {
		auto_free char *text = text_format("instance %s, neither runs nor says why", tally.silent);

		broken(simulation, text);
	}
	if (simulation->core && core_check(simulation->core, true, &err) < 0)
		broken(simulation, err.msg);
}

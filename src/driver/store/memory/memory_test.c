#include "port/store.h"
#include "port/store_conformance.h"

int main(void)
{
	const struct store_conformance subjects[] = {
		{ .name = "memory, virtual time", .ops = &store_memory, .clock = LOOP_CLOCK_VIRTUAL, .lease_ms = 1000,
		  .random_steps = 20000 },
		{ .name = "memory, real time", .ops = &store_memory, .clock = LOOP_CLOCK_REAL, .lease_ms = 200,
		  .random_steps = 5000 },
	};

	return store_conformance_run(&subjects[0]) + store_conformance_run(&subjects[1]);
}

/* The store port on a real etcd: one member. Three, and what they suffer: etcd_faults_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "driver/store/etcd/etcd_fixture.h"
#include "port/store_conformance.h"

struct subject {
	struct store_conformance conformance;
	struct etcd_cluster cluster;
};

static void reset(const struct store_conformance *conformance)
{
	struct subject *subject = container_of(conformance, struct subject, conformance);

	etcd_cluster_new_prefix(&subject->cluster);
}

int main(void)
{
	struct subject subject = {
		.conformance = {
			.name = "etcd, one member", .ops = &store_etcd, .clock = LOOP_CLOCK_REAL, .lease_ms = 1000, .is_shared = true,
			.is_persistent = true, .random_steps = 500, .reset = reset,
		},
	};
	int failed;

	etcd_require();
	subject.conformance.etcd = &subject.cluster.params;
	etcd_cluster_start(&subject.cluster, &(struct etcd_cluster_params){ .count = 1 });
	failed = store_conformance_run(&subject.conformance);
	etcd_cluster_stop(&subject.cluster);
	return failed;
}

/* strata - the command. Everything is in 5-interface/cli; here it only meets the drivers. */
#include <stdio.h>

#include "4-service/cluster/membership.h"
#include "4-service/state.h"
#include "5-interface/cli/cli.h"
#include "app/wiring/cgroup.h"
#include "base/file.h"
#include "base/mem.h"
#include "driver/store/sqlite/restore.h"

static int restore(const char *file, const char *state, struct err *err)
{
	auto_free char *path = text_format("%s/store.db", state);
	int result = file_make_dirs(state, 0700, err);

	return result < 0 ? result : store_sqlite_restore(file, path, err);
}

static int forget(const char *directory, struct err *err)
{
	struct state state = { .lock_fd = -1 };
	auto_free char *cgroup = NULL;
	struct rng rng;
	int r;

	rng_init_random(&rng);
	r = state_open(directory, &rng, &state, err);
	if (r < 0)
		return r;
	cgroup = cgroup_of_member(state.node_tag);
	r = cluster_forget(state.directory, &member_etcd, cgroup, err);
	state_close(&state);
	return r;
}

int main(int argc, char **argv)
{
	const struct cli_doors doors = { .restore = restore, .forget = forget };

	return cli_main(argc, argv, &doors, stdout, stderr);
}

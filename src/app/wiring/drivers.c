#include "app/wiring/drivers.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/wiring/cgroup.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/machine/sim/sim.h"
#include "driver/volume/sim/sim.h"
#include "model/pool.h"

/* May an unprivileged helper reach files below 'path'? */
static bool others_may_enter(const char *path)
{
	auto_free char *prefix = text_copy(path);
	struct stat st;

	for (char *slash = prefix + strlen(prefix); slash != prefix; slash = strrchr(prefix, '/')) {
		*slash = '\0';
		if (prefix[0] && (stat(prefix, &st) < 0 || !(st.st_mode & S_IXOTH)))
			return false;
	}
	return true;
}

/* dnsmasq reads its hosts as a user without rights; below a closed folder such as /root it could not. */
static char *choose_network_folder(const char *directory, const char *node_tag)
{
	if (others_may_enter(directory))
		return text_format("%s/network", directory);
	return text_format("/run/strata-%s", node_tag);
}

/* ---- Pools ---- */

struct place { const struct volume_ops *ops; struct volume_params params; char *directory, *source; };

static void place_done(struct place *place)
{
	free(place->directory);
	free(place->source);
}

/* Where the volumes of a pool are: 'source' itself where it is a folder of its own, else below the state folder. */
static void place_of(const struct drivers *drivers, const struct pool *pool, struct place *ret_place)
{
	bool is_btrfs = pool->spec.driver == POOL_BTRFS;
	bool is_own_folder = !is_btrfs && pool->spec.source;

	ret_place->ops = drivers->sim_volumes ? &volume_sim : is_btrfs ? &volume_btrfs : &volume_file;
	ret_place->directory = is_own_folder ? text_copy(pool->spec.source) : text_format("%s/pools/%s", drivers->directory, pool->meta.uid);
	/* Without a source a file is made beside the folder it is mounted on. */
	ret_place->source = is_btrfs ? pool->spec.source ? text_copy(pool->spec.source) : text_format("%s.btrfs", ret_place->directory) : NULL;
	ret_place->params = (struct volume_params){
		.directory = ret_place->directory, .source = ret_place->source, .size_bytes = pool->spec.size,
		.world = drivers->sim_volumes,
	};
}

static int open_pool(void *data, const struct pool *pool, struct volume_driver **ret_driver, char **ret_path, struct err *err)
{
	struct place place;
	int r;

	place_of(data, pool, &place);
	r = place.ops->open(&place.params, ret_driver, err);
	if (r == 0)
		*ret_path = take(place.directory);
	place_done(&place);
	return r;
}

static int destroy_pool(void *data, const struct pool *pool, struct err *err)
{
	struct place place;
	int r;

	place_of(data, pool, &place);
	r = place.ops->destroy(&place.params, err);
	place_done(&place);
	return r;
}

/* ---- All of them ---- */

/* A simulated machine writes its snapshots into simulated volumes. */
static void open_simulation(struct drivers *drivers)
{
	drivers->sim_machines = sim_machines_new();
	drivers->sim_volumes = sim_volumes_new();
	sim_machines_on_snapshot(drivers->sim_machines, sim_volumes_take_snapshot, drivers->sim_volumes);
}

static int open_machines(struct drivers *drivers, const char *node_tag, struct err *err)
{
	auto_free char *run = text_format("%s/run", drivers->directory), *run_containers = text_format("%s/run-containers", drivers->directory);
	struct machine_params params = { .directory = run, .node_tag = node_tag, .cgroup = drivers->cgroups[INSTANCE_VM], .world = drivers->sim_machines };
	int r;

	if (drivers->sim_machines) {
		r = machine_sim.open(&params, &drivers->machines[INSTANCE_VM], err);
		drivers->machines[INSTANCE_CONTAINER] = drivers->machines[INSTANCE_VM];
		return r;
	}
	r = machine_qemu.open(&params, &drivers->machines[INSTANCE_VM], err);
	params.directory = run_containers;
	params.cgroup = drivers->cgroups[INSTANCE_CONTAINER];
	return r < 0 ? r : machine_oci.open(&params, &drivers->machines[INSTANCE_CONTAINER], err);
}

/* The watchdog lies beside the daemon, and what both share where no disk can keep it waiting. */
static int open_fence(const char *folder, const char *cgroup, struct fence_driver **ret_fence, struct err *err)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self));
	auto_free char *group = text_format("%s/fence", cgroup), *program = NULL;

	if (length < 0 || length == sizeof(self))
		return err_set(err, length < 0 ? -errno : -ENAMETOOLONG, "where this program lies: %m");
	while (length > 0 && self[length - 1] != '/')
		length--;
	program = text_format("%.*sstrata-fence", (int)length, self);
	return fence_process.open(&(struct fence_params){ .directory = folder, .program = program, .cgroup = group }, ret_fence, err);
}

/* The host has left its cluster: nobody renews a lease for what is still under guard. */
static int disarm_fence(const char *folder, const char *cgroup, struct err *err)
{
	struct fence_driver *fence = NULL;
	auto_fence_status struct fence_status status = { 0 };
	int r = access(folder, F_OK) < 0 ? 0 : open_fence(folder, cgroup, &fence, err);

	if (!fence)
		return r;
	r = fence->ops->status(fence, &status, err);
	for (size_t i = 0; i < status.guards.count && r == 0; i++)
		r = fence->ops->unguard(fence, status.guards.items[i].uid, err);
	fence->ops->close(fence);
	return r;
}

int drivers_open(const char *directory, const char *node_tag, bool is_simulated, bool is_shared, struct drivers *drivers, struct err *err)
{
	const struct volume_ops *volume = is_simulated ? &volume_sim : &volume_file;
	const struct fabric_ops *fabric = is_simulated ? &fabric_sim : &fabric_bridge;
	char *cgroup = drivers->cgroup = cgroup_of_node(node_tag);
	auto_free char *volumes = text_format("%s/volumes", directory), *fence = text_format("/run/strata-%s/fence", node_tag);
	auto_free char *helpers = text_format("%s/network", cgroup), *network = choose_network_folder(directory, node_tag);
	struct volume_params volume_params = { .directory = volumes };
	struct fabric_params fabric_params = { .directory = network, .node_tag = node_tag, .cgroup = helpers };
	int r;

	drivers->directory = text_copy(directory);
	drivers->cgroups[INSTANCE_VM] = text_format("%s/machines", cgroup);
	drivers->cgroups[INSTANCE_CONTAINER] = text_format("%s/containers", cgroup);
	drivers->pools = (struct pool_source){ .open = open_pool, .destroy = destroy_pool, .data = drivers };
	if (is_simulated)
		open_simulation(drivers);
	volume_params.world = drivers->sim_volumes;
	r = open_machines(drivers, node_tag, err);
	if (r == 0)
		r = volume->open(&volume_params, &drivers->volume, err);
	if (r == 0)
		r = fabric->open(&fabric_params, &drivers->fabric, err);
	if (r == 0 && !is_simulated)
		r = is_shared ? open_fence(fence, cgroup, &drivers->fence, err) : disarm_fence(fence, cgroup, err);
	return r;
}

void drivers_close(struct drivers *drivers)
{
	for (size_t i = 0; i < INSTANCE_KIND_COUNT; i++)
		if (drivers->machines[i] && (i == 0 || drivers->machines[i] != drivers->machines[i - 1]))
			drivers->machines[i]->ops->close(drivers->machines[i]);
	if (drivers->volume)
		drivers->volume->ops->close(drivers->volume);
	if (drivers->fabric)
		drivers->fabric->ops->close(drivers->fabric);
	if (drivers->fence)
		drivers->fence->ops->close(drivers->fence);
	for (size_t i = 0; i < INSTANCE_KIND_COUNT; i++)
		free(drivers->cgroups[i]);
	sim_machines_free(drivers->sim_machines);
	sim_volumes_free(drivers->sim_volumes);
	free(drivers->directory);
	free(drivers->cgroup);
}

#include <stdlib.h>

#include "driver/machine/sim/world.h"

static struct machine_disk disk_copy(const struct machine_disk *disk)
{
	struct volume_layer *layers = alloc(disk->layer_count * sizeof(*layers) + 1);
	struct machine_disk copy = *disk;

	for (size_t i = 0; i < disk->layer_count; i++)
		layers[i] = (struct volume_layer){ text_copy(disk->layers[i].path), disk->layers[i].format };
	copy.id = text_copy(disk->id);
	copy.layers = layers;
	return copy;
}

static void disk_done(struct machine_disk *disk)
{
	for (size_t i = 0; i < disk->layer_count; i++)
		free(disk->layers[i].path);
	free((void *)disk->layers);
	free((void *)disk->id);
}

/* The vectors may have moved. */
static void point_at_vectors(struct sim_config *copy)
{
	copy->config.disks = copy->disks.items;
	copy->config.disk_count = copy->disks.count;
	copy->config.nics = copy->nics.items;
	copy->config.nic_count = copy->nics.count;
}

struct sim_config *sim_config_copy(const struct machine_config *config)
{
	struct sim_config *copy = alloc(sizeof(*copy));

	copy->config = *config;
	copy->config.uid = text_copy(config->uid);
	copy->config.name = text_copy(config->name);
	copy->config.kernel = text_copy(config->kernel);
	copy->config.initrd = text_copy(config->initrd);
	copy->config.cmdline = text_copy(config->cmdline);
	copy->config.nvram = text_copy(config->nvram);
	copy->config.console_log = text_copy(config->console_log);
	copy->config.memory_snapshot = text_copy(config->memory_snapshot);
	for (size_t i = 0; i < config->disk_count; i++)
		*vec_push(&copy->disks) = disk_copy(&config->disks[i]);
	for (size_t i = 0; i < config->nic_count; i++)
		*vec_push(&copy->nics) = config->nics[i];
	point_at_vectors(copy);
	return copy;
}

void sim_config_free(struct sim_config *copy)
{
	if (!copy)
		return;
	for (size_t i = 0; i < copy->disks.count; i++)
		disk_done(&copy->disks.items[i]);
	vec_done(&copy->disks);
	vec_done(&copy->nics);
	free((void *)copy->config.uid);
	free((void *)copy->config.name);
	free((void *)copy->config.kernel);
	free((void *)copy->config.initrd);
	free((void *)copy->config.cmdline);
	free((void *)copy->config.nvram);
	free((void *)copy->config.console_log);
	free((void *)copy->config.memory_snapshot);
	free(copy);
}

void sim_config_add_disk(struct sim_config *copy, const struct machine_disk *disk)
{
	for (size_t i = 0; i < copy->disks.count; i++)
		if (text_equal(copy->disks.items[i].id, disk->id))
			return;
	*vec_push(&copy->disks) = disk_copy(disk);
	point_at_vectors(copy);
}

bool sim_config_remove_disk(struct sim_config *copy, const char *id)
{
	for (size_t i = 0; i < copy->disks.count; i++) {
		if (!text_equal(copy->disks.items[i].id, id))
			continue;
		disk_done(&copy->disks.items[i]);
		vec_remove(&copy->disks, i);
		point_at_vectors(copy);
		return true;
	}
	return false;
}

#include "driver/volume/sim/world.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void sim_volume_free(struct sim_volume *volume)
{
	if (!volume)
		return;
	for (size_t i = 0; i < volume->snapshots.count; i++)
		free(volume->snapshots.items[i].name);
	vec_done(&volume->snapshots);
	free(volume->parent);
	free(volume);
}

struct sim_volumes *sim_volumes_new(void)
{
	struct sim_volumes *world = alloc(sizeof(*world));

	pthread_mutex_init(&world->lock, NULL);
	return world;
}

void sim_volumes_free(struct sim_volumes *world)
{
	if (!world)
		return;
	for (size_t i = 0; i < world->volumes.count; i++)
		sim_volume_free(world->volumes.entries[i].value);
	map_done(&world->volumes);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

static size_t count_if(struct sim_volumes *world, bool is_half_built)
{
	size_t count = 0;

	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->volumes.count; i++) {
		const struct sim_volume *volume = world->volumes.entries[i].value;

		count += volume->is_half_built == is_half_built;
	}
	pthread_mutex_unlock(&world->lock);
	return count;
}

size_t sim_volumes_count(struct sim_volumes *world)
{
	return count_if(world, false);
}

size_t sim_volumes_half_built(struct sim_volumes *world)
{
	return count_if(world, true);
}

void sim_volumes_write(struct sim_volumes *world, const char *name, uint64_t content)
{
	struct sim_volume *volume;

	pthread_mutex_lock(&world->lock);
	volume = map_get(&world->volumes, name);
	assert(volume);
	volume->content = content;
	pthread_mutex_unlock(&world->lock);
}

uint64_t sim_volumes_read(struct sim_volumes *world, const char *name)
{
	const struct sim_volume *volume;
	uint64_t content;

	pthread_mutex_lock(&world->lock);
	volume = map_get(&world->volumes, name);
	assert(volume);
	content = volume->content;
	pthread_mutex_unlock(&world->lock);
	return content;
}

struct sim_snapshot *sim_volume_find(struct sim_volume *volume, const char *name)
{
	for (size_t i = 0; i < volume->snapshots.count; i++)
		if (text_equal(volume->snapshots.items[i].name, name))
			return &volume->snapshots.items[i];
	return NULL;
}

void sim_volume_add(struct sim_volume *volume, const char *name)
{
	*vec_push(&volume->snapshots) = (struct sim_snapshot){
		.name = text_copy(name), .content = volume->content, .size_bytes = volume->size_bytes,
	};
}

void sim_volume_drop(struct sim_volume *volume, struct sim_snapshot *snapshot)
{
	free(snapshot->name);
	vec_remove(&volume->snapshots, (size_t)(snapshot - volume->snapshots.items));
}

void sim_volumes_take_snapshot(void *data, const char *path, const char *snapshot, bool is_removed)
{
	struct sim_volumes *world = data;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	auto_free char *volume_name = text_copy_length(name, strcspn(name, "."));
	struct sim_volume *volume;
	struct sim_snapshot *present;

	pthread_mutex_lock(&world->lock);
	volume = map_get(&world->volumes, volume_name);
	present = volume ? sim_volume_find(volume, snapshot) : NULL;
	if (present && is_removed)
		sim_volume_drop(volume, present);
	else if (volume && !present && !is_removed)
		sim_volume_add(volume, snapshot);
	pthread_mutex_unlock(&world->lock);
}

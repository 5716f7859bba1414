/*
 * image_job.h - getting or removing an image, as it runs in a worker.
 */
#ifndef AGENT_IMAGE_JOB_H
#define AGENT_IMAGE_JOB_H

#include "2-virtualization/agent/item.h"

struct image_job {
	struct job job;
	struct agent *agent;
	struct loop *loop;
	struct volume_driver *volume;
	VEC(struct volume_driver *) pools;	/* REMOVE: of all pools but the default: they may have copies. */
	const struct image_source *source;
	struct image *image;			/* A copy; status is filled in by the job. */
	char *folder;				/* images/<uid> */
	char *work_folder;			/* staging/<uid>.image */
	char *staging;				/* staging */
	bool is_removal;
	bool is_copy;				/* From one of 'sources', the first that has it. */
	const struct peer_source *peers;
	VEC(struct peer) sources;
	bool *is_cancelled;			/* The item's. */
	const char *step;
	int64_t reported_ms;

	/* Of containers. */
	char *layers_folder;
	char *base_manifest;			/* COMMIT: of the container's image. */
	struct image_config base_config;
	char *instance_uid;			/* COMMIT: the container. */
	struct machine_driver *machine;		/* COMMIT: set when it runs: it is frozen meanwhile. */
	struct volume_driver *instance_volume;
};

/* Shown to readers as what the import is doing. */
void image_begin_step(struct image_job *job, const char *step);
/* Moves the upload to 'path' and checks its sum; a repetition finds it there. */
int image_take_upload(struct image_job *job, const struct image_part *part, const char *path, char ret_sha256[65], struct err *err);

struct image_job *image_job_new(struct item *item, const struct image *image, bool is_removal);

/* ---- image_copy.c: images that are made on other nodes ---- */

bool image_is_copy(struct item *item, const struct image *image);
void image_copy_find_sources(struct agent *agent, struct image_job *job);
/* What GET .../export?<query> of the image gives, into a new file. In the worker. */
int image_copy_part(struct image_job *job, const char *query, const char *path, const struct volume_progress *progress, struct err *err);
void image_copied(struct item *item, struct image_job *job);
/* Not run yet: the image is no more, and neither should the copy be. */
struct job *image_forget_job(struct item *item, const struct image *image);

/* ---- image_layers.c: container images ---- */

/* Fills in what a container's job needs beside; false: it has to wait for another item or for the collection. */
bool image_layers_prepare(struct item *item, const struct image *image, struct image_job *job);
void image_layers_done(struct image_job *job);
int image_layers_import(struct image_job *job, const struct volume_progress *progress, struct err *err);
/* Removes layers that no image needs any more, when no import is under way. In the loop. */
void image_layers_collect(struct agent *agent);

#endif

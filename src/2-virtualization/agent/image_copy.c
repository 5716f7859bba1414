/*
 * image_copy.c - images that are made on another node: copied from there, or from whoever has a copy, when an instance needs them.
 *
 * The note copy/<image>/<node> says that the copy is complete. It is imported as what the other node sends, and is the same image: so a
 * recipe or a name at a registry that means something else by now is the same on all nodes.
 */
#include "2-virtualization/agent/image_job.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/node.h"

static char *copy_key(const char *image, const char *node)
{
	return text_format("copy/%s/%s", image, node);
}

static bool is_own(struct agent *agent, const struct image *image)
{
	const char *owner = objects_owner(agent->params.objects, &kinds[KIND_IMAGE], image);

	return !owner[0] || text_equal(owner, agent->node);
}

/* ---- In a worker ---- */

int image_copy_part(struct image_job *job, const char *query, const char *path, const struct volume_progress *progress, struct err *err)
{
	const struct peer_source *peers = job->peers;
	auto_str struct str url = { 0 };
	int r = err_set(err, -EHOSTUNREACH, "no node that has image '%s' is there", job->image->meta.name);

	str_append(&url, "/v1/images/");
	str_append_url(&url, job->image->meta.name);
	str_printf(&url, "/export?%s", query);
	image_begin_step(job, "copy");
	for (size_t i = 0; i < job->sources.count && r < 0; i++) {
		auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return err_set(err, -errno, "'%s': %m", path);
		r = peers->get(peers->data, &job->sources.items[i], str_text(&url), fd, progress, err);
	}
	return r;
}

/* ---- In the loop ---- */

static void add_source(struct agent *agent, struct image_job *job, const char *uid)
{
	const struct node *node = objects_get(agent->params.objects, KIND_NODE, uid);
	auto_free char *alive = text_format("alive/%s", uid);

	if (node && node->status.address && !text_equal(uid, agent->node) && objects_note(agent->params.objects, alive))
		*vec_push(&job->sources) = (struct peer){ text_copy(uid), text_copy(node->meta.name), text_copy(node->status.address) };
}

void image_copy_find_sources(struct agent *agent, struct image_job *job)
{
	const struct map *nodes = objects_all(agent->params.objects, KIND_NODE);

	add_source(agent, job, job->image->spec.node);
	for (size_t i = 0; i < nodes->count; i++) {
		auto_free char *key = copy_key(job->image->meta.uid, nodes->entries[i].key);

		if (objects_note(agent->params.objects, key))
			add_source(agent, job, nodes->entries[i].key);
	}
}

static void stored(void *data, const struct store_result *result)
{
	(void)data;
	if (result->err.code < 0)
		log_line(LOG_WARNING, "a copy of an image could not be entered in the store: %s", result->err.msg);
}

void image_copied(struct item *item, struct image_job *job)
{
	struct agent *agent = item->agent;
	struct image_status *status = item->status;
	auto_free char *key = copy_key(item->uid, agent->node), *desired = text_format("desired/image/%s", item->uid);
	struct store_txn *txn;

	text_replace(&status->reason, job->job.err.code < 0 ? job->job.err.msg : NULL);
	if (job->job.err.code < 0) {
		log_line(LOG_WARNING, "image '%s' cannot be copied here: %s", job->image->meta.name, job->job.err.msg);
		item_fail(item);
		return;
	}
	item->failures = 0;
	item->is_copied = true;
	txn = store_txn_new();
	store_txn_guard(txn, STORE_EXISTS, desired, 0);
	store_txn_put(txn, key, "", 0, 0);
	store_submit(agent->params.store, txn, stored, NULL);
}

bool image_is_copy(struct item *item, const struct image *image)
{
	return !is_own(item->agent, image);
}

struct item *image_to_wait_for(struct agent *agent, const struct image *image)
{
	auto_free char *key = image ? copy_key(image->meta.uid, agent->node) : NULL;
	struct item *item;

	if (!image || is_own(agent, image))
		return NULL;
	item = agent_item(agent, &kinds[KIND_IMAGE], (void *)image);
	if (!item->is_copied && !item->is_busy && objects_note(agent->params.objects, key))
		item->is_copied = true;
	return item->is_copied ? NULL : item;
}

static void forgotten(struct job *base)
{
	const struct image_job *job = container_of(base, struct image_job, job);

	if (base->err.code < 0)
		log_line(LOG_WARNING, "the copy of image '%s' here could not be removed: %s", job->image->meta.name, base->err.msg);
}

struct job *image_forget_job(struct item *item, const struct image *image)
{
	struct image_job *job = image_job_new(item, image, true);
	auto_free char *key = copy_key(item->uid, item->agent->node);
	struct store_txn *txn = store_txn_new();

	store_txn_delete(txn, key);
	store_submit(item->agent->params.store, txn, NULL, NULL);
	job->job.done = forgotten;
	item->has_layers = image->spec.kind == IMAGE_CONTAINER;
	return &job->job;
}

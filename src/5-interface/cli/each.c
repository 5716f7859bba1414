#include "5-interface/cli/each.h"

#include "base/str.h"

/* One failure of several: told at once. Returns whether to go on. */
static bool note_failure(struct cli *cli, int result, const struct err *err)
{
	cli_complain(cli, err);
	return result != -EINTR;
}

int each_argument(struct cli *cli, each_fn *fn, void *data, struct err *err)
{
	size_t count = cli_argument_count(cli);
	int exit_code = 0;

	if (count == 1)
		return fn(cli, cli_argument(cli, 0), data, err);
	for (size_t i = 0; i < count; i++) {
		int result = fn(cli, cli_argument(cli, i), data, err);

		if (result == 0)
			continue;
		exit_code = 1;
		if (result < 0 && !note_failure(cli, result, err))
			return 130;
	}
	return exit_code;
}

struct batch {
	const struct each_job *job;
	int64_t *revisions;		/* By argument; -1: its request failed. */
	size_t next;			/* Argument whose turn it is. */
};

static int send_one(struct cli *cli, const char *name, void *data, struct err *err)
{
	struct batch *batch = data;
	int64_t *revision = &batch->revisions[batch->next++];
	int result = batch->job->request(cli, batch->job->kind, name, revision, err);

	if (result < 0)
		*revision = -1;
	return result;
}

static int wait_one(struct cli *cli, const char *name, void *data, struct err *err)
{
	struct batch *batch = data;
	const struct each_job *job = batch->job;
	int64_t revision = batch->revisions[batch->next++];
	auto_free char *path = request_path(job->kind->plural, name, NULL);

	if (revision < 0)
		return 1;		/* Told already. */
	return wait_for(cli, &(struct wait){ .kind = job->kind, .path = path, .name = name, .revision = revision,
			.look = job->look, .is_patient = job->is_patient }, err);
}

int each_request(struct cli *cli, const struct each_job *job, struct err *err)
{
	auto_free int64_t *revisions = alloc(cli_argument_count(cli) * sizeof(*revisions));
	struct batch batch = { .job = job, .revisions = revisions };
	int result = each_argument(cli, send_one, &batch, err), waited;

	if (result < 0 || !job->look || (cli_offers(cli, "no-wait") && cli_has(cli, "no-wait")))
		return result;
	batch.next = 0;
	waited = each_argument(cli, wait_one, &batch, err);
	return waited ? waited : result;
}

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "driver/machine/qemu/migrate.h"

static enum migrate_status status_of(const char *word)
{
	static const struct { const char *word; enum migrate_status status; } words[] = {
		{ "setup", MIGRATE_GOING }, { "active", MIGRATE_GOING }, { "device", MIGRATE_GOING },
		{ "cancelling", MIGRATE_GOING }, { "wait-unplug", MIGRATE_GOING },
		{ "pre-switchover", MIGRATE_PRE_SWITCHOVER },
		{ "postcopy-active", MIGRATE_POSTCOPY }, { "postcopy-recover", MIGRATE_POSTCOPY },
		{ "postcopy-recover-setup", MIGRATE_POSTCOPY }, { "postcopy-paused", MIGRATE_POSTCOPY_PAUSED },
		{ "completed", MIGRATE_COMPLETED },
	};

	for (size_t i = 0; i < ARRAY_COUNT(words); i++)
		if (text_equal(word, words[i].word))
			return words[i].status;
	return MIGRATE_NONE;
}

void migrate_state_read(const struct json *reply, struct migrate_state *state)
{
	const struct json *answer = json_get(reply, "return"), *ram = json_get(answer, "ram");
	const char *reason = json_string(json_get(answer, "error-desc"), "");

	*state = (struct migrate_state){
		.status = status_of(json_string(json_get(answer, "status"), "")),
		.sent = json_uint(json_get(ram, "transferred"), 0),
		.remaining = json_uint(json_get(ram, "remaining"), 0),
		.total = json_uint(json_get(ram, "total"), 0),
		.downtime_ms = json_uint(json_get(answer, "downtime"), 0),
		.pass = (unsigned)json_uint(json_get(ram, "dirty-sync-count"), 0),
	};
	state->dirty_bytes_per_s = json_uint(json_get(ram, "dirty-pages-rate"), 0) * json_uint(json_get(ram, "page-size"), 0);
	text_shown(reason, sizeof(state->reason) - 4, state->reason, sizeof(state->reason));
}

int migrate_failure(const char *words, struct err *err)
{
	int code = strstr(words, "ertificate") || strstr(words, "TLS handshake") ? -EACCES : -EIO;

	return err_set(err, code, "%s", words[0] ? words : "the destination broke the connection off");
}

uint16_t migrate_port_read(const struct json *reply)
{
	const struct json *address = json_at(json_path(reply, "return.socket-address"), 0);
	unsigned port = 0;

	if (sscanf(json_string(json_get(address, "port"), ""), "%5u", &port) != 1 || port > UINT16_MAX)
		return 0;
	return (uint16_t)port;
}

enum migrate_job migrate_job_read(const struct json *reply, const char *id, uint64_t *done, uint64_t *total, char reason[static 160])
{
	const struct json *jobs = json_get(reply, "return"), *job = NULL;
	const char *status;

	for (size_t i = 0; i < json_count(jobs) && !job; i++)
		if (text_equal(json_string(json_get(json_at(jobs, i), "device"), NULL), id))
			job = json_at(jobs, i);
	reason[0] = '\0';
	*done = json_uint(json_get(job, "offset"), 0);
	*total = json_uint(json_get(job, "len"), 0);
	if (!job)
		return MIGRATE_JOB_GONE;
	text_shown(json_string(json_get(job, "error"), ""), 150, reason, 160);
	status = json_string(json_get(job, "status"), "");
	if (text_equal(status, "concluded") || text_equal(status, "aborting"))
		return MIGRATE_JOB_ENDED;
	if (!text_equal(json_string(json_get(job, "io-status"), "ok"), "ok")) {
		snprintf(reason, 160, "the disk at the destination cannot be written any more");
		return MIGRATE_JOB_STUCK;
	}
	if (text_equal(status, "ready") || text_equal(status, "standby"))
		return MIGRATE_JOB_READY;
	return MIGRATE_JOB_COPYING;
}

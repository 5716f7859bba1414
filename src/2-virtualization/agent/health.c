/*
 * health.c - is a container well?  A command inside says so by its exit code, every so often.
 *
 * One check at a time, in a thread of its own, because a guest may let it hang; what takes longer than the timeout is
 * ended and has failed. The checks of one run of a container belong to one struct health: results that come
 * after its end find it gone by its number.
 */
#include "2-virtualization/agent/item.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

enum { OUTPUT_BYTES = 1024, BUSY_RETRY_MS = 1000 };

struct check;

struct health {
	struct item *item;
	struct loop_source *timer;	/* The next check, or the end of the present one's time. */
	struct check *check;		/* Under way; its own until it is done. */
	uint64_t started_ms;
};

struct check {
	struct agent *agent;
	char uid[37];
	struct machine_driver *machine;
	char **argv;
	int output;			/* A memfd. */
	bool is_cancelled, is_late;
	int exit_code;
	struct err err;
};

static void fire(void *data);

static void schedule(struct health *health, int64_t ms, void (*fn)(void *data))
{
	loop_remove(health->timer);
	health->timer = NULL;
	loop_add_timer(health->item->agent->params.loop, (uint64_t)ms, fn, health, &health->timer);
}

static void check_free(struct check *check)
{
	for (size_t i = 0; check->argv && check->argv[i]; i++)
		free(check->argv[i]);
	free(check->argv);
	closep(&check->output);
	free(check);
}

static void run(void *data)
{
	struct check *check = data;
	struct machine_exec exec = {
		.argv = (const char *const *)check->argv, .input = -1, .output = check->output, .error = check->output, .resize = -1,
		.is_cancelled = &check->is_cancelled,
	};

	if (check->machine->ops->exec(check->machine, check->uid, &exec, &check->exit_code, &check->err) == 0)
		check->err.code = 0;
}

static char *read_output(const struct check *check)
{
	char buffer[OUTPUT_BYTES + 1];
	ssize_t size = pread(check->output, buffer, OUTPUT_BYTES, 0);
	struct str text = { 0 };

	for (ssize_t i = 0; i < size;) {
		size_t length = utf8_length(buffer + i, (size_t)(size - i));

		if (length)
			str_append_bytes(&text, buffer + i, length);
		else
			str_append_char(&text, '?');
		i += length ? (ssize_t)length : 1;
	}
	while (text.size && text.data[text.size - 1] == '\n')
		text.data[--text.size] = '\0';
	return take(text.data);
}

static void judge(struct item *item, const struct instance *instance, const struct check *check)
{
	const struct instance_health *rule = &instance->spec.container.health;
	struct instance_status *status = item->status;
	int before = status->health;
	auto_free char *output = check->is_late ? text_copy("took longer than its timeout") :
		check->err.code < 0 ? text_copy(check->err.msg) : read_output(check);
	bool is_well = check->err.code == 0 && check->exit_code == 0 && !check->is_late;
	bool is_starting = before == HEALTH_STARTING &&
		loop_now_ms(item->agent->params.loop) - item->health->started_ms < (uint64_t)rule->start_period;

	status->health_failures = is_well ? 0 : is_starting ? status->health_failures : status->health_failures + 1;
	text_replace(&status->health_output, output);
	if (is_well)
		status->health = HEALTH_HEALTHY;
	else if (status->health_failures >= rule->retries)
		status->health = HEALTH_UNHEALTHY;
	if (status->health == before)
		item_show(item);
	else
		item_save(item, status->health == HEALTH_HEALTHY ? "healthy" : "unhealthy", status->health == HEALTH_UNHEALTHY,
			  "'%s' is %s", instance->meta.name, status->health == HEALTH_HEALTHY ? "well" : "not well");
}

static void done(void *data)
{
	struct check *check = data;
	struct item *item = item_get(check->agent, check->uid);
	const struct instance *instance = item ? item_object(item) : NULL;

	if (instance && item->health && item->health->check == check) {
		item->health->check = NULL;
		judge(item, instance, check);
		schedule(item->health, instance->spec.container.health.interval, fire);
	}
	check_free(check);
}

static void time_is_up(void *data)
{
	struct health *health = data;

	health->timer = NULL;
	health->check->is_late = true;
	health->check->is_cancelled = true;
}

static void fire(void *data)
{
	struct health *health = data;
	struct item *item = health->item;
	const struct instance *instance = item_object(item);
	struct check *check;
	struct err err = { 0 };

	health->timer = NULL;
	if (!instance || item->world.state != MACHINE_RUNNING) {
		schedule(health, BUSY_RETRY_MS, fire);	/* Paused: nobody can answer. */
		return;
	}
	const struct field_list *command = &instance->spec.container.health.command;
	check = alloc(sizeof(*check));
	*check = (struct check){ .agent = item->agent, .machine = item->machine, .output = memfd_create("health", MFD_CLOEXEC) };
	memcpy(check->uid, item->uid, sizeof(check->uid));
	check->argv = alloc((command->count + 1) * sizeof(char *));
	for (size_t i = 0; i < command->count; i++)
		check->argv[i] = text_copy(*field_list_at(command, char *, i));
	if (check->output < 0 || agent_run_detached(item->agent, run, done, check, &err) < 0) {
		check_free(check);
		schedule(health, BUSY_RETRY_MS, fire);
		return;
	}
	health->check = check;
	schedule(health, instance->spec.container.health.timeout, time_is_up);
}

void health_start(struct item *item, const struct instance *instance)
{
	const struct instance_health *rule = &instance->spec.container.health;
	struct instance_status *status = item->status;

	health_stop(item);
	if (!rule->command.count)
		return;
	item->health = alloc(sizeof(*item->health));
	*item->health = (struct health){ .item = item, .started_ms = loop_now_ms(item->agent->params.loop) };
	status->health = HEALTH_STARTING;
	status->health_failures = 0;
	schedule(item->health, rule->interval < rule->start_period || !rule->start_period ? rule->interval : rule->start_period, fire);
}

void health_stop(struct item *item)
{
	struct instance_status *status = item->status;

	if (!item->health)
		return;
	status->health = HEALTH_NONE;
	loop_remove(item->health->timer);
	if (item->health->check)
		item->health->check->is_cancelled = true;	/* done() frees it. */
	free(item->health);
	item->health = NULL;
}

/* The part of config.json about one process, which is also all that an exec says. */
#include <string.h>
#include <sys/resource.h>

#include "base/vec.h"
#include "driver/machine/oci/bundle.h"

enum {
	FILES_SOFT = 65536, FILES_HARD = 1048576,
	OOM_SCORE = 100,		/* Before the daemons of the host. */
};

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct environment { VEC(const char *) items; };

/* A later variable takes the place of an earlier one of its name. */
static void set_variable(struct environment *environment, const char *variable)
{
	size_t length = strcspn(variable, "=");

	if (!variable[length] || !length)
		return;
	for (size_t i = 0; i < environment->items.count; i++)
		if (strncmp(environment->items.items[i], variable, length + 1) == 0) {
			environment->items.items[i] = variable;
			return;
		}
	*vec_push(&environment->items) = variable;
}

static void set_variables(struct environment *environment, const char *const *variables)
{
	for (; variables && *variables; variables++)
		set_variable(environment, *variables);
}

static void write_environment(struct json_writer *writer, const struct bundle_process *process)
{
	struct environment environment = { 0 };
	auto_free char *home = text_format("HOME=%s", process->user->home);

	set_variable(&environment, "PATH=" DEFAULT_PATH);
	set_variable(&environment, home);
	if (process->has_terminal)
		set_variable(&environment, "TERM=xterm");
	/* For systemd: https://systemd.io/CONTAINER_INTERFACE */
	set_variable(&environment, "container=oci");
	set_variables(&environment, process->env);
	set_variables(&environment, process->more_env);
	json_write_array(writer, "env");
	for (size_t i = 0; i < environment.items.count; i++)
		json_write_string(writer, NULL, environment.items.items[i]);
	json_write_end_array(writer);
	vec_done(&environment.items);
}

static void write_user(struct json_writer *writer, const struct user *user)
{
	json_write_object(writer, "user");
	json_write_uint(writer, "uid", user->uid);
	json_write_uint(writer, "gid", user->gid);
	json_write_array(writer, "additionalGids");
	json_write_uint(writer, NULL, user->gid);
	for (size_t i = 0; i < user->group_count; i++)
		json_write_uint(writer, NULL, user->groups[i]);
	json_write_end_array(writer);
	json_write_end_object(writer);
}

/* As much as we may give ourselves. */
static void write_limits(struct json_writer *writer)
{
	struct rlimit own = { 1024, 1024 };
	rlim_t hard, soft;

	getrlimit(RLIMIT_NOFILE, &own);
	hard = own.rlim_max < FILES_HARD ? own.rlim_max : FILES_HARD;
	soft = hard < FILES_SOFT ? hard : FILES_SOFT;
	json_write_array(writer, "rlimits");
	json_write_object(writer, NULL);
	json_write_string(writer, "type", "RLIMIT_NOFILE");
	json_write_uint(writer, "hard", hard);
	json_write_uint(writer, "soft", soft);
	json_write_end_object(writer);
	json_write_end_array(writer);
}

void bundle_write_process(struct json_writer *writer, const char *key, const struct bundle_process *process)
{
	json_write_object(writer, key);
	json_write_bool(writer, "terminal", process->has_terminal);
	if (process->has_terminal && process->columns) {
		json_write_object(writer, "consoleSize");
		json_write_uint(writer, "height", process->rows);
		json_write_uint(writer, "width", process->columns);
		json_write_end_object(writer);
	}
	write_user(writer, process->user);
	json_write_array(writer, "args");
	for (const char *const *argument = process->argv; *argument; argument++)
		json_write_string(writer, NULL, *argument);
	json_write_end_array(writer);
	write_environment(writer, process);
	json_write_string(writer, "cwd", process->directory && process->directory[0] ? process->directory : "/");
	capability_write(writer, process->capabilities, process->user->uid);
	write_limits(writer);
	json_write_int(writer, "oomScoreAdj", OOM_SCORE);
	json_write_bool(writer, "noNewPrivileges", !process->has_new_privileges);
	json_write_end_object(writer);
}

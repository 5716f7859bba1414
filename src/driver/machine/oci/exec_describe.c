/* The process of an exec, from the container's config.json. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/vec.h"
#include "driver/machine/oci/bundle.h"
#include "driver/machine/oci/exec.h"

enum { BUNDLE_MAX_BYTES = 8 << 20 };

struct texts { VEC(const char *) items; };

static int read_bundle(const struct session *session, struct json **ret_json, struct err *err)
{
	auto_free char *path = text_format("/proc/self/fd/%d/config.json", session->run_dir);
	auto_str struct str text = { 0 };
	int r = file_read_all(path, BUNDLE_MAX_BYTES, &text, err);

	return r < 0 ? r : json_parse(str_text(&text), text.size, ret_json, err);
}

static void add_texts(const struct json *array, const char *without, struct texts *texts)
{
	for (size_t i = 0; i < json_count(array); i++) {
		const char *text = json_string(json_at(array, i), "");

		if (!without || !text_starts_with(text, without))
			*vec_push(&texts->items) = text;
	}
	*vec_push(&texts->items) = NULL;
}

static void read_user(const struct json *process, struct user *user)
{
	const struct json *groups = json_path(process, "user.additionalGids");

	user->uid = (uid_t)json_uint(json_path(process, "user.uid"), 0);
	user->gid = (gid_t)json_uint(json_path(process, "user.gid"), 0);
	/* The first is 'gid' once more. */
	for (size_t i = 1; i < json_count(groups) && i <= USER_GROUPS_MAX; i++)
		user->groups[user->group_count++] = (gid_t)json_uint(json_at(groups, i), 0);
}

static int choose_user(const struct session *session, const struct json *process, struct user *user, struct err *err)
{
	const char *text = session->exec->user;
	auto_close int root = -1;
	char path[64];

	if (!text) {
		read_user(process, user);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/root", (int)session->container);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_set(err, -errno, "look into the container: %m");
	return user_find(text, root, user, err);
}

/* What it may ever have, and what a user other than root was given by name. */
static int read_capabilities(const struct json *process, struct capability_sets *sets, struct err *err)
{
	struct texts all = { 0 }, added = { 0 };
	int r;

	add_texts(json_path(process, "capabilities.bounding"), NULL, &all);
	add_texts(json_path(process, "capabilities.ambient"), NULL, &added);
	r = capability_parse(all.items.items, &sets->bounding, err);
	if (r == 0)
		r = capability_parse(added.items.items, &sets->added, err);
	vec_done(&all.items);
	vec_done(&added.items);
	return r;
}

static int write_description(const struct session *session, const struct json *bundle, struct str *out, struct err *err)
{
	const struct json *process = json_get(bundle, "process");
	const struct machine_exec *exec = session->exec;
	struct json_writer writer = { .out = out };
	struct capability_sets capabilities = { 0 };
	struct user user = { .home = "/" };
	struct texts env = { 0 };
	int r = choose_user(session, process, &user, err);

	if (r == 0)
		r = read_capabilities(process, &capabilities, err);
	if (r < 0)
		return r;
	/* Another user has another home. */
	add_texts(json_get(process, "env"), exec->user ? "HOME=" : NULL, &env);
	bundle_write_process(&writer, NULL, &(struct bundle_process){
		.argv = exec->argv, .env = env.items.items, .more_env = exec->env,
		.directory = exec->directory ? exec->directory : json_string(json_get(process, "cwd"), "/"),
		.user = &user, .capabilities = &capabilities, .has_terminal = exec->has_terminal,
		.has_new_privileges = !json_bool(json_get(process, "noNewPrivileges"), true),
		.rows = exec->rows, .columns = exec->columns,
	});
	vec_done(&env.items);
	return 0;
}

int oci_exec_describe(const struct session *session, struct str *out, struct err *err)
{
	auto_json struct json *bundle = NULL;
	int r = read_bundle(session, &bundle, err);

	return r < 0 ? r : write_description(session, bundle, out, err);
}

#include "5-interface/cli/pull.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "5-interface/cli/resource.h"
#include "base/str.h"

enum { DIGEST_SHOWN = 8 };

static const struct kind *image_kind(void)
{
	return &kinds[KIND_IMAGE];
}

/* As docker reads them: a first part with a '.' or ':' names a registry, anything else is on docker.io. */
char *pull_reference(const char *text)
{
	const char *slash = strchr(text, '/'), *last = strrchr(text, '/');
	auto_free char *first = slash ? text_copy_length(text, (size_t)(slash - text)) : NULL;
	bool has_registry = first && (strpbrk(first, ".:") || text_equal(first, "localhost"));
	bool has_tag = strchr(last ? last : text, ':') || strchr(text, '@');

	return text_format("%s%s%s", has_registry ? "" : slash ? "docker.io/" : "docker.io/library/", text, has_tag ? "" : ":latest");
}

static int get_image(struct cli *cli, const char *name, struct json **ret_json, struct err *err)
{
	auto_free char *path = request_path("images", name, NULL);

	return request_json(cli, "GET", path, NULL, ret_json, err);
}

/* 'name' for the daemon, 'title' for people. */
static int wait_for_image(struct cli *cli, const char *name, const char *title, wait_look_fn *look, int64_t revision, struct err *err)
{
	auto_free char *path = request_path("images", name, NULL);

	return wait_for(cli, &(struct wait){ .kind = image_kind(), .path = path, .name = title, .look = look, .revision = revision,
			.data = (void *)(uintptr_t)image_kind() }, err);
}

static int remove_image(struct cli *cli, const char *name, struct err *err)
{
	auto_free char *path = request_path("images", name, NULL);
	int result = request_json(cli, "DELETE", path, NULL, NULL, err);

	return result < 0 ? result : wait_for_image(cli, name, name, wait_until_gone, 0, err);
}

/* A pull that failed leaves nothing in the way of the next one. */
static int pull_as(struct cli *cli, const struct pull *pull, const char *name, struct err *err)
{
	auto_json struct json *body = json_new_object(), *answer = NULL;
	auto_free char *reference = pull_reference(pull->reference);
	struct json *spec, *from;
	struct err ignored;
	int result;

	json_set(spec_member(body, "meta"), "name", json_new_string(name));
	spec = spec_member(body, "spec");
	json_set(spec, "kind", json_new_string("container"));
	from = spec_member(spec, "pull");
	json_set(from, "reference", json_new_string(reference));
	if (pull->username)
		json_set(from, "username", json_new_string(pull->username));
	if (pull->password)
		json_set(from, "password", json_new_string(pull->password));
	if (pull->has_plain_http)
		json_set(from, "plain_http", json_new_bool(true));
	result = request_json(cli, "POST", "/v1/images", body, &answer, err);
	if (result == 0)
		result = wait_for_image(cli, name, pull->name, wait_until_ready, answer_revision(answer), err);
	if (result == -EIO)
		remove_image(cli, name, &ignored);
	return result;
}

/* What instances still need keeps its place under another name. */
static int make_room(struct cli *cli, const struct pull *pull, const struct json *old, struct err *err)
{
	const char *manifest = json_string(json_path(old, "status.manifest"), "old");
	auto_free char *path = request_path("images", pull->name, "rename", NULL);
	auto_free char *name = text_format("%s-%.*s", pull->name, DIGEST_SHOWN, manifest);
	auto_json struct json *body = json_new_object();
	int result = remove_image(cli, pull->name, err);

	if (result >= 0 || result == -EINTR || result == -ETIMEDOUT)
		return result;
	json_set(body, "name", json_new_string(name));
	result = request_json(cli, "POST", path, body, NULL, err);
	if (result == 0)
		fprintf(cli->messages, "image '%s' is in use as it was: that is '%s' now\n", shown(pull->name), shown(name));
	return result;
}

static int put_in_place(struct cli *cli, const struct pull *pull, const struct json *old, const char *name, struct err *err)
{
	auto_free char *path = request_path("images", name, "rename", NULL);
	auto_json struct json *body = json_new_object();
	int result = make_room(cli, pull, old, err);

	json_set(body, "name", json_new_string(pull->name));
	return result < 0 ? result : request_json(cli, "POST", path, body, NULL, err);
}

static int pull_beside(struct cli *cli, const struct pull *pull, const struct json *old, struct err *err)
{
	auto_json struct json *new = NULL;
	auto_free char *name = NULL;
	const char *manifest = json_string(json_path(old, "status.manifest"), NULL);
	uint32_t number;
	int result;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		abort();
	name = text_format("pull-%08" PRIx32, number);
	result = pull_as(cli, pull, name, err);
	if (result == 0)
		result = get_image(cli, name, &new, err);
	if (result < 0)
		return result;
	if (!manifest || !text_equal(manifest, json_string(json_path(new, "status.manifest"), NULL)))
		return put_in_place(cli, pull, old, name, err);
	fprintf(cli->messages, "image '%s' is up to date\n", shown(pull->name));
	return remove_image(cli, name, err);
}

/* The name is taken: by what? */
static int pull_over(struct cli *cli, const struct pull *pull, const struct json *old, struct err *err)
{
	const char *state = json_string(json_path(old, "status.state"), "");
	int result;

	if (!text_equal(json_string(json_path(old, "spec.kind"), ""), "container"))
		return err_set(err, -EEXIST, "image '%s' is there already, and it is one for a vm: pull it under another name", shown(pull->name));
	if (text_equal(state, "ready"))
		return pull_beside(cli, pull, old, err);
	if (!text_equal(state, "failed"))
		return wait_for_image(cli, pull->name, pull->name, wait_until_ready, answer_revision(old), err);
	result = remove_image(cli, pull->name, err);
	return result < 0 ? result : pull_as(cli, pull, pull->name, err);
}

int pull_image(struct cli *cli, const struct pull *pull, struct err *err)
{
	auto_json struct json *old = NULL;
	int result = pull_as(cli, pull, pull->name, err);

	if (result != -EEXIST)
		return result;
	result = get_image(cli, pull->name, &old, err);
	return result < 0 ? result : pull_over(cli, pull, old, err);
}

/* For instances. */

static int check_policy(const char *policy, struct err *err)
{
	if (text_equal(policy, "missing") || text_equal(policy, "always") || text_equal(policy, "never"))
		return 0;
	return err_set(err, CLI_USAGE, "--pull: '%s' is not understood: use missing, always or never", shown(policy));
}

/* It is here: as an instance needs it? */
static int refresh(struct cli *cli, const char *name, const char *policy, const struct json *image, struct err *err)
{
	const char *reference = json_string(json_path(image, "spec.pull.reference"), NULL);
	const struct pull pull = { .name = name, .reference = reference,
		.has_plain_http = json_bool(json_path(image, "spec.pull.plain_http"), false) };

	if (text_equal(policy, "never"))
		return 0;
	if (text_equal(policy, "always") && !reference)
		return err_set(err, -EINVAL, "--pull: image '%s' did not come from a registry: leave the option out", shown(name));
	/* A password is not kept: who needs one pulls by hand. */
	if (reference && (text_equal(policy, "always") || !text_equal(json_string(json_path(image, "status.state"), ""), "ready")))
		return pull_over(cli, &pull, image, err);
	return 0;
}

int pull_for_instance(struct cli *cli, const char *name, bool *ret_is_container, struct err *err)
{
	const char *policy = cli_value(cli, "pull") ? cli_value(cli, "pull") : "missing";
	bool is_container = cli_has(cli, "container");
	auto_json struct json *image = NULL;
	int result = check_policy(policy, err);

	if (result < 0)
		return result;
	result = get_image(cli, name, &image, err);
	if (result == 0) {
		*ret_is_container = is_container || text_equal(json_string(json_path(image, "spec.kind"), ""), "container");
		return *ret_is_container ? refresh(cli, name, policy, image, err) : 0;
	}
	if (result != -ENOENT)
		return result;
	*ret_is_container = is_container || strpbrk(name, "/.@");
	if (!*ret_is_container || text_equal(policy, "never"))
		return 0;
	fprintf(cli->messages, "image '%s' is not here: pulling it\n", shown(name));
	return pull_image(cli, &(struct pull){ .name = name, .reference = name }, err);
}

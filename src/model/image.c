#include "model/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

const char *const image_state_names[] = { "pending", "importing", "ready", "deleting", "failed", NULL };
static const char *const kind_names[] = { "vm", "container", NULL };
static const char *const format_names[] = { "auto", "raw", "qcow2", NULL };

static int url_check(const void *value, struct err *err)
{
	const char *url = value;

	if (!text_starts_with(url, "http://") && !text_starts_with(url, "https://"))
		return err_set(err, -EINVAL, "'%s' is not an http or https URL", shown(url));
	for (const char *c = url; *c; c++)
		if (*c <= ' ' || *c == 0x7f)
			return err_set(err, -EINVAL, "'%s' has a space or control character: percent-encode it", shown(url));
	return 0;
}

static int sha256_check(const void *value, struct err *err)
{
	const char *text = value;

	if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
		return err_set(err, -EINVAL, "'%s' is not a SHA-256: use 64 hexadecimal digits in lower case", shown(text));
	return 0;
}

static int build_check(const void *value, struct err *err)
{
	static const char *const recipes[] = { "tiny", "busybox", "debian:12", "debian:13" };

	for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++)
		if (text_equal(value, recipes[i]))
			return 0;
	return err_set(err, -EINVAL, "'%s' is not a recipe: use tiny, busybox, debian:12 or debian:13", shown((const char *)value));
}

FIELD_TABLE(part_table, image_part, "Where one part of an image comes from: an upload or a URL.",
	FIELD(STRING, image_part, upload, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 64, .doc = "Id of an upload."),
	FIELD(STRING, image_part, url, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = LIMIT_URL_BYTES, .check = url_check,
	      .doc = "http or https URL."),
	FIELD(STRING, image_part, sha256, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .check = sha256_check,
	      .doc = "Expected SHA-256; anything else is refused."),
);

static int reference_check(const void *value, struct err *err)
{
	const char *text = value;

	for (const char *c = text; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/@_-[]", *c))
			return err_set(err, -EINVAL, "'%s' is not the reference of an image: use one like docker.io/library/busybox:1.36",
				       shown(text));
	if (!text[0] || text[0] == '-' || text[0] == '/' || text[0] == ':')
		return err_set(err, -EINVAL, "'%s' is not the reference of an image: use one like docker.io/library/busybox:1.36",
			       shown(text));
	return 0;
}

FIELD_TABLE(pull_table, image_pull, "A container image of a registry.",
	FIELD(STRING, image_pull, reference, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 512, .check = reference_check,
	      .doc = "Reference: [REGISTRY/]NAME[:TAG][@sha256:DIGEST]."),
	FIELD(STRING, image_pull, username, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 256,
	      .doc = "Who asks the registry, when it wants to know."),
	FIELD(STRING, image_pull, password, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY | FIELD_SECRET, .max = 4096,
	      .doc = "Their password or token; never shown, and forgotten once the image is there."),
	FIELD(BOOL, image_pull, plain_http, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY,
	      .doc = "The registry has no TLS: anybody on the way can exchange the image."),
);

FIELD_TABLE(image_config_table, image_config, "How a container image wants to be run.",
	FIELD(STRINGS, image_config, entrypoint, .flags = FIELD_OMIT_EMPTY, .doc = "Program and first arguments."),
	FIELD(STRINGS, image_config, command, .flags = FIELD_OMIT_EMPTY, .doc = "Arguments, or the program when there is no entrypoint."),
	FIELD(STRINGS, image_config, env, .flags = FIELD_OMIT_EMPTY, .doc = "Environment: NAME=value."),
	FIELD(STRING, image_config, user, .flags = FIELD_OMIT_EMPTY, .doc = "User and group."),
	FIELD(STRING, image_config, directory, .flags = FIELD_OMIT_EMPTY, .doc = "Folder the program starts in."),
	FIELD(STRING, image_config, stop_signal, .flags = FIELD_OMIT_EMPTY, .doc = "Signal that asks it to stop."),
	FIELD(STRINGS, image_config, ports, .flags = FIELD_OMIT_EMPTY, .doc = "Ports it listens on: 80/tcp."),
	FIELD(STRINGS, image_config, volumes, .flags = FIELD_OMIT_EMPTY, .doc = "Paths where it keeps data. Nothing is mounted there by itself."),
	FIELD(MAP, image_config, labels, .flags = FIELD_OMIT_EMPTY, .doc = "Labels of the image."),
	FIELD(STRING, image_config, architecture, .flags = FIELD_OMIT_EMPTY, .doc = "amd64."),
	FIELD(STRING, image_config, os, .flags = FIELD_OMIT_EMPTY, .doc = "linux."),
	FIELD(TIME, image_config, created_at, .flags = FIELD_OMIT_EMPTY, .doc = "When it was made."),
);

FIELD_TABLE(layer_table, image_layer, "A layer of a container image.",
	FIELD(STRING, image_layer, diff_id, .doc = "SHA-256 of the uncompressed layer."),
	FIELD(STRING, image_layer, digest, .flags = FIELD_OMIT_EMPTY, .doc = "SHA-256 of the layer as it came."),
	FIELD(SIZE, image_layer, size, .unit = "bytes", .doc = "Unpacked."),
	FIELD(STRING, image_layer, created_by, .flags = FIELD_OMIT_EMPTY, .doc = "The step that made it."),
	FIELD(TIME, image_layer, created_at, .flags = FIELD_OMIT_EMPTY, .doc = "When."),
);

FIELD_TABLE(image_spec_table, image_spec, "Where an image comes from.",
	FIELD(ENUM, image_spec, kind, .choices = kind_names, .fallback = "vm", .flags = FIELD_FIXED,
	      .doc = "vm: a disk or kernel for virtual machines. container: layers for containers."),
	FIELD(STRING, image_spec, node, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 63, .doc = "Node (name when made, uid since) it is made on."),
	FIELD(STRING, image_spec, build, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .check = build_check,
	      .doc = "Recipe it is built by: tiny, debian:12 or debian:13; for containers busybox, debian:12 or debian:13."),
	FIELD(OBJECT, image_spec, disk, .table = &part_table, .flags = FIELD_OMIT_EMPTY, .doc = "The disk."),
	FIELD(OBJECT, image_spec, kernel, .table = &part_table, .flags = FIELD_OMIT_EMPTY, .doc = "A Linux kernel to boot directly."),
	FIELD(OBJECT, image_spec, initrd, .table = &part_table, .flags = FIELD_OMIT_EMPTY, .doc = "Its initial RAM disk."),
	FIELD(OBJECT, image_spec, pull, .table = &pull_table, .flags = FIELD_OMIT_EMPTY, .doc = "Containers: the registry it is pulled from."),
	FIELD(OBJECT, image_spec, archive, .table = &part_table, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Containers: a docker-archive, oci-archive, OCI layout or the tar of a root file system."),
	FIELD(STRING, image_spec, tag_of, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "Manifest of the image it is another name of."),
	FIELD(STRING, image_spec, commit_of, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "uid of the container it was made from."),
	FIELD(STRING, image_spec, comment, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 1024, .doc = "What a commit changed, in words."),
	FIELD(OBJECT, image_spec, config, .table = &image_config_table, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Commit: what the new image says otherwise than the container's."),
	FIELD(ENUM, image_spec, format, .choices = format_names, .fallback = "auto", .flags = FIELD_FIXED,
	      .doc = "Format of the disk; auto: seen from its content."),
	FIELD(STRING, image_spec, cmdline, .flags = FIELD_OMIT_EMPTY, .max = 2048,
	      .doc = "Kernel command line; null: the recipe's, or a sensible one."),
);

FIELD_TABLE(image_status_table, image_status, "What an image is now.",
	FIELD(ENUM, image_status, state, .choices = image_state_names, .doc = "Only a ready image can be used."),
	FIELD(STRING, image_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
	FIELD(STRING, image_status, step, .flags = FIELD_OMIT_EMPTY, .doc = "What its import is doing: pull, unpack, build, ..."),
	FIELD(SIZE, image_status, done_bytes, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Progress of that step."),
	FIELD(SIZE, image_status, total_bytes, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Size of that step; 0: unknown."),
	FIELD(BOOL, image_status, has_disk, .flags = FIELD_OMIT_EMPTY, .doc = "It has a disk."),
	FIELD(BOOL, image_status, has_kernel, .flags = FIELD_OMIT_EMPTY, .doc = "It has a kernel to boot directly."),
	FIELD(BOOL, image_status, has_initrd, .flags = FIELD_OMIT_EMPTY, .doc = "It has an initial RAM disk."),
	FIELD(SIZE, image_status, size, .flags = FIELD_OMIT_EMPTY, .unit = "bytes",
	      .doc = "Size of the disk as a guest sees it; containers: of all layers, unpacked."),
	FIELD(SIZE, image_status, allocated, .flags = FIELD_OMIT_EMPTY, .unit = "bytes",
	      .doc = "Space it takes on the node; layers that images share count for each."),
	FIELD(STRING, image_status, sha256, .flags = FIELD_OMIT_EMPTY, .doc = "SHA-256 of what was imported."),
	FIELD(STRING, image_status, cmdline, .flags = FIELD_OMIT_EMPTY, .doc = "Kernel command line in force."),
	FIELD(STRING, image_status, manifest, .flags = FIELD_OMIT_EMPTY, .doc = "Containers: SHA-256 of the manifest, the image's digest."),
	FIELD(OBJECT, image_status, config, .table = &image_config_table, .flags = FIELD_OMIT_EMPTY, .doc = "Containers: how it wants to be run."),
	FIELD(LIST, image_status, layers, .table = &layer_table, .flags = FIELD_OMIT_EMPTY, .doc = "Containers: its layers, top first."),
);

static void replace_list(const struct field_list *from, struct field_list *to)
{
	if (!from->count)
		return;
	for (size_t i = 0; i < to->count; i++)
		free(*field_list_at(to, char *, i));
	free(to->items);
	*to = (struct field_list){ 0 };
	for (size_t i = 0; i < from->count; i++)
		*(char **)field_list_push(to, sizeof(char *)) = text_copy(*field_list_at(from, char *, i));
}

static void set_env(struct field_list *env, const char *text)
{
	size_t length = strcspn(text, "=");

	for (size_t i = 0; i < env->count; i++) {
		char **old = field_list_at(env, char *, i);

		if (strncmp(*old, text, length + 1) == 0) {
			text_replace(old, text);
			return;
		}
	}
	*(char **)field_list_push(env, sizeof(char *)) = text_copy(text);
}

void image_config_overlay(const struct image_config *over, struct image_config *config)
{
	const struct { const char *from; char **to; } texts[] = {
		{ over->user, &config->user }, { over->directory, &config->directory }, { over->stop_signal, &config->stop_signal },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].from)
			text_replace(texts[i].to, texts[i].from);
	replace_list(&over->entrypoint, &config->entrypoint);
	replace_list(&over->command, &config->command);
	replace_list(&over->ports, &config->ports);
	replace_list(&over->volumes, &config->volumes);
	for (size_t i = 0; i < over->env.count; i++)
		set_env(&config->env, *field_list_at(&over->env, char *, i));
	for (size_t i = 0; i < over->labels.count; i++) {
		const struct field_pair *pair = field_list_at(&over->labels, struct field_pair, i);

		field_map_set(&config->labels, pair->key, pair->value);
	}
}

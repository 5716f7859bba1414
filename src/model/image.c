#include "model/image.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

const char *const image_state_names[] = { "pending", "importing", "ready", "deleting", "failed", NULL };
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
	static const char *const recipes[] = { "tiny", "debian:12", "debian:13" };

	for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++)
		if (text_equal(value, recipes[i]))
			return 0;
	return err_set(err, -EINVAL, "'%s' is not a recipe: use tiny, debian:12 or debian:13", shown((const char *)value));
}

FIELD_TABLE(part_table, image_part, "Where one part of an image comes from: an upload or a URL.",
	FIELD(STRING, image_part, upload, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 64, .doc = "Id of an upload."),
	FIELD(STRING, image_part, url, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = LIMIT_URL_BYTES, .check = url_check,
	      .doc = "http or https URL."),
	FIELD(STRING, image_part, sha256, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .check = sha256_check,
	      .doc = "Expected SHA-256; anything else is refused."),
);

FIELD_TABLE(image_spec_table, image_spec, "Where an image comes from.",
	FIELD(STRING, image_spec, build, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .check = build_check,
	      .doc = "Recipe it is built by: tiny, debian:12 or debian:13."),
	FIELD(OBJECT, image_spec, disk, .table = &part_table, .flags = FIELD_OMIT_EMPTY, .doc = "The disk."),
	FIELD(OBJECT, image_spec, kernel, .table = &part_table, .flags = FIELD_OMIT_EMPTY, .doc = "A Linux kernel to boot directly."),
	FIELD(OBJECT, image_spec, initrd, .table = &part_table, .flags = FIELD_OMIT_EMPTY, .doc = "Its initial RAM disk."),
	FIELD(ENUM, image_spec, format, .choices = format_names, .fallback = "auto", .flags = FIELD_FIXED,
	      .doc = "Format of the disk; auto: seen from its content."),
	FIELD(STRING, image_spec, cmdline, .flags = FIELD_OMIT_EMPTY, .max = 2048, .doc = "Kernel command line; null: the recipe's, or a sensible one."),
);

FIELD_TABLE(image_status_table, image_status, "What an image is now.",
	FIELD(ENUM, image_status, state, .choices = image_state_names, .doc = "Only a ready image can be used."),
	FIELD(STRING, image_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
	FIELD(STRING, image_status, step, .flags = FIELD_OMIT_EMPTY, .doc = "What its import is doing."),
	FIELD(SIZE, image_status, done_bytes, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Progress of that step."),
	FIELD(SIZE, image_status, total_bytes, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Size of that step; 0: unknown."),
	FIELD(BOOL, image_status, has_disk, .flags = FIELD_OMIT_EMPTY, .doc = "It has a disk."),
	FIELD(BOOL, image_status, has_kernel, .flags = FIELD_OMIT_EMPTY, .doc = "It has a kernel to boot directly."),
	FIELD(BOOL, image_status, has_initrd, .flags = FIELD_OMIT_EMPTY, .doc = "It has an initial RAM disk."),
	FIELD(SIZE, image_status, size, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Size of the disk as a guest sees it."),
	FIELD(SIZE, image_status, allocated, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Space it takes on the node."),
	FIELD(STRING, image_status, sha256, .flags = FIELD_OMIT_EMPTY, .doc = "SHA-256 of what was imported."),
	FIELD(STRING, image_status, cmdline, .flags = FIELD_OMIT_EMPTY, .doc = "Kernel command line in force."),
);

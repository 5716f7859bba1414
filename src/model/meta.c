#include "model/meta.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* 'more': characters allowed inside beside letters, digits and '-'. */
static int check_label(const char *name, const char *more, size_t max_length, const char *rule, struct err *err)
{
	size_t length = strlen(name);

	if (length == 0)
		return err_set(err, -EINVAL, "the name is empty: %s", rule);
	if (length > max_length)
		return err_set(err, -EINVAL, "'%s' is %zu characters long: %s", shown(name), length, rule);
	for (size_t i = 0; i < length; i++) {
		bool is_edge = i == 0 || i == length - 1;

		if (is_lower_or_digit(name[i]) || (!is_edge && (name[i] == '-' || strchr(more, name[i]))))
			continue;
		return err_set(err, -EINVAL, "'%s' is not a valid name: %s", shown(name), rule);
	}
	return 0;
}

int name_check(const void *value, struct err *err)
{
	return check_label(value, "", LIMIT_NAME_LENGTH, "use 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit", err);
}

/* In an address these would be what to do with the image and not its name. */
static bool ends_like_a_verb(const char *name)
{
	static const char *const verbs[] = { "export", "rename", "tag" };
	const char *slash = strrchr(name, '/');

	for (size_t i = 0; slash && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(slash + 1, verbs[i]) == 0)
			return true;
	return false;
}

int image_name_check(const void *value, struct err *err)
{
	static const char rule[] = "use 1 to 255 of a-z, 0-9 and, inside, A-Z, '-', '_', '.', ':', '@' and '/'";
	int r = check_label(value, ":._@/ABCDEFGHIJKLMNOPQRSTUVWXYZ", LIMIT_IMAGE_NAME_LENGTH, rule, err);

	if (r == 0 && (strstr(value, "//") || strstr(value, "..") || strstr(value, "/.") || ends_like_a_verb(value)))
		return err_set(err, -EINVAL, "'%s' is not a valid name: use no empty parts, no '..', and not export, rename or tag behind a '/'",
			       shown((const char *)value));
	return r;
}

FIELD_TABLE(meta_table, meta, "What every resource has beside spec and status.",
	FIELD(STRING, meta, uid, .flags = FIELD_READ_ONLY, .doc = "Identity; never changes."),
	FIELD(STRING, meta, name, .flags = FIELD_REQUIRED | FIELD_FIXED, .min = 1, .max = LIMIT_IMAGE_NAME_LENGTH,
	      .doc = "Name, unique within its kind. Changed by rename."),
	FIELD(STRING, meta, project, .flags = FIELD_READ_ONLY, .fallback = "default", .doc = "Project (tenant) it belongs to."),
	FIELD(STRING, meta, parent, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "uid of the instance or volume a snapshot is of."),
	FIELD(MAP, meta, labels, .max = LIMIT_LABELS, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Free key/value pairs to select by."),
	FIELD(TIME, meta, created_at, .flags = FIELD_READ_ONLY, .doc = "When it was created."),
	FIELD(TIME, meta, deleted_at, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "When its deletion was asked for; it goes once everything of it is cleaned up."),
	FIELD(INT, meta, generation, .flags = FIELD_READ_ONLY, .doc = "Counts the changes of spec."),
	FIELD(INT, meta, revision, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "Revision of the store at its last change."),
);

#include "driver/machine/oci/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "driver/machine/oci/beneath.h"

enum { FILE_MAX_BYTES = 1 << 20, FIELDS_MAX = 7 };

/* The fields of one line of passwd(5) or group(5). */
struct entry { char *field[FIELDS_MAX]; };

static bool parse_id(const char *text, uint32_t *ret_id)
{
	char *end;
	unsigned long long value;

	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	value = strtoull(text, &end, 10);
	/* The last one means "no user" to the kernel. */
	if (*end || value >= UINT32_MAX)
		return false;
	*ret_id = (uint32_t)value;
	return true;
}

/* Cuts the next line that has 'count' fields at least off 'rest'. */
static bool next_entry(char **rest, size_t count, struct entry *entry)
{
	char *line;

	while ((line = strsep(rest, "\n"))) {
		size_t fields = 0;

		*entry = (struct entry){ { 0 } };
		while (fields < FIELDS_MAX && line)
			entry->field[fields++] = strsep(&line, ":");
		if (fields >= count)
			return true;
	}
	return false;
}

/* By name, or by number: then a user that is not in the file is fine. */
static int find_user(const char *name, const char *passwd, struct user *user, bool *ret_is_known, struct err *err)
{
	auto_free char *text = text_copy(passwd);
	char *rest = text;
	struct entry entry;
	bool is_number = parse_id(name, &user->uid);
	uid_t uid, gid;

	*ret_is_known = false;
	while (next_entry(&rest, 6, &entry)) {
		if (!parse_id(entry.field[2], &uid) || !parse_id(entry.field[3], &gid))
			continue;
		if (is_number ? uid != user->uid : !text_equal(entry.field[0], name))
			continue;
		user->uid = uid;
		user->gid = gid;
		snprintf(user->home, sizeof(user->home), "%s", entry.field[5]);
		*ret_is_known = true;
		return 0;
	}
	return is_number ? 0 : err_set(err, -ENOENT, "user '%s' is not in the image's /etc/passwd", shown(name));
}

static int find_group(const char *name, const char *group, gid_t *ret_gid, struct err *err)
{
	auto_free char *text = text_copy(group);
	char *rest = text;
	struct entry entry;

	if (parse_id(name, ret_gid))
		return 0;
	while (next_entry(&rest, 3, &entry))
		if (text_equal(entry.field[0], name) && parse_id(entry.field[2], ret_gid))
			return 0;
	return err_set(err, -ENOENT, "group '%s' is not in the image's /etc/group", shown(name));
}

static bool has_member(char *members, const char *name)
{
	char *member;

	while ((member = strsep(&members, ",")))
		if (text_equal(member, name))
			return true;
	return false;
}

static void add_groups(const char *name, const char *group, struct user *user)
{
	auto_free char *text = text_copy(group);
	char *rest = text;
	struct entry entry;
	gid_t gid;

	while (user->group_count < USER_GROUPS_MAX && next_entry(&rest, 4, &entry))
		if (parse_id(entry.field[2], &gid) && gid != user->gid && has_member(entry.field[3], name))
			user->groups[user->group_count++] = gid;
}

int user_resolve(const char *text, const char *passwd, const char *group, struct user *ret_user, struct err *err)
{
	auto_free char *name = text_copy(text && text[0] ? text : "0");
	char *group_name = strchr(name, ':');
	struct user user = { .home = "/" };
	bool is_known;
	int r;

	if (group_name)
		*group_name++ = '\0';
	if (!name[0] || (group_name && !group_name[0]))
		return err_set(err, -EINVAL, "'%s' is not a user: write it as in '1000', '1000:1000' or 'www-data'", shown(text));
	r = find_user(name, passwd, &user, &is_known, err);
	/* A group that is named stands alone, as other runtimes have it. */
	if (r == 0 && group_name)
		r = find_group(group_name, group, &user.gid, err);
	else if (r == 0 && is_known)
		add_groups(name, group, &user);
	if (r < 0)
		return r;
	if (user.uid == 0 && !is_known)
		snprintf(user.home, sizeof(user.home), "/root");
	*ret_user = user;
	return 0;
}

bool user_needs_files(const char *text)
{
	uint32_t uid, gid;
	const char *colon = text ? strchr(text, ':') : NULL;
	auto_free char *name = colon ? text_copy_length(text, (size_t)(colon - text)) : NULL;

	if (!text || !text[0] || text_equal(text, "0") || text_equal(text, "0:0"))
		return false;
	return !colon || !parse_id(name, &uid) || !parse_id(colon + 1, &gid);
}

int user_find(const char *text, int root_fd, struct user *ret_user, struct err *err)
{
	auto_str struct str passwd = { 0 }, group = { 0 };

	if (root_fd >= 0 && user_needs_files(text)) {
		beneath_read(root_fd, "etc/passwd", FILE_MAX_BYTES, &passwd);
		beneath_read(root_fd, "etc/group", FILE_MAX_BYTES, &group);
	}
	return user_resolve(text, str_text(&passwd), str_text(&group), ret_user, err);
}

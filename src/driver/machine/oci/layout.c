#include "driver/machine/oci/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/deadline.h"

enum { MOUNTINFO_MAX_BYTES = 16 << 20, CONTROLLERS_MAX_BYTES = 4096, REMOVE_TIMEOUT_MS = 2000, RETRY_MS = 2 };

/* Reading /proc/self/mountinfo, proc(5) */

static void add_hierarchy(struct layout *layout, const char *path, const char *controllers)
{
	/* What is mounted over another one hides it. */
	for (size_t i = 0; i < layout->hierarchies.count; i++)
		if (text_equal(layout->hierarchies.items[i].path, path))
			return;
	*vec_push(&layout->hierarchies) = (struct hierarchy){ text_copy(path), text_format(",%s,", controllers) };
}

static bool is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* "36 35 98:0 /root /mount options - type source superoptions": optional fields lie before the dash. */
static void take_mount(struct layout *layout, char *line, const char *cgroup)
{
	char *rest = strstr(line, " - "), *path = line, *type, *options;

	if (!rest)
		return;
	*rest = '\0';
	rest += 3;
	for (int field = 0; path && field < 4; field++)
		strsep(&path, " ");
	path = path ? strsep(&path, " ") : NULL;
	type = strsep(&rest, " ");
	strsep(&rest, " ");
	options = rest;
	if (!path || !type || !options)
		return;
	/* The deepest: systemd's hybrid layout has one at /sys/fs/cgroup/unified. */
	if (text_equal(type, "cgroup2") && is_below(cgroup, path) && (!layout->unified || is_below(path, layout->unified)))
		text_replace(&layout->unified, path);
	if (text_equal(type, "cgroup"))
		add_hierarchy(layout, path, options);
}

int layout_parse(struct layout *layout, const char *mountinfo, const char *cgroup, struct err *err)
{
	auto_free char *text = text_copy(mountinfo);
	char *rest = text, *line;

	*layout = (struct layout){ 0 };
	while ((line = strsep(&rest, "\n")))
		take_mount(layout, line, cgroup);
	if (!layout->unified) {
		layout_done(layout);
		return err_set(err, -EINVAL, "cgroup '%s' is not of version 2: mount it with"
			       " `mount -t cgroup2 cgroup2 /sys/fs/cgroup`", shown(cgroup));
	}
	layout->relative = text_copy(cgroup + strlen(layout->unified));
	return 0;
}

/* Something may be mounted over the folder it is in. */
static bool is_in_sight(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC;
}

static void hierarchy_done(struct hierarchy *hierarchy)
{
	free(hierarchy->path);
	free(hierarchy->controllers);
}

int layout_init(struct layout *layout, const char *cgroup, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = file_read_all("/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, err);

	if (r == 0)
		r = layout_parse(layout, str_text(&text), cgroup, err);
	for (size_t i = r < 0 ? 0 : layout->hierarchies.count; i-- > 0;) {
		if (is_in_sight(layout->hierarchies.items[i].path))
			continue;
		hierarchy_done(&layout->hierarchies.items[i]);
		vec_remove(&layout->hierarchies, i);
	}
	return r;
}

void layout_done(struct layout *layout)
{
	for (size_t i = 0; i < layout->hierarchies.count; i++)
		hierarchy_done(&layout->hierarchies.items[i]);
	vec_done(&layout->hierarchies);
	free(layout->unified);
	free(layout->relative);
	*layout = (struct layout){ 0 };
}

/* Paths */

char *layout_group(const struct layout *layout, const char *uid, const char *part)
{
	return text_format("%s%s/%s%s%s", layout->unified, layout->relative, uid, part ? "/" : "", part ? part : "");
}

char *layout_file1(const struct layout *layout, const char *uid, const char *controller, const char *file)
{
	char wanted[32];

	snprintf(wanted, sizeof(wanted), ",%s,", controller);
	for (size_t i = 0; i < layout->hierarchies.count; i++)
		if (strstr(layout->hierarchies.items[i].controllers, wanted))
			return text_format("%s%s/%s/container/%s", layout->hierarchies.items[i].path, layout->relative, uid, file);
	return NULL;
}

char *layout_file2(const struct layout *layout, const char *uid, const char *file)
{
	return text_format("%s%s/%s/container/%s", layout->unified, layout->relative, uid, file);
}

/* Making and removing */

static int read_controllers(const char *folder, struct str *text, struct err *err)
{
	auto_free char *path = text_format("%s/cgroup.controllers", folder);

	return file_read_all(path, CONTROLLERS_MAX_BYTES, text, err);
}

/* One by one: a controller that cannot be had (cpu, with real-time processes about) keeps no other away. */
static int enable_below(const char *folder, struct err *err)
{
	auto_free char *path = text_format("%s/cgroup.subtree_control", folder);
	auto_str struct str text = { 0 };
	auto_close int fd = -1;
	char *rest, *controller, word[40];
	int r = read_controllers(folder, &text, err);

	if (r < 0 || !text.size)
		return r;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	for (rest = text.data; fd >= 0 && rest && (controller = strsep(&rest, " \n"));) {
		int length = snprintf(word, sizeof(word), "+%s", controller);

		if (controller[0] && write(fd, word, (size_t)length) != length && errno == EBUSY)
			return err_set(err, -EBUSY, "cgroup '%s' has processes of its own, which keeps limits away from"
				       " those below it: move them elsewhere", shown(folder));
	}
	return 0;
}

/* In each folder from the mount point down to that of the machine. */
static int enable_controllers(const struct layout *layout, const char *group, struct err *err)
{
	for (size_t length = strlen(layout->unified);; length += 1 + strcspn(group + length + 1, "/")) {
		auto_free char *folder = text_copy_length(group, length);
		int r = enable_below(folder, err);

		if (r < 0 || !group[length])
			return r;
	}
}

int layout_create(const struct layout *layout, const char *uid, struct err *err)
{
	auto_free char *group = layout_group(layout, uid, NULL);
	auto_free char *monitor = layout_group(layout, uid, "monitor");
	int r = cgroup_create(monitor, err);

	return r < 0 ? r : enable_controllers(layout, group, err);
}

/* A process that is gone from one hierarchy may be on its way out of another. */
static int remove_patiently(const char *group)
{
	struct deadline deadline = deadline_in(REMOVE_TIMEOUT_MS);
	int r;

	while ((r = cgroup_remove(group)) == -EBUSY && deadline_left_ms(deadline) > 0)
		poll(NULL, 0, RETRY_MS);
	return r;
}

static int destroy1(const struct layout *layout, const char *uid, struct err *err)
{
	for (size_t i = 0; i < layout->hierarchies.count; i++) {
		const char *mount = layout->hierarchies.items[i].path;
		auto_free char *group = text_format("%s%s/%s", mount, layout->relative, uid);
		int r = remove_patiently(group);

		if (r < 0 && r != -EROFS)
			return err_set(err, r, "remove cgroup '%s': %m", shown(group));
	}
	return 0;
}

int layout_destroy(const struct layout *layout, const char *uid, struct err *err)
{
	auto_free char *group = layout_group(layout, uid, NULL);
	int r = cgroup_destroy(group, err);

	return r < 0 ? r : destroy1(layout, uid, err);
}

int layout_check(const struct layout *layout, struct err *err)
{
	auto_str struct str text = { 0 };
	char *name;
	int r;

	if (!layout->hierarchies.count)
		return 0;
	r = read_controllers(layout->unified, &text, err);
	if (r < 0)
		return r;
	name = text.data ? text.data : "";
	name[strcspn(name, " \n")] = '\0';
	if (!name[0])
		return 0;
	return err_set(err, -EOPNOTSUPP, "this host has cgroups of both versions, and crun wants all controllers in one:"
		       " run `mkdir -p /sys/fs/cgroup/%s && mount -t cgroup -o %s cgroup /sys/fs/cgroup/%s`,"
		       " or boot with systemd.unified_cgroup_hierarchy=1", name, name, name);
}

#include "2-virtualization/images/packages.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

#include "2-virtualization/images/tool.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

/* apt solves the dependencies against this list of what is "installed". */
static int write_status(const char *path, const char *const *assumed, struct err *err)
{
	auto_str struct str status = { 0 };

	for (; *assumed; assumed++)
		str_printf(&status,
			   "Package: %s\nStatus: install ok installed\nVersion: 999\nArchitecture: all\n"
			   "Maintainer: none\nDescription: taken for installed\n\n",
			   *assumed);
	return file_write_atomic(path, str_text(&status), status.size, 0644, err);
}

struct apt {
	VEC(char *) options;		/* Owned. */
};

static void apt_done(struct apt *apt)
{
	for (size_t i = 0; i < apt->options.count; i++)
		free(apt->options.items[i]);
	vec_done(&apt->options);
}

/* apt-get with a state of its own, so that it needs no lock of the host's and changes nothing there. */
static void apt_init(struct apt *apt, const char *work, bool has_own_lists)
{
	*apt = (struct apt){ 0 };
	*vec_push(&apt->options) = text_copy("apt-get");
	*vec_push(&apt->options) = text_copy("-qq");
	*vec_push(&apt->options) = text_copy("-y");
	*vec_push(&apt->options) = text_format("-oDir::State::status=%s/status", work);
	*vec_push(&apt->options) = text_format("-oDir::Cache=%s/cache", work);
	*vec_push(&apt->options) = text_copy("-oDebug::NoLocking=1");
	*vec_push(&apt->options) = text_copy("-oAPT::Get::AllowUnauthenticated=false");
	if (has_own_lists)
		*vec_push(&apt->options) = text_format("-oDir::State::Lists=%s/lists", work);
}

static int apt_run(struct apt *apt, const char *const *arguments, const struct volume_progress *progress, struct str *output,
		   struct err *err)
{
	VEC(const char *) argv = { 0 };
	int r;

	for (size_t i = 0; i < apt->options.count; i++)
		*vec_push(&argv) = apt->options.items[i];
	for (; *arguments; arguments++)
		*vec_push(&argv) = *arguments;
	*vec_push(&argv) = NULL;
	r = tool_run(argv.items, NULL, progress, output, err);
	vec_done(&argv);
	return r;
}

static int download(const char *work, bool has_own_lists, const char *const *names, const struct volume_progress *progress,
		    struct err *err)
{
	const char *const update[] = { "update", NULL };
	VEC(const char *) install = { 0 };
	struct apt apt;
	int r = 0;

	apt_init(&apt, work, has_own_lists);
	if (has_own_lists)
		r = apt_run(&apt, update, progress, NULL, err);
	*vec_push(&install) = "install";
	*vec_push(&install) = "--download-only";
	*vec_push(&install) = "--no-install-recommends";
	for (; *names; names++)
		*vec_push(&install) = *names;
	*vec_push(&install) = NULL;
	if (r == 0)
		r = apt_run(&apt, install.items, progress, NULL, err);
	vec_done(&install);
	apt_done(&apt);
	return r;
}

static int unpack_all(const char *work, const struct volume_progress *progress, struct err *err)
{
	auto_free char *pattern = text_format("%s/cache/archives/*.deb", work);
	auto_free char *root = text_format("%s/root", work);
	glob_t found;
	int r = file_make_dirs(root, 0755, err);

	if (r < 0)
		return r;
	if (glob(pattern, 0, NULL, &found) != 0)
		return err_set(err, -EIO, "apt-get downloaded no packages: look at 'apt-get update' on this host");
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = tool_run((const char *const[]){ "dpkg-deb", "-x", found.gl_pathv[i], root, NULL }, NULL, progress, NULL, err);
	globfree(&found);
	return r;
}

static int prepare(const char *work, const char *const *assumed, struct err *err)
{
	auto_free char *status = text_format("%s/status", work);
	auto_free char *partial = text_format("%s/cache/archives/partial", work);
	auto_free char *lists = text_format("%s/lists/partial", work);
	int r;

	if ((r = file_make_dirs(partial, 0755, err)) < 0 || (r = file_make_dirs(lists, 0755, err)) < 0)
		return r;
	return write_status(status, assumed, err);
}

int packages_unpack(const char *work, const char *const *names, const char *const *assumed,
		    const struct volume_progress *progress, struct err *err)
{
	int r = prepare(work, assumed, err);

	if (r < 0)
		return r;
	r = download(work, false, names, progress, err);
	/* The host's lists may be missing or too old for what the mirror has now. */
	if (r == -EIO)
		r = download(work, true, names, progress, err);
	if (r < 0)
		return err_prefix(err, "download packages");
	return unpack_all(work, progress, err);
}

static int ask_mirror(const char *work, bool has_own_lists, const char *label, const struct volume_progress *progress,
		      struct str *sites, struct err *err)
{
	auto_free char *filter = text_format("Label: %s", label);
	const char *const targets[] = { "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Component: main", filter, NULL };
	const char *const update[] = { "update", NULL };
	struct apt apt;
	int r = 0;

	apt_init(&apt, work, has_own_lists);
	if (has_own_lists)
		r = apt_run(&apt, update, progress, NULL, err);
	if (r == 0)
		r = apt_run(&apt, targets, progress, sites, err);
	apt_done(&apt);
	return r;
}

int packages_mirror(const char *work, const char *label, const struct volume_progress *progress, char **ret_mirror, struct err *err)
{
	const char *const nothing[] = { NULL };
	auto_str struct str sites = { 0 };
	size_t length;
	int r = prepare(work, nothing, err);

	/* apt knows the label of what it has lists of, and on a fresh host there are none. */
	if (r == 0)
		r = ask_mirror(work, false, label, progress, &sites, err);
	if (r == 0 && sites.size == 0)
		r = ask_mirror(work, true, label, progress, &sites, err);
	if (r < 0)
		return err_prefix(err, "ask apt for its sources");
	length = strcspn(str_text(&sites), " \n");
	*ret_mirror = length ? text_copy_length(sites.data, length) : NULL;
	return 0;
}

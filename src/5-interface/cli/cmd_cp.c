/*
 * cp: one regular file by the files endpoint; folders and links as a tar file that goes the same
 * way and is packed or unpacked in the guest by its own tar. (Through exec it could not go:
 * the guest agent holds all output of a command in memory.)
 */
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "5-interface/cli/bundle.h"
#include "5-interface/cli/commands.h"
#include "5-interface/cli/session.h"
#include "5-interface/cli/transfer.h"
#include "base/str.h"

struct copy {
	struct cli *cli;
	char *instance;			/* Owned. */
	const char *guest;		/* Path there. */
	const char *host;		/* Path here. */
};

/* "web:/path": the part before the first ':' has no '/', as for scp and docker. */
static bool split_guest(const char *text, char **ret_instance, const char **ret_path)
{
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');

	if (!colon || colon == text || (slash && slash < colon))
		return false;
	*ret_instance = text_copy_length(text, (size_t)(colon - text));
	*ret_path = colon + 1;
	return true;
}

/* Commands in the guest. */

static int guest_run(const struct copy *copy, struct err *err, const char *const *argv)
{
	auto_json struct json *request = json_new_object();
	struct json *list = json_new_array();
	auto_close int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);

	json_set(request, "argv", list);
	for (; *argv; argv++)
		json_push(list, json_new_string(*argv));
	return session_pipe(copy->cli, copy->instance, request, -1, nothing, err);
}

#define GUEST_RUN(copy, err, ...) guest_run((copy), (err), (const char *const[]){ __VA_ARGS__, NULL })

/* The same, where the command must succeed. */
static int guest_must(const struct copy *copy, const char *what, int exit_code, struct err *err)
{
	if (exit_code <= 0)
		return exit_code;
	return err_set(err, -EIO, "'%s' in '%s' ended with exit code %d", what, shown(copy->instance), exit_code);
}

/* 1, 0 or -errno. */
static int guest_is_folder(const struct copy *copy, const char *path, struct err *err)
{
	int result = GUEST_RUN(copy, err, "test", "-d", path);

	return result < 0 ? result : result == 0;
}

static char *guest_file_path(const struct copy *copy, const char *path)
{
	char *request = request_path("instances", copy->instance, "files", NULL);

	request_query(&request, "path", path);
	return request;
}

static char *guest_temporary(void)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		abort();
	return text_format("/tmp/.strata-cp-%016llx.tar", (unsigned long long)number);
}

/* Paths. */

/* Last part of a path; "" for "/", "." and "..", which have no name of their own. */
static char *name_of(const char *path)
{
	auto_free char *copy = text_copy(path);
	const char *name = basename(copy);

	return text_copy(text_equal(name, ".") || text_equal(name, "..") || text_equal(name, "/") ? "" : name);
}

static char *joined(const char *folder, const char *name)
{
	size_t length = strlen(folder);

	return text_format("%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", name);
}

static bool host_is_folder(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool ends_with_slash(const char *path)
{
	return path[0] && path[strlen(path) - 1] == '/';
}

/* What the copy of 'source' is called, as for cp(1): inside a target that is a folder, else the target itself. */
static char *target_path(const char *source, const char *target, bool is_folder)
{
	auto_free char *name = name_of(source);

	return is_folder && name[0] ? joined(target, name) : text_copy(target);
}

static int temporary_file(int *ret_fd, struct err *err)
{
	const char *folder = getenv("TMPDIR");

	*ret_fd = open(folder ? folder : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return err_set(err, -errno, "make a temporary file in %s: %m", shown(folder ? folder : "/var/tmp"));
	return 0;
}

/* Out of the guest. */

static int fetch_file(const struct copy *copy, struct err *err)
{
	auto_free char *target = target_path(copy->guest, copy->host, host_is_folder(copy->host));
	auto_free char *path = guest_file_path(copy, copy->guest);

	if (ends_with_slash(target))
		return err_set(err, -ENOENT, "'%s' is no folder: make it first, or name a file", shown(target));
	return transfer_download(copy->cli, path, target, err);
}

static int fetch_tar(const struct copy *copy, const char *temporary, int fd, struct err *err)
{
	auto_free char *path = guest_file_path(copy, temporary);
	int result = GUEST_RUN(copy, err, "tar", "-C", copy->guest, "-cf", temporary, ".");

	result = guest_must(copy, "tar", result, err);
	if (result == 0)
		result = transfer_receive(copy->cli, path, fd, copy->guest, err);
	if (result == 0 && lseek(fd, 0, SEEK_SET) < 0)
		result = err_set(err, -errno, "read the archive: %m");
	return result;
}

static int fetch_folder(const struct copy *copy, struct err *err)
{
	auto_free char *target = target_path(copy->guest, copy->host, host_is_folder(copy->host));
	auto_free char *temporary = guest_temporary();
	auto_close int fd = -1;
	struct err ignored;
	int result = temporary_file(&fd, err);

	if (result == 0) {
		result = fetch_tar(copy, temporary, fd, err);
		GUEST_RUN(copy, &ignored, "rm", "-f", temporary);
	}
	if (result < 0)
		return result;
	if (mkdir(target, 0777) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make the folder '%s': %m", shown(target));
	return bundle_unpack(fd, target, err);
}

static int fetch(const struct copy *copy, struct err *err)
{
	int is_folder = guest_is_folder(copy, copy->guest, err);

	if (is_folder < 0)
		return is_folder;
	return is_folder ? fetch_folder(copy, err) : fetch_file(copy, err);
}

/* Into the guest. */

static int store_fd(const struct copy *copy, int fd, const char *target, unsigned mode, struct err *err)
{
	auto_free char *path = guest_file_path(copy, target), *text = text_format("%04o", mode & 0777);

	request_query(&path, "mode", text);
	return transfer_send(copy->cli, "PUT", path, fd, copy->host, NULL, err);
}

static int store_file(const struct copy *copy, bool is_folder, struct err *err)
{
	auto_free char *target = target_path(copy->host, copy->guest, is_folder);
	auto_close int fd = open(copy->host, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return err_set(err, -errno, "open '%s': %m", shown(copy->host));
	if (ends_with_slash(target))
		return err_set(err, -ENOENT, "'%s' is no folder in '%s': make it first", shown(target), shown(copy->instance));
	return store_fd(copy, fd, target, status.st_mode, err);
}

/* A folder becomes the target or goes into it; a link, which no file request can make, goes into the folder of the target. */
static int store_tar(const struct copy *copy, bool is_link, const char *target, struct err *err)
{
	auto_free char *temporary = guest_temporary();
	auto_close int fd = -1;
	struct err ignored;
	int result = temporary_file(&fd, err);

	if (result == 0)
		result = bundle_pack(copy->host, is_link, fd, err);
	if (result == 0 && lseek(fd, 0, SEEK_SET) < 0)
		result = err_set(err, -errno, "read the archive: %m");
	if (result == 0)
		result = guest_must(copy, "mkdir", GUEST_RUN(copy, err, "mkdir", "-p", target), err);
	if (result < 0)
		return result;
	result = store_fd(copy, fd, temporary, 0600, err);
	if (result == 0)
		result = guest_must(copy, "tar", GUEST_RUN(copy, err, "tar", "-C", target, "-xf", temporary), err);
	GUEST_RUN(copy, &ignored, "rm", "-f", temporary);
	return result;
}

static int store(const struct copy *copy, struct err *err)
{
	bool follows = cli_has(copy->cli, "follow-link");
	auto_free char *target = NULL;
	struct stat status;
	int is_folder;

	if ((follows || ends_with_slash(copy->host) ? stat : lstat)(copy->host, &status) < 0)
		return err_set(err, -errno, "look at '%s': %m", shown(copy->host));
	is_folder = guest_is_folder(copy, copy->guest, err);
	if (is_folder < 0)
		return is_folder;
	if (S_ISREG(status.st_mode))
		return store_file(copy, is_folder, err);
	if (S_ISLNK(status.st_mode) && !is_folder)
		return err_set(err, -EINVAL, "'%s' is a symbolic link: copy it into a folder, or what it points to with --follow-link",
			       shown(copy->host));
	if (!S_ISLNK(status.st_mode) && !S_ISDIR(status.st_mode))
		return err_set(err, -EINVAL, "'%s' is neither a file, a folder nor a symbolic link", shown(copy->host));
	target = S_ISLNK(status.st_mode) ? text_copy(copy->guest) : target_path(copy->host, copy->guest, is_folder);
	return store_tar(copy, S_ISLNK(status.st_mode), target, err);
}

static int run_cp(struct cli *cli, struct err *err)
{
	const char *from = cli_argument(cli, 0), *to = cli_argument(cli, 1);
	auto_free char *from_instance = NULL, *to_instance = NULL;
	struct copy copy = { .cli = cli };
	bool is_fetch = split_guest(from, &from_instance, &copy.guest), is_store = split_guest(to, &to_instance, &copy.guest);

	if (is_fetch == is_store)
		return err_set(err, CLI_USAGE, is_fetch ? "copy out of one instance first, then into the other" :
			       "neither '%s' nor '%s' is in an instance: write INSTANCE:/PATH", shown(from), shown(to));
	if (copy.guest[0] != '/')
		return err_set(err, CLI_USAGE, "the path in the instance must begin with '/': not '%s'", shown(copy.guest));
	copy.instance = is_fetch ? from_instance : to_instance;
	copy.host = is_fetch ? to : from;
	if (!copy.host[0])
		return err_set(err, CLI_USAGE, "the path on this host is empty");
	return is_fetch ? fetch(&copy, err) : store(&copy, err);
}

const struct cli_command command_cp = {
	.name = "cp", .arguments = "INSTANCE:/PATH PATH | PATH INSTANCE:/PATH", .min = 2, .max = 2, .completes = "file", .run = run_cp,
	.summary = "Copy files and folders out of an instance, or into it",
	.more = "As cp: into a target that is a folder, else under the target's name; FOLDER/. means what is in it. "
		"The guest needs a running agent, and tar for folders.",
	.options = OPTIONS({ "follow-link", 'L', false, NULL, "Copy what a symbolic link on this host points to." }),
	.examples = EXAMPLES("strata cp web:/etc/hosts .", "strata cp site/ web:/srv/site", "strata cp web:/var/log/. logs"),
};

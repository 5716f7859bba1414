/*
 * QEMU may read nothing of ours, and reads certificates from a folder, once, when the object is made. So for that moment
 * they are copied into a folder in the run directory that belongs to QEMU's user; QEMU gets it as an open folder, because it cannot
 * walk there. Afterwards key and certificates are in its memory only.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "driver/machine/qemu/migrate.h"

enum { FILE_MAX_BYTES = 1 << 20 };

static int write_copy(const struct qemu *qemu, int to_dir, const char *name, const struct str *content, struct err *err)
{
	auto_close int fd = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);

	if (fd < 0 || (geteuid() == 0 && fchown(fd, qemu->user, qemu->group) < 0))
		return err_set(err, -errno, "copy '%s' for QEMU: %m", name);
	return file_write_at(fd, content->data, content->size, 0, err);
}

static int copy_file(const struct qemu *qemu, const char *folder, const char *name, int to_dir, struct err *err)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	auto_str struct str content = { 0 };
	int r = file_read_all(path, FILE_MAX_BYTES, &content, err);

	if (r == 0)
		r = write_copy(qemu, to_dir, name, &content, err);
	if (content.data)
		explicit_bzero(content.data, content.size);
	return r < 0 ? err_prefix(err, "certificates for live migration") : 0;
}

static int copy_files(const struct qemu *qemu, const char *folder, bool is_server, int to_dir, struct err *err)
{
	const char *const names[] = {
		"ca-cert.pem", is_server ? "server-cert.pem" : "client-cert.pem", is_server ? "server-key.pem" : "client-key.pem",
	};
	auto_free char *revoked = text_format("%s/ca-crl.pem", folder);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_COUNT(names); i++)
		r = copy_file(qemu, folder, names[i], to_dir, err);
	if (r == 0 && access(revoked, F_OK) == 0)
		r = copy_file(qemu, folder, "ca-crl.pem", to_dir, err);
	return r;
}

static int make_folder(const struct qemu *qemu, int run_dir, struct err *err)
{
	auto_close int fd = -1;

	if (mkdirat(run_dir, "tls", 0700) < 0)
		return err_set(err, -errno, "make a folder for certificates: %m");
	fd = openat(run_dir, "tls", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (geteuid() == 0 && fchown(fd, qemu->user, qemu->group) < 0))
		return err_set(err, -errno, "make a folder for certificates: %m");
	return take_fd(fd);
}

/* The folder as an fd of QEMU's, where it has it only as long as the object is being made. */
static int add_object(struct qmp *qmp, int folder, bool is_server, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_free char *object = NULL, *set = NULL;
	int r;

	qmp->deadline = deadline_in(QMP_TIMEOUT_MS);
	r = qmp_call_fd(qmp, "add-fd", "{\"opaque\":\"" MIGRATE_TLS "\"}", folder, &reply, err);
	if (r < 0)
		return r;
	object = text_format("{\"qom-type\":\"tls-creds-x509\",\"id\":\"" MIGRATE_TLS "\",\"dir\":\"/proc/self/fd/%lld\","
			     "\"endpoint\":\"%s\",\"verify-peer\":true}",
			     (long long)json_int(json_path(reply, "return.fd"), -1), is_server ? "server" : "client");
	set = text_format("{\"fdset-id\":%lld}", (long long)json_int(json_path(reply, "return.fdset-id"), -1));
	r = qmp_call(qmp, "object-add", object, NULL, err);
	qmp_call(qmp, "remove-fd", set, NULL, &(struct err){ 0 });
	return r < 0 ? err_prefix(err, "certificates for live migration") : 0;
}

int migrate_add_tls(const struct qemu *qemu, struct qmp *qmp, int run_dir, const char *folder, bool is_server, struct err *err)
{
	auto_free char *path = text_format("/proc/self/fd/%d/tls", run_dir);
	auto_close int copy = -1;
	int r = file_remove_tree(path, err);	/* Of a daemon that died here. */

	if (r < 0)
		return r;
	copy = make_folder(qemu, run_dir, err);
	r = copy < 0 ? copy : copy_files(qemu, folder, is_server, copy, err);
	if (r == 0)
		r = add_object(qmp, copy, is_server, err);
	if (file_remove_tree(path, &(struct err){ 0 }) < 0 && r == 0)
		return err_set(err, -EIO, "the copy of the certificates in the machine's run directory could not be removed");
	return r;
}

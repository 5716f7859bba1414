/*
 * The "file" driver: qcow2 files in a folder, by qemu-img. place.h says where they lie.
 *
 * Operations that read what a machine or a stranger wrote are qemu-img's, unprivileged and with
 * the chain of layers spelled out; questions about our own files are answered by qcow2.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/import.h"
#include "driver/volume/file/place.h"
#include "driver/volume/file/qcow2.h"
#include "driver/volume/file/qemu_img.h"
#include "port/volume.h"

struct file_driver {
	struct volume_driver base;
	struct place place;
};

static struct place *place_of(struct volume_driver *driver)
{
	return &container_of(driver, struct file_driver, base)->place;
}

static int file_open(const struct volume_params *params, struct volume_driver **ret_driver, struct err *err)
{
	auto_free struct file_driver *driver = alloc(sizeof(*driver));
	int r = place_open(params, &driver->place, err);

	if (r < 0)
		return r;
	driver->base.ops = &volume_file;
	*ret_driver = &take(driver)->base;
	return 0;
}

static void file_close(struct volume_driver *driver)
{
	if (!driver)
		return;
	place_close(place_of(driver));
	free(container_of(driver, struct file_driver, base));
}

static void init_run(struct qemu_img *run, const struct place *place, const char *subcommand)
{
	qemu_img_init(run, place->user, place->group, subcommand);
}

/* Writes an empty qcow2 into 'fd'. '-u' because the chain is ours to know, not qemu-img's to look up. */
static int make_empty(const struct place *place, int fd, const char *parent, uint64_t size_bytes, struct err *err)
{
	auto_qemu_img struct qemu_img run;
	char size[24], backing[PLACE_FILE_NAME_SIZE];

	init_run(&run, place, "create");
	run.is_trusted = true;
	snprintf(size, sizeof(size), "%" PRIu64, size_bytes);
	snprintf(backing, sizeof(backing), "%s.qcow2", parent);
	const char *const options[] = { "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2" };
	for (size_t i = 0; i < (parent[0] ? ARRAY_COUNT(options) : 4); i++)
		qemu_img_add(&run, options[i]);
	qemu_img_add_file(&run, fd);
	qemu_img_add(&run, size);
	return qemu_img_run(&run, NULL, err);
}

/* The size of a new volume: as asked for, at least its parent's. */
static int decide_size(const struct place *place, const char *parent, uint64_t *size_bytes, struct err *err)
{
	auto_chain struct chain chain = { 0 };
	int r;

	if (parent[0]) {
		r = chain_open(place, parent, O_RDONLY, &chain, err);
		if (r < 0)
			return r;
		if (chain.count == VOLUME_LAYERS_MAX)
			return err_set(err, -EINVAL, "volume '%s' already has %d parents: import it anew", parent, VOLUME_LAYERS_MAX - 1);
		if (*size_bytes == 0)
			*size_bytes = chain.header.size_bytes;
		if (*size_bytes < chain.header.size_bytes)
			return err_set(err, -EINVAL, "volume size %" PRIu64 " is smaller than its image's %" PRIu64 ": use at least that",
				       *size_bytes, chain.header.size_bytes);
	}
	return volume_check_size(*size_bytes, err);
}

static int file_create(struct volume_driver *driver, const char *volume, enum volume_content content, const char *parent,
		       uint64_t size_bytes, struct err *err)
{
	struct place *place = place_of(driver);
	auto_building struct building building = { .fd = -1 };
	int r;

	if (content != VOLUME_BLOCK)
		return err_set(err, -EOPNOTSUPP, "this pool has no trees");
	parent = parent ? parent : "";
	if ((r = volume_check_name("volume", volume, err)) < 0 || (parent[0] && (r = volume_check_name("volume", parent, err)) < 0))
		return r;
	if (place_has(place, volume))
		return 0;
	if ((r = decide_size(place, parent, &size_bytes, err)) < 0 ||
	    (r = building_begin(place, volume, &building, err)) < 0 ||
	    (r = make_empty(place, building.fd, parent, size_bytes, err)) < 0)
		return r;
	return building_finish(&building, volume, parent, err);
}

static bool has_snapshot(const struct volume_info *info, const char *snapshot)
{
	for (size_t i = 0; i < info->snapshots.count; i++)
		if (text_equal(info->snapshots.items[i], snapshot))
			return true;
	return false;
}

static int find_snapshot(const struct chain *chain, const char *snapshot, bool *ret_exists, struct err *err)
{
	struct volume_info info = { 0 };
	int r = qcow2_read_snapshots(chain->fds[0], &chain->header, &info, err);

	if (r == 0)
		*ret_exists = has_snapshot(&info, snapshot);
	volume_info_done(&info);
	return r;
}

static int need_snapshot(const struct chain *chain, const char *snapshot, struct err *err)
{
	bool exists = false;
	int r = find_snapshot(chain, snapshot, &exists, err);

	if (r == 0 && !exists)
		return err_set(err, -ENOENT, "snapshot '%s' of volume '%s' does not exist", shown(snapshot), chain->names[0]);
	return r;
}

/* Copies what 'from' holds beyond its parent into 'fd', which was made with the same parent. */
static int copy_top(const struct place *place, const struct chain *from, const char *snapshot, int fd,
		    const struct volume_progress *progress, struct err *err)
{
	auto_qemu_img struct qemu_img run;
	struct chain target = *from;
	auto_free char *snapshot_option = text_format("snapshot.name=%s", snapshot ? snapshot : "");
	auto_free char *backing = text_format("%s.qcow2", from->count > 1 ? from->names[1] : "");

	init_run(&run, place, "convert");
	run.progress = progress;
	run.total_bytes = from->header.size_bytes;
	qemu_img_add(&run, "-p");
	qemu_img_add(&run, "-n");
	qemu_img_add(&run, "--target-image-opts");
	if (snapshot) {			/* Perhaps of a running machine's volume: snapshots do not change. */
		qemu_img_add(&run, "-U");
		qemu_img_add(&run, "-l");
		qemu_img_add(&run, snapshot_option);
	}
	if (from->count > 1) {
		qemu_img_add(&run, "-B");
		qemu_img_add(&run, backing);
		qemu_img_add(&run, "-F");
		qemu_img_add(&run, "qcow2");
	}
	qemu_img_add_chain(&run, from->fds, from->formats, from->count);
	target.fds[0] = fd;
	qemu_img_add_target(&run, target.fds, target.formats, target.count);
	return qemu_img_run(&run, NULL, err);
}

static int file_clone(struct volume_driver *driver, const char *volume, const char *from, const char *snapshot,
		      const struct volume_progress *progress, struct err *err)
{
	struct place *place = place_of(driver);
	auto_building struct building building = { .fd = -1 };
	auto_chain struct chain chain = { 0 };
	const char *parent;
	int r;

	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = volume_check_name("volume", from, err)) < 0 ||
	    (snapshot && (r = volume_check_name("snapshot", snapshot, err)) < 0))
		return r;
	if (place_has(place, volume))
		return 0;
	if ((r = chain_open(place, from, O_RDONLY, &chain, err)) < 0 ||
	    (snapshot && (r = need_snapshot(&chain, snapshot, err)) < 0) ||
	    (r = building_begin(place, volume, &building, err)) < 0)
		return r;
	parent = chain.count > 1 ? chain.names[1] : "";
	if ((r = make_empty(place, building.fd, parent, chain.header.size_bytes, err)) < 0 ||
	    (r = copy_top(place, &chain, snapshot, building.fd, progress, err)) < 0)
		return r;
	return building_finish(&building, volume, parent, err);
}

static int file_import(struct volume_driver *driver, const char *volume, int file_fd, int expected,
		       const struct volume_progress *progress, struct err *err)
{
	struct place *place = place_of(driver);
	auto_building struct building building = { .fd = -1 };
	int r = volume_check_name("volume", volume, err);

	if (r < 0)
		return r;
	if (place_has(place, volume))
		return 0;
	if ((r = building_begin(place, volume, &building, err)) < 0 ||
	    (r = import_convert(place, volume, file_fd, expected, building.fd, progress, err)) < 0)
		return r;
	return building_finish(&building, volume, "", err);
}

static int convert_to(const struct place *place, const struct chain *chain, int fd, const struct volume_progress *progress,
		      struct err *err)
{
	auto_qemu_img struct qemu_img run;

	init_run(&run, place, "convert");
	run.progress = progress;
	run.total_bytes = chain->header.size_bytes;
	qemu_img_add(&run, "-p");
	qemu_img_add(&run, "-c");
	qemu_img_add(&run, "-O");
	qemu_img_add(&run, "qcow2");
	qemu_img_add_chain(&run, chain->fds, chain->formats, chain->count);
	qemu_img_add_file(&run, fd);
	return qemu_img_run(&run, NULL, err);
}

/* The new file is the machines' user's while qemu-img writes it, then ours like any other. */
static int export_to(const struct place *place, const struct chain *chain, int fd, const struct volume_progress *progress,
		     struct err *err)
{
	bool is_lent = geteuid() == 0 && place->user;
	int r;

	if (is_lent && fchown(fd, place->user, place->group) < 0)
		return err_set(err, -errno, "give the export to user %u: %m", place->user);
	r = convert_to(place, chain, fd, progress, err);
	if (r == 0 && is_lent && fchown(fd, 0, 0) < 0)
		return err_set(err, -errno, "take the export back: %m");
	if (r == 0 && fsync(fd) < 0)
		return err_set(err, -errno, "write the export to disk: %m");
	return r;
}

static int file_export(struct volume_driver *driver, const char *volume, const char *path,
		       const struct volume_progress *progress, struct err *err)
{
	struct place *place = place_of(driver);
	auto_chain struct chain chain = { 0 };
	auto_close int fd = -1;
	int r;

	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = chain_open(place, volume, O_RDONLY, &chain, err)) < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(path));
	r = export_to(place, &chain, fd, progress, err);
	if (r < 0)
		unlink(path);
	return r;
}

static int file_remove(struct volume_driver *driver, const char *volume, struct err *err)
{
	int r = volume_check_name("volume", volume, err);

	return r < 0 ? r : place_remove(place_of(driver), volume, err);
}

static int file_resize(struct volume_driver *driver, const char *volume, uint64_t size_bytes, struct err *err)
{
	struct place *place = place_of(driver);
	auto_chain struct chain chain = { 0 };
	auto_qemu_img struct qemu_img run;
	char size[24];
	int r;

	init_run(&run, place, "resize");
	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = volume_check_size(size_bytes, err)) < 0 ||
	    (r = chain_open(place, volume, O_RDWR, &chain, err)) < 0)
		return r;
	if (size_bytes < chain.header.size_bytes)
		return err_set(err, -EINVAL, "volume '%s' has %" PRIu64 " bytes and cannot shrink to %" PRIu64 ": give a larger size", volume,
			       chain.header.size_bytes, size_bytes);
	if (size_bytes == chain.header.size_bytes)
		return 0;
	snprintf(size, sizeof(size), "%" PRIu64, size_bytes);
	qemu_img_add(&run, "-q");
	qemu_img_add_chain(&run, chain.fds, chain.formats, 1);
	qemu_img_add(&run, size);
	return qemu_img_run(&run, NULL, err);
}

/* What the snapshot operations share: -c (create) is done when there is no such snapshot, -a (apply) and
 * -d (delete) when there is. */
static int change_snapshot(struct volume_driver *driver, const char *volume, const char *snapshot, const char *option,
			   bool *ret_existed, struct err *err)
{
	struct place *place = place_of(driver);
	auto_chain struct chain chain = { 0 };
	auto_qemu_img struct qemu_img run;
	bool is_creation = text_equal(option, "-c"), exists = false;
	int r;

	init_run(&run, place, "snapshot");
	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = volume_check_name("snapshot", snapshot, err)) < 0 ||
	    (r = chain_open(place, volume, O_RDWR, &chain, err)) < 0 || (r = find_snapshot(&chain, snapshot, &exists, err)) < 0)
		return r;
	*ret_existed = exists;
	if (exists == is_creation)
		return 0;
	qemu_img_add(&run, option);
	qemu_img_add(&run, snapshot);
	qemu_img_add_chain(&run, chain.fds, chain.formats, 1);
	return qemu_img_run(&run, NULL, err);
}

static int file_snapshot_create(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err)
{
	bool existed;
	int r = change_snapshot(driver, volume, snapshot, "-c", &existed, err);

	if (r == 0 && existed)
		return err_set(err, -EEXIST, "snapshot '%s' of volume '%s' exists already: choose another name", snapshot, volume);
	return r;
}

static int file_snapshot_restore(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err)
{
	bool existed;
	int r = change_snapshot(driver, volume, snapshot, "-a", &existed, err);

	if (r == 0 && !existed)
		return err_set(err, -ENOENT, "snapshot '%s' of volume '%s' does not exist", snapshot, volume);
	return r;
}

static int file_snapshot_remove(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err)
{
	bool existed;

	return change_snapshot(driver, volume, snapshot, "-d", &existed, err);
}

static int file_info(struct volume_driver *driver, const char *volume, struct volume_info *ret_info, struct err *err)
{
	struct place *place = place_of(driver);
	auto_chain struct chain chain = { 0 };
	struct volume_info info = { 0 };
	struct stat st;
	int r;

	if ((r = volume_check_name("volume", volume, err)) < 0 || (r = chain_open(place, volume, O_RDONLY, &chain, err)) < 0)
		return r;
	if (fstat(chain.fds[0], &st) < 0)
		return err_set(err, -errno, "stat volume '%s': %m", volume);
	r = qcow2_read_snapshots(chain.fds[0], &chain.header, &info, err);
	if (r < 0) {
		volume_info_done(&info);
		return err_prefix(err, "volume '%s'", volume);
	}
	info.size_bytes = chain.header.size_bytes;
	info.allocated_bytes = (uint64_t)st.st_blocks * 512;
	for (size_t i = 0; i < chain.count; i++) {
		struct volume_layer *layer = vec_push(&info.layers);

		layer->path = text_format("%s/%s.qcow2", place->directory, chain.names[i]);
		layer->format = chain.formats[i];
	}
	*ret_info = info;
	return 0;
}

static int file_list(struct volume_driver *driver, struct volume_names *ret_names, struct err *err)
{
	return place_list(place_of(driver), ret_names, err);
}

const struct volume_ops volume_file = {
	.name = "file",
	.open = file_open,
	.close = file_close,
	.create = file_create,
	.clone = file_clone,
	.import = file_import,
	.export = file_export,
	.remove = file_remove,
	.resize = file_resize,
	.snapshot_create = file_snapshot_create,
	.snapshot_restore = file_snapshot_restore,
	.snapshot_remove = file_snapshot_remove,
	.info = file_info,
	.list = file_list,
};

/*
 * Block volumes are qcow2 files, changed by qemu-img.
 *
 * Operations that read what a machine or a stranger wrote are qemu-img's, unprivileged and with
 * the chain of layers spelled out; questions about our own files are answered by qcow2.c.
 */
#include "driver/volume/file/block.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
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

int block_create(struct place *place, const char *volume, const char *parent, uint64_t size_bytes, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	int r;

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

int block_need_snapshot(const struct chain *chain, const char *snapshot, struct err *err)
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

int block_change_snapshot(const struct place *place, int fd, const char *option, const char *snapshot, struct err *err)
{
	const enum volume_format format = VOLUME_QCOW2;
	auto_qemu_img struct qemu_img run;

	init_run(&run, place, "snapshot");
	qemu_img_add(&run, option);
	qemu_img_add(&run, snapshot);
	qemu_img_add_chain(&run, &fd, &format, 1);
	return qemu_img_run(&run, NULL, err);
}

/* Gives back what a machine had reserved and not used at the instant of the copy; that is a waste and no damage. */
static int free_leaks(const struct place *place, int fd, struct err *err)
{
	const enum volume_format format = VOLUME_QCOW2;
	auto_qemu_img struct qemu_img run;
	int exit_code = 0, r;

	init_run(&run, place, "check");
	qemu_img_add(&run, "-q");
	qemu_img_add(&run, "-r");
	qemu_img_add(&run, "leaks");
	qemu_img_add_chain(&run, &fd, &format, 1);
	r = qemu_img_run(&run, &exit_code, err);
	if (r == 0 && exit_code != 0)
		return err_set(err, -EIO, "the copy of the volume is damaged (qemu-img check finds errors): try again, with the machine stopped");
	return r;
}

/*
 * Where the file system shares blocks between files, a clone is a copy of the file that takes no time, brought to the
 * snapshot and freed of all of them. A machine that runs may be writing: what it has written at this
 * instant is then copied, as if its power had failed, and its snapshots are whole at any instant.
 */
static int share_top(const struct place *place, const struct chain *from, const char *snapshot, int fd, struct err *err)
{
	struct volume_info info = { 0 };
	struct qcow2_header header;
	int r;

	if (ioctl(fd, FICLONE, from->fds[0]) < 0)
		return err_set(err, -EOPNOTSUPP, "this file system shares no blocks");
	r = snapshot ? block_change_snapshot(place, fd, "-a", snapshot, err) : 0;
	if (r == 0 && (r = qcow2_read_header(fd, &header, err)) == 0)
		r = qcow2_read_snapshots(fd, &header, &info, err);
	for (size_t i = 0; i < info.snapshots.count && r == 0; i++)
		r = block_change_snapshot(place, fd, "-d", info.snapshots.items[i], err);
	volume_info_done(&info);
	return r == 0 && snapshot ? free_leaks(place, fd, err) : r;
}

int block_clone(struct place *place, const char *volume, const char *from, const char *snapshot,
		const struct volume_progress *progress, struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	auto_chain struct chain chain = { 0 };
	const char *parent;
	int r;

	if ((r = chain_open(place, from, O_RDONLY, &chain, err)) < 0 ||
	    (snapshot && (r = block_need_snapshot(&chain, snapshot, err)) < 0) ||
	    (r = building_begin(place, volume, &building, err)) < 0)
		return r;
	parent = chain.count > 1 ? chain.names[1] : "";
	r = share_top(place, &chain, snapshot, building.fd, err);
	if (r == -EOPNOTSUPP && (r = make_empty(place, building.fd, parent, chain.header.size_bytes, err)) == 0)
		r = copy_top(place, &chain, snapshot, building.fd, progress, err);
	return r < 0 ? r : building_finish(&building, volume, parent, err);
}

int block_import(struct place *place, const char *volume, int file_fd, int expected, const struct volume_progress *progress,
		 struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	int r;

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

int block_export(struct place *place, const char *volume, const char *path,
		       const struct volume_progress *progress, struct err *err)
{
	auto_chain struct chain chain = { 0 };
	auto_close int fd = -1;
	int r;

	if ((r = chain_open(place, volume, O_RDONLY, &chain, err)) < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(path));
	r = export_to(place, &chain, fd, progress, err);
	if (r < 0)
		unlink(path);
	return r;
}

int block_resize(struct place *place, const char *volume, uint64_t size_bytes, struct err *err)
{
	auto_chain struct chain chain = { 0 };
	auto_qemu_img struct qemu_img run;
	char size[24];
	int r;

	init_run(&run, place, "resize");
	if ((r = chain_open(place, volume, O_RDWR, &chain, err)) < 0)
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
static int change_snapshot(struct place *place, const char *volume, const char *snapshot, const char *option, bool *ret_existed,
			   struct err *err)
{
	auto_chain struct chain chain = { 0 };
	bool is_creation = text_equal(option, "-c"), exists = false;
	int r;

	if ((r = chain_open(place, volume, O_RDWR, &chain, err)) < 0 || (r = find_snapshot(&chain, snapshot, &exists, err)) < 0)
		return r;
	*ret_existed = exists;
	return exists == is_creation ? 0 : block_change_snapshot(place, chain.fds[0], option, snapshot, err);
}

int block_snapshot_create(struct place *place, const char *volume, const char *snapshot, struct err *err)
{
	bool existed;
	int r = change_snapshot(place, volume, snapshot, "-c", &existed, err);

	if (r == 0 && existed)
		return err_set(err, -EEXIST, "snapshot '%s' of volume '%s' exists already: choose another name", snapshot, volume);
	return r;
}

int block_snapshot_restore(struct place *place, const char *volume, const char *snapshot, struct err *err)
{
	bool existed;
	int r = change_snapshot(place, volume, snapshot, "-a", &existed, err);

	if (r == 0 && !existed)
		return err_set(err, -ENOENT, "snapshot '%s' of volume '%s' does not exist", snapshot, volume);
	return r;
}

int block_snapshot_remove(struct place *place, const char *volume, const char *snapshot, struct err *err)
{
	bool existed;

	return change_snapshot(place, volume, snapshot, "-d", &existed, err);
}

int block_info(struct place *place, const char *volume, struct volume_info *ret_info, struct err *err)
{
	auto_chain struct chain chain = { 0 };
	struct volume_info info = { 0 };
	struct stat st;
	int r;

	if ((r = chain_open(place, volume, O_RDONLY, &chain, err)) < 0)
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

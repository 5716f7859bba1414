#include "crun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "driver/fabric/bridge/link.h"
#include "driver/fabric/bridge/namespace.h"
#include "driver/machine/oci/idmap.h"

enum { CONFIG_BYTES = 1 << 20, END_TIMEOUT_MS = 30000, MTU = 1500, PREFIX = 16, PERIOD_US = 100000 };

static const char bridge[] = "crun0";
static const uint8_t bridge_mac[6] = { 0x52, 0x54, 0, 0xff, 0, 1 };

void crun_init(struct crun *crun, const struct bench *bench, const char *signals)
{
	*crun = (struct crun){
		.bench = bench, .signals = signals, .folder = text_format("%s/crun", bench->folder),
		.state = text_format("%s/crun/state", bench->folder), .cgroup = text_copy(strrchr(bench->folder, '/')),
	};
	for (size_t i = 0; i < CONTAINERS_MAX; i++)
		crun->containers[i].pidfd = -1;
}

void crun_done(struct crun *crun)
{
	static const char *const mounts[] = { "layer", "volumes" };
	struct err err;

	for (unsigned i = 0; i < CONTAINERS_MAX; i++)
		if (crun->containers[i].pidfd >= 0)
			crun_delete(crun, i, &err);
	for (size_t i = 0; i < ARRAY_COUNT(mounts); i++) {
		auto_free char *path = text_format("%s/%s", crun->folder, mounts[i]);

		umount2(path, MNT_DETACH);
	}
	free(crun->folder);
	free(crun->state);
	free(crun->config);
	free(crun->cgroup);
}

/* What all containers share */

static void replace(struct str *text, const char *old, const char *new)
{
	auto_str struct str out = { 0 };
	const char *from = str_text(text), *found;

	for (; (found = strstr(from, old)); from = found + strlen(old)) {
		str_append_bytes(&out, from, (size_t)(found - from));
		str_append(&out, new);
	}
	str_append(&out, from);
	str_clear(text);
	str_append(text, str_text(&out));
}

/* Paths in the daemon's namespaces become ours, and what it limits itself crun limits. */
static int adapt(struct crun *crun, struct str *text, struct err *err)
{
	auto_json struct json *json = NULL;
	int r = json_parse(str_text(text), text->size, &json, err);
	const char *root = json_string(json_path(json, "root.path"), "");
	auto_free char *base = text_copy_length(root, strlen(root) > 5 ? strlen(root) - 5 : 0);
	auto_free char *volume = text_format("\"%s/m0\"", base), *signals = text_format("\"%s\"", crun->signals);
	auto_free char *old = text_format("\"%s/", base), *new = text_format("\"%s/", crun->folder);
	auto_free char *cgroup = text_copy(json_string(json_path(json, "linux.cgroupsPath"), ""));
	auto_free char *limits = text_format("\"resources\":{\"memory\":{\"limit\":%llu},\"cpu\":{\"shares\":1024,\"quota\":%d,\"period\":%d},"
					     "\"pids\":{\"limit\":%d},", CONTAINER_MEMORY_MIB * 1024ULL * 1024, PERIOD_US, PERIOD_US, CONTAINER_PIDS);

	if (r < 0)
		return r;
	if (!base[0] || !cgroup[0])
		return err_set(err, -ENODATA, "the daemon's config.json has no root or no cgroup");
	replace(text, volume, signals);
	replace(text, old, new);
	replace(text, cgroup, "@cgroup@");
	replace(text, "\"resources\":{", limits);
	crun->config = text_copy(str_text(text));
	return 0;
}

static int mount_mapped(const char *from, const char *to, int idmap, bool is_read_only, struct err *err)
{
	auto_close int fd = idmap_mount(from, idmap, false, is_read_only, err);
	int r = fd < 0 ? fd : file_make_dirs(to, 0755, err);

	if (r < 0)
		return r;
	if (syscall(SYS_move_mount, fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, -errno, "mount '%s': %m", to);
	return 0;
}

/* The image has one layer. */
static int mount_shared(struct crun *crun, const struct node *node, uint32_t base, uint32_t count, struct err *err)
{
	auto_free char *pattern = text_format("%s/oci/layers/*/bin", node->state), *volumes = text_format("%s/files", crun->folder);
	auto_free char *layer_to = text_format("%s/layer", crun->folder), *volumes_to = text_format("%s/volumes", crun->folder);
	auto_free char *root = text_format("%s/root", crun->folder), *layer = NULL;
	auto_close int idmap = idmap_open(base, count, err);
	glob_t found = { 0 };
	int r = idmap < 0 ? idmap : identity_init(&crun->identity, base);

	if (glob(pattern, 0, NULL, &found) == 0)
		layer = text_copy_length(found.gl_pathv[0], strlen(found.gl_pathv[0]) - strlen("/bin"));
	globfree(&found);
	if (!layer)
		return err_set(err, -ENOENT, "the image has no layer in '%s'", pattern);
	if (r == 0)
		r = file_make_dirs(volumes, 0755, err);
	if (r == 0)
		r = file_make_dirs(root, 0755, err);
	if (r == 0)
		r = mount_mapped(layer, layer_to, idmap, true, err);
	return r < 0 ? r : mount_mapped(volumes, volumes_to, idmap, false, err);
}

static int write_etc(struct crun *crun, struct err *err)
{
	static const char *const names[] = { "resolv.conf", "hosts", "hostname" };
	int r = 0;

	for (size_t i = 0; i < ARRAY_COUNT(names) && r == 0; i++) {
		auto_free char *path = text_format("%s/%s", crun->folder, names[i]);

		r = file_write_atomic(path, "127.0.0.1 localhost\n", 20, 0644, err);
	}
	return r;
}

static int make_bridge(struct err *err)
{
	struct link_settings up = { .mtu = MTU };
	struct netlink netlink = { 0 };
	int r = netlink_open(&netlink, NETLINK_ROUTE, err);

	if (r == 0)
		r = link_add_bridge(&netlink, bridge, bridge_mac, err);
	if (r == 0)
		r = link_set(&netlink, bridge, &up, err);
	netlink_close(&netlink);
	return r;
}

int crun_learn(struct crun *crun, const struct node *node, const char *uid, struct err *err)
{
	auto_free char *path = text_format("%s/run-containers/%s/config.json", node->state, uid);
	auto_str struct str text = { 0 };
	auto_json struct json *json = NULL;
	const struct json *ids;
	int r = file_read_all(path, CONFIG_BYTES, &text, err);

	if (r == 0)
		r = json_parse(str_text(&text), text.size, &json, err);
	if (r == 0)
		r = adapt(crun, &text, err);
	if (r == 0)
		r = file_make_dirs(crun->state, 0755, err);
	if (r < 0)
		return r;
	ids = json_at(json_path(json, "linux.uidMappings"), 0);
	r = mount_shared(crun, node, (uint32_t)json_int(json_get(ids, "hostID"), 0), (uint32_t)json_int(json_get(ids, "size"), 0), err);
	if (r == 0)
		r = write_etc(crun, err);
	return r < 0 ? r : make_bridge(err);
}

/* One container */

int crun_prepare(struct crun *crun, unsigned number, struct err *err)
{
	auto_free char *upper = text_format("%s/files/%u/upper", crun->folder, number);
	auto_free char *work = text_format("%s/files/%u/work", crun->folder, number);
	auto_free char *bundle = text_format("%s/%u", crun->folder, number), *path = text_format("%s/config.json", bundle);
	auto_free char *cgroup = text_format("%s/%u", crun->cgroup, number);
	auto_str struct str text = { 0 };
	int r = file_make_dirs(upper, 0755, err);

	str_append(&text, crun->config);
	replace(&text, "@cgroup@", cgroup);
	if (r == 0)
		r = file_make_dirs(work, 0755, err);
	if (r == 0)
		r = file_make_dirs(bundle, 0755, err);
	return r < 0 ? r : file_write_atomic(path, str_text(&text), text.size, 0644, err);
}

struct root { const struct identity *identity; const char *path, *options; };

/* A mount namespace of its own, so that the kernel takes the overlay away. */
CHILD_CODE static int mount_root(void *data)
{
	const struct root *root = data;
	int error = syscall(SYS_unshare, CLONE_NEWNS) < 0 ? errno : identity_enter(root->identity);

	if (!error && syscall(SYS_mount, "overlay", root->path, "overlay", MS_NODEV, root->options) < 0)
		error = errno;
	return error ? error : identity_leave(root->identity);
}

static int run_crun(struct crun *crun, const char *const *arguments, int (*prepare)(void *data), void *data, struct err *err)
{
	auto_free char *log = text_format("%s/log", crun->folder);
	const char *argv[16] = { "crun", "--root", crun->state, "--cgroup-manager", "cgroupfs", "--log", log };
	struct spawn_params params = { .argv = argv, .prepare = prepare, .prepare_data = data };
	size_t count = 7;
	pid_t pid;
	auto_close int pidfd = -1;
	int status, r;

	for (; *arguments && count + 1 < ARRAY_COUNT(argv); arguments++)
		argv[count++] = *arguments;
	r = spawn_start(&params, &pid, &pidfd, err);
	if (r < 0)
		return r;
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return err_set(err, -EIO, "crun %s failed: see '%s'", argv[7], log);
	return 0;
}
#define run_crun(crun, prepare, data, err, ...) run_crun(crun, (const char *const[]){ __VA_ARGS__, NULL }, prepare, data, err)

static int set_up_inside(void *data, struct err *err)
{
	const unsigned *number = data;
	struct in6_addr gateway = { .s6_addr = { [10] = 0xff, [11] = 0xff, 10, 99, 0, 1 } };
	struct link_address address = { AF_INET, gateway, PREFIX, true };
	struct link_settings up = { .mtu = MTU };
	struct netlink netlink = { 0 };
	int r = netlink_open(&netlink, NETLINK_ROUTE, err);

	address.address.s6_addr[14] = (uint8_t)((*number + 2) >> 8);
	address.address.s6_addr[15] = (uint8_t)(*number + 2);
	if (r == 0)
		r = link_set_up(&netlink, "lo", err);
	if (r == 0)
		r = link_set(&netlink, "eth0", &up, err);
	if (r == 0)
		r = link_set_addresses(&netlink, "eth0", &address, 1, err);
	if (r == 0)
		r = link_set_default_route(&netlink, "eth0", &gateway, 0, err);
	netlink_close(&netlink);
	return r;
}

static int add_nic(unsigned number, pid_t pid, struct err *err)
{
	char name[IFNAMSIZ];
	uint8_t mac[6] = { 0x52, 0x54, 0, 0xfe, (uint8_t)(number >> 8), (uint8_t)number };
	struct link_veth veth = { .name = name, .peer_name = "eth0", .peer_mac = mac, .mtu = MTU };
	struct link_settings plugged = { .mtu = MTU, .master = if_nametoindex(bridge) };
	struct netlink netlink = { 0 };
	auto_close int fd = -1;
	int r = namespace_open(pid, &fd, err);

	snprintf(name, sizeof(name), "crun%uv", number);
	veth.peer_namespace_fd = fd;
	if (r == 0)
		r = netlink_open(&netlink, NETLINK_ROUTE, err);
	if (r == 0)
		r = link_add_veth(&netlink, &veth, err);
	if (r == 0)
		r = namespace_run(fd, set_up_inside, &number, err);
	if (r == 0)
		r = link_set(&netlink, name, &plugged, err);
	netlink_close(&netlink);
	return r;
}

static int let_go(const struct crun *crun, const char *id, struct err *err)
{
	auto_free char *path = text_format("%s/%s/exec.fifo", crun->state, id);
	auto_close int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || write(fd, "", 1) != 1 || unlink(path) < 0)
		return err_set(err, -errno, "let container '%s' go: %m", id);
	return 0;
}

int crun_start(struct crun *crun, unsigned number, struct err *err)
{
	auto_free char *id = text_format("%u", number), *bundle = text_format("%s/%u", crun->folder, number);
	auto_free char *pid_file = text_format("%s/pid", bundle), *path = text_format("%s/root", crun->folder);
	auto_free char *options = text_format("lowerdir=%s/layer,upperdir=%s/volumes/%u/upper,workdir=%s/volumes/%u/work",
					      crun->folder, crun->folder, number, crun->folder, number);
	struct root root = { &crun->identity, path, options };
	auto_str struct str text = { 0 };
	pid_t pid = 0;
	int r = run_crun(crun, mount_root, &root, err, "create", "--bundle", bundle, "--pid-file", pid_file, id);

	if (r == 0)
		r = file_read_all(pid_file, 32, &text, err);
	if (r < 0)
		return r;
	pid = (pid_t)atoi(str_text(&text));
	crun->containers[number].pid = pid;
	crun->containers[number].pidfd = pidfd_open(pid, 0);
	r = add_nic(number, pid, err);
	return r < 0 ? r : let_go(crun, id, err);
}

int crun_exec_true(struct crun *crun, unsigned number, struct err *err)
{
	auto_free char *id = text_format("%u", number);

	return run_crun(crun, NULL, NULL, err, "exec", id, "true");
}

int crun_stop(struct crun *crun, unsigned number, struct err *err)
{
	auto_free char *id = text_format("%u", number);
	struct pollfd wanted = { .fd = crun->containers[number].pidfd, .events = POLLIN };
	int r = run_crun(crun, NULL, NULL, err, "kill", id, "TERM");

	if (r == 0 && poll(&wanted, 1, END_TIMEOUT_MS) <= 0)
		return err_set(err, -ETIMEDOUT, "container %u does not end", number);
	return r;
}

int crun_delete(struct crun *crun, unsigned number, struct err *err)
{
	auto_free char *id = text_format("%u", number), *bundle = text_format("%s/%u", crun->folder, number);
	auto_free char *files = text_format("%s/files/%u", crun->folder, number);
	int r = run_crun(crun, NULL, NULL, err, "delete", "--force", id);

	/* We are the first process here, and inherit those that crun leaves. */
	waitpid(crun->containers[number].pid, NULL, 0);
	closep(&crun->containers[number].pidfd);
	crun->containers[number].pidfd = -1;
	if (r == 0)
		r = file_remove_tree(bundle, err);
	return r < 0 ? r : file_remove_tree(files, err);
}

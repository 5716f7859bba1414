/*
 * The destination of a live migration: a machine that was started like any other, but waits for its memory (-incoming defer) and
 * does not run when it has come (-S). Its disks are opened without being taken from the source (late-block-activate): that happens
 * when it is let run. Disks that are copied are offered over NBD meanwhile.
 *
 * The mark "incoming" in its run directory says that it has not been let run yet; a stream that breaks ends QEMU.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/disk.h"
#include "driver/machine/qemu/migrate.h"

enum { POLL_MS = 5, ARRIVE_MS = 2000 };

/* Waiting */

static int add_peer(struct qmp *qmp, const char *peer, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };

	json_write_object(&writer, NULL);
	json_write_string(&writer, "qom-type", "authz-simple");
	json_write_string(&writer, "id", MIGRATE_PEER);
	json_write_string(&writer, "identity", peer);
	json_write_end_object(&writer);
	return migrate_call(qmp, "object-add", arguments.data, NULL, err);
}

static void write_tls(struct json_writer *writer, const struct machine_listen *listen)
{
	if (listen->tls)
		json_write_string(writer, "tls-creds", MIGRATE_TLS);
	if (listen->tls && listen->peer)
		json_write_string(writer, "tls-authz", MIGRATE_PEER);
}

static int start_nbd(struct qmp *qmp, const struct machine_listen *listen, uint16_t *ret_port, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };
	auto_close int fd = migrate_bind(listen->address, listen->port_first, listen->port_last, ret_port, err);
	int r = fd < 0 ? fd : migrate_hand_socket(qmp, fd, "migrate-disks", err);

	if (r < 0)
		return r;
	json_write_object(&writer, NULL);
	json_write_object(&writer, "addr");
	json_write_string(&writer, "type", "fd");
	json_write_object(&writer, "data");
	json_write_string(&writer, "str", "migrate-disks");
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	write_tls(&writer, listen);
	json_write_end_object(&writer);
	return migrate_call(qmp, "nbd-server-start", arguments.data, NULL, err);
}

static int offer_disk(struct qmp *qmp, const char *disk, struct err *err)
{
	auto_free char *arguments = NULL;
	char node[DISK_NAME_SIZE];
	int r;

	disk_node(disk, 0, node);
	arguments = text_format("{\"type\":\"nbd\",\"id\":\"%s\",\"node-name\":\"%s\",\"name\":\"%s\",\"writable\":true}", node, node, node);
	r = migrate_call(qmp, "block-export-add", arguments, NULL, err);
	return r < 0 ? err_prefix(err, "offer disk '%s'", shown(disk)) : 0;
}

static int offer_disks(struct qmp *qmp, const struct machine_listen *listen, uint16_t *ret_port, struct err *err)
{
	const char *const *disk = listen->copied;
	int r = 0;

	if (disk && *disk)
		r = start_nbd(qmp, listen, ret_port, err);
	for (; r == 0 && disk && *disk; disk++)
		r = offer_disk(qmp, *disk, err);
	return r;
}

/* Announcing is for the moment in which it is let run. */
static int set_up(struct qmp *qmp, const struct machine_listen *listen, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };
	int r = migrate_call(qmp, "migrate-set-capabilities", "{\"capabilities\":["
			     "{\"capability\":\"late-block-activate\",\"state\":true},{\"capability\":\"events\",\"state\":true},"
			     "{\"capability\":\"return-path\",\"state\":true}]}", NULL, err);

	if (r == 0 && listen->has_postcopy &&
	    migrate_call(qmp, "migrate-set-capabilities", "{\"capabilities\":[{\"capability\":\"postcopy-ram\",\"state\":true}]}", NULL, err) < 0) {
		err->code = -EOPNOTSUPP;
		return err_prefix(err, "post-copy, for which the user of machines must be able to open /dev/userfaultfd");
	}
	if (r < 0)
		return r;
	json_write_object(&writer, NULL);
	json_write_int(&writer, "announce-rounds", 0);
	write_tls(&writer, listen);
	json_write_end_object(&writer);
	return migrate_call(qmp, "migrate-set-parameters", arguments.data, NULL, err);
}

static int listen_for_memory(struct qmp *qmp, const struct machine_listen *listen, uint16_t *ret_port, struct err *err)
{
	auto_str struct str arguments = { 0 };
	auto_json struct json *reply = NULL;
	struct json_writer writer = { .out = &arguments };
	char port[8];
	int r;

	snprintf(port, sizeof(port), "%u", listen->port_first);
	json_write_object(&writer, NULL);
	json_write_array(&writer, "channels");
	json_write_object(&writer, NULL);
	json_write_string(&writer, "channel-type", "main");
	json_write_object(&writer, "addr");
	json_write_string(&writer, "transport", "socket");
	json_write_string(&writer, "type", "inet");
	json_write_string(&writer, "host", listen->address);
	json_write_string(&writer, "port", port);
	if (listen->port_last > listen->port_first)
		json_write_uint(&writer, "to", listen->port_last);
	json_write_bool(&writer, "numeric", true);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
	r = migrate_call(qmp, "migrate-incoming", arguments.data, NULL, err);
	if (r == 0)
		r = migrate_call(qmp, "query-migrate", NULL, &reply, err);
	if (r == 0)
		*ret_port = migrate_port_read(reply);
	return r == 0 && !*ret_port ? err_set(err, -EPROTO, "QEMU does not say where it listens") : r;
}

static int wait_for_source(struct qemu *qemu, const char *uid, const struct machine_listen *listen, struct machine_ports *ports,
			   struct err *err)
{
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, err);
	auto_qmp struct qmp qmp;
	int r = qemu_connect(qemu, uid, QMP_TIMEOUT_MS, &qmp, err);

	if (run_dir < 0)
		return run_dir;
	if (r == 0)
		r = migrate_check_version(&qmp, err);
	if (r == 0 && listen->tls)
		r = migrate_add_tls(qemu, &qmp, run_dir, listen->tls, true, err);
	if (r == 0 && listen->tls && listen->peer)
		r = add_peer(&qmp, listen->peer, err);
	if (r == 0)
		r = set_up(&qmp, listen, err);
	if (r == 0)
		r = offer_disks(&qmp, listen, &ports->disks, err);
	return r < 0 ? r : listen_for_memory(&qmp, listen, &ports->memory, err);
}

int qemu_migrate_in(struct machine_driver *driver, const struct machine_config *config, const struct machine_listen *listen,
		    struct machine_ports *ret_ports, struct err *err)
{
	struct qemu *qemu = qemu_of(driver);
	struct machine_config waiting = *config;
	struct machine_ports ports = { 0 };
	int r;

	waiting.memory_snapshot = NULL;	/* The memory comes from the source. */
	r = qemu_launch(qemu, &waiting, true, err);
	if (r == 0) {
		r = wait_for_source(qemu, config->uid, listen, &ports, err);
		if (r < 0)
			qemu_destroy(qemu, config->uid, &(struct err){ 0 });
	}
	if (r < 0)
		return err_prefix(err, "wait for machine '%s'", shown(config->name ? config->name : config->uid));
	*ret_ports = ports;
	return 0;
}

/* Letting it run */

static bool is_arriving(struct qmp *qmp)
{
	auto_json struct json *reply = NULL;
	const char *status;

	if (migrate_call(qmp, "query-migrate", NULL, &reply, &(struct err){ 0 }) < 0)
		return false;
	status = json_string(json_path(reply, "return.status"), "");
	return text_equal(status, "active") || text_equal(status, "completed");
}

/* The source knows a moment before QEMU is done here. */
static int wait_for_arrival(struct qmp *qmp, bool *ret_is_running, struct err *err)
{
	struct deadline deadline = deadline_in(ARRIVE_MS);

	for (;;) {
		auto_json struct json *reply = NULL;
		const char *word;
		int r = migrate_call(qmp, "query-status", NULL, &reply, err);

		if (r < 0)
			return r;
		word = json_string(json_path(reply, "return.status"), "");
		*ret_is_running = text_equal(word, "running");
		if (!text_equal(word, "inmigrate"))
			return 0;
		if (deadline_left_ms(deadline) == 0 || !is_arriving(qmp))
			return err_set(err, -EBUSY, "it waits for a migration, and not everything has arrived");
		poll(NULL, 0, POLL_MS);
	}
}

int qemu_migrate_accept(struct qemu *qemu, const char *uid, int run_dir, struct err *err)
{
	auto_qmp struct qmp qmp;
	bool is_running = false;
	int r = qemu_connect(qemu, uid, QMP_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = wait_for_arrival(&qmp, &is_running, err);
	if (r == 0 && !is_running) {
		migrate_call(&qmp, "nbd-server-stop", NULL, NULL, &(struct err){ 0 });	/* There may be none. */
		r = migrate_call(&qmp, "cont", NULL, NULL, err);
	}
	if (r == 0)
		r = run_dir_mark_incoming(run_dir, false, err);
	if (r < 0)
		return r;
	/* Switches learn where its addresses are now; a guest that is told repeats it itself. */
	migrate_call(&qmp, "announce-self", "{\"initial\":50,\"max\":550,\"rounds\":5,\"step\":100}", NULL, &(struct err){ 0 });
	return 0;
}

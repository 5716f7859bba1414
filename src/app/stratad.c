/*
 * stratad.c - the daemon: reads its arguments, opens store and drivers, wires them to the core, serves the API.
 *
 * It is crash-only: a stop is a crash that was announced.  Machines, networks and their helpers go on
 * running; the next start finds them.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "1-hardware/inventory/inventory.h"
#include "2-virtualization/images/source.h"
#include "4-service/cluster/file.h"
#include "4-service/pki/pki.h"
#include "4-service/core.h"
#include "4-service/state.h"
#include "5-interface/http/http.h"
#include "app/simulate/simulate.h"
#include "app/wiring/cgroup.h"
#include "app/wiring/drivers.h"
#include "app/wiring/peers.h"
#include "app/wiring/store.h"
#include "app/wiring/telemetry.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/yaml.h"
#include "port/power.h"

enum { SAMPLE_MS = 5000, EXIT_USAGE = 2 };

struct options {
	const char *state, *config, *socket;
	const char *simulate, *seed, *faults;	/* As of app/simulate/simulate.h; null: this is a daemon. */
	bool is_simulated;
};

struct daemon {
	struct options options;
	struct rng rng;
	struct state state;
	struct loop *loop;
	struct work *work;
	struct store *store;
	struct drivers drivers;
	struct cluster_params cluster;
	char *cluster_cgroup;
	bool must_restart;
	struct telemetry_wiring *telemetry;	/* Null on a host that is alone. */
	struct view *view;
	struct core *core;
	struct http *http;
	struct json *config;		/* Of --config; the same decoded, or the defaults. */
	struct config settings;
	char *boot_id;
	char *certificates;
	char *tls_folder;		/* The same for machines that go to other nodes; null: this host is by itself. */
};

static const char usage[] =
	"Usage: stratad [--state DIR] [--config FILE] [--socket PATH] [--driver sim]\n"
	"       stratad --simulate nodes=N,instances=M [--seed S] [--faults LIST]\n"
	"\n"
	"The daemon of Strata: runs the virtual servers of this host.\n"
	"\n"
	"  --state DIR     where everything is kept (default /var/lib/strata)\n"
	"  --config FILE   settings in YAML; those set with 'strata config set' go before them\n"
	"  --socket PATH   where the API listens (default /run/strata/strata.sock, or DIR/strata.sock with --state)\n"
	"  --driver sim    simulate machines, disks and networks instead of making them\n"
	"  --simulate nodes=N,instances=M\n"
	"                  play a whole cluster in this process, in virtual time: creates the instances, waits until each runs or\n"
	"                  says why not, and prints one line. 'steps' are turns of the event loop; after each it is checked that no\n"
	"                  instance runs twice and no volume has two writers. Exit status 1: an invariant was broken\n"
	"  --seed S        of the simulation (default 1): the same seed gives the same history\n"
	"  --faults LIST   what goes wrong in it: all, or some of crash,power,partition,clock,disk,leader\n"
	"  --version       print the version\n"
	"  --help          print this\n"
	"\n"
	"Examples:\n"
	"  stratad\n"
	"  stratad --state /srv/strata --config /etc/strata/stratad.yaml\n"
	"  stratad --simulate nodes=100,instances=1000 --seed 7 --faults all\n";

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "state", required_argument, NULL, 's' }, { "config", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 'S' }, { "driver", required_argument, NULL, 'd' },
		{ "simulate", required_argument, NULL, 'm' }, { "seed", required_argument, NULL, 'e' },
		{ "faults", required_argument, NULL, 'f' }, { "version", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 's': options->state = optarg; break;
		case 'c': options->config = optarg; break;
		case 'S': options->socket = optarg; break;
		case 'd':
			if (strcmp(optarg, "sim") != 0) {
				fprintf(stderr, "stratad: --driver: '%s' is unknown: use 'sim' or leave it out\n", optarg);
				return EXIT_USAGE;
			}
			options->is_simulated = true;
			break;
		case 'm': options->simulate = optarg; break;
		case 'e': options->seed = optarg; break;
		case 'f': options->faults = optarg; break;
		case 'v': printf("stratad %s\n", STRATA_VERSION); return 0;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs("stratad: see 'stratad --help'\n", stderr); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "stratad: '%s' is not expected: see 'stratad --help'\n", argv[optind]);
		return EXIT_USAGE;
	}
	if (options->simulate)
		return simulate_main(argv, options->simulate, options->seed, options->faults);
	if (options->seed || options->faults) {
		fputs("stratad: --seed and --faults are for a simulation: add --simulate nodes=N,instances=M, or leave them out\n", stderr);
		return EXIT_USAGE;
	}
	return -1;
}

static char *below(const struct daemon *daemon, const char *name)
{
	return text_format("%s/%s", daemon->state.directory, name);
}

static int read_config(struct daemon *daemon, struct err *err)
{
	struct yaml_documents documents = { 0 };
	auto_str struct str text = { 0 };
	int r;

	field_defaults(&config_table, &daemon->settings);
	if (!daemon->options.config)
		return 0;
	r = file_read_all(daemon->options.config, LIMIT_MANIFEST_BYTES, &text, err);
	if (r == 0)
		r = yaml_parse(str_text(&text), text.size, &documents, err);
	if (r == 0 && documents.values.count > 1)
		r = err_set(err, -EINVAL, "has %zu documents: put all settings in one", documents.values.count);
	if (r == 0 && documents.values.count) {
		daemon->config = take(documents.values.items[0]);
		r = field_decode(&config_table, daemon->config, FIELD_PATCH, "", &daemon->settings, err);
	}
	yaml_documents_done(&documents);
	return r < 0 ? err_prefix(err, "%s", daemon->options.config) : 0;
}

static int apply_config(void *data, const struct config *config, struct err *err)
{
	struct daemon *daemon = data;
	bool is_changed = daemon->core && !text_equal(config->api.listen, core_config(daemon->core)->api.listen);

	if (daemon->cluster.settings.uid)
		return is_changed ? err_set(err, -EINVAL, "api.listen: in a cluster every host has an address of its own, given with "
					    "'strata cluster init --address' or 'strata cluster join --address'") : 0;
	return daemon->http ? http_set_listen(daemon->http, config->api.listen, err) : 0;
}

/* They are read when a machine begins to move: a renewed certificate counts from the daemon's next start. */
static int export_certificates(struct daemon *daemon, struct err *err)
{
	daemon->tls_folder = below(daemon, "tls-machines");
	return pki_export_for_qemu(daemon->certificates, daemon->tls_folder, err);
}

/* A host that is alone does not wake up ten times a second for nobody. */
static void open_telemetry(struct daemon *daemon)
{
	struct err err;

	if (store_is_shared(daemon->store) &&
	    wiring_open_telemetry(daemon->state.node_uid, daemon->drivers.cgroup, &daemon->telemetry, &err) < 0)
		log_line(LOG_WARNING, "how loaded this host is will not be known: %s", err.msg);
}

static int open_core(struct daemon *daemon, struct err *err)
{
	struct core_params params = {
		.loop = daemon->loop, .work = daemon->work, .store = daemon->store,
		.machines = { daemon->drivers.machines[0], daemon->drivers.machines[1] }, .volume = daemon->drivers.volume,
		.pools = daemon->drivers.pools, .fabric = daemon->drivers.fabric, .fence = daemon->drivers.fence,
		.power = { [NODE_POWER_REDFISH] = &power_redfish, [NODE_POWER_IPMI] = &power_ipmi },
		.cgroups = { daemon->drivers.cgroups[0], daemon->drivers.cgroups[1] }, .view = daemon->view, .rng = &daemon->rng,
		.images = daemon->options.is_simulated ? &image_source_sim : &image_source_real,
		.directory = daemon->state.directory, .node_uid = daemon->state.node_uid, .node_tag = daemon->state.node_tag,
		.boot_id = daemon->boot_id, .version = STRATA_VERSION, .sample_ms = SAMPLE_MS,
		.peers = wiring_peers(daemon->certificates), .load = wiring_load_source(daemon->telemetry),
		.cluster = &daemon->cluster, .config_defaults = daemon->config,
		.apply_config = apply_config, .data = daemon,
	};

	if (daemon->cluster.settings.uid && export_certificates(daemon, err) < 0)
		return err->code;
	params.tls_folder = daemon->tls_folder;
	return core_new(&params, &daemon->core, err);
}

/* The first fd that systemd passed (sd_listen_fds(3)), or -1. */
static int activated_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	enum { LISTEN_FDS_START = 3 };

	if (!pid || !count || atoi(pid) != getpid() || atoi(count) < 1)
		return -1;
	return LISTEN_FDS_START;
}

static int open_http(struct daemon *daemon, struct err *err)
{
	auto_free char *socket_path = daemon->options.socket ? text_copy(daemon->options.socket) : below(daemon, "strata.sock");
	auto_free char *staging = below(daemon, "staging");
	struct http_params params = {
		.core = daemon->core, .view = daemon->view, .call = api_call, .socket_path = socket_path, .listen_fd = activated_socket(),
		.staging = staging, .certificates = daemon->certificates, .node_uid = daemon->state.node_uid,
		.listen = daemon->cluster.settings.uid ? daemon->cluster.settings.address : core_config(daemon->core)->api.listen,
	};
	char *slash = strrchr(socket_path, '/');

	if (slash && slash != socket_path) {
		auto_free char *folder = text_copy_length(socket_path, (size_t)(slash - socket_path));
		int r = file_make_dirs(folder, 0755, err);

		if (r < 0)
			return r;
	}
	return http_start(&params, &daemon->http, err);
}

static void stop(void *data, int signal)
{
	struct daemon *daemon = data;

	(void)signal;
	if (daemon->core)
		core_resign(daemon->core);
	loop_stop(daemon->loop);
}

static void restart(void *data)
{
	struct daemon *daemon = data;

	daemon->must_restart = true;
	loop_stop(daemon->loop);
}

static int open_store(struct daemon *daemon, struct err *err)
{
	const struct state *state = &daemon->state;
	int r;

	daemon->cluster_cgroup = daemon->options.is_simulated ? NULL : cgroup_of_member(state->node_tag);
	daemon->cluster = (struct cluster_params){
		.member = &member_etcd, .file = &store_sqlite, .shared = &store_etcd, .cgroup = daemon->cluster_cgroup,
		.restart = restart, .data = daemon,
	};
	r = cluster_file_read(state->directory, &daemon->cluster.settings, err);
	if (r == 0)
		r = cluster_prepare(state->directory, state->node_uid, &daemon->cluster, err);
	return r < 0 ? r : wiring_open_store(&daemon->settings, &daemon->cluster.settings, state->directory, state->node_uid, daemon->loop,
					     &daemon->store, err);
}

static int open_all(struct daemon *daemon, struct err *err)
{
	const char *directory = daemon->options.state ? daemon->options.state : "/var/lib/strata";
	struct loop_source *unused = NULL;
	int r;

	rng_init_random(&daemon->rng);
	r = read_config(daemon, err);
	if (r == 0)
		r = state_open(directory, &daemon->rng, &daemon->state, err);
	if (r == 0)
		r = loop_new(LOOP_CLOCK_REAL, 0, &daemon->loop, err);
	if (r == 0)
		r = loop_add_signal(daemon->loop, SIGTERM, stop, daemon, &unused, err);
	if (r == 0)
		r = loop_add_signal(daemon->loop, SIGINT, stop, daemon, &unused, err);
	if (r < 0)
		return r;
	daemon->boot_id = inventory_boot_id();
	daemon->certificates = below(daemon, "tls");
	daemon->work = work_new(daemon->loop, LIMIT_WORKERS);
	daemon->view = view_new();
	r = open_store(daemon, err);
	if (r == 0)
		r = drivers_open(daemon->state.directory, daemon->state.node_tag, daemon->options.is_simulated, store_is_shared(daemon->store),
				 &daemon->drivers, err);
	if (r == 0)
		open_telemetry(daemon);
	if (r == 0)
		r = open_core(daemon, err);
	if (r == 0)
		r = open_http(daemon, err);
	return r;
}

/* The order matters: nobody may call into what is gone. */
static void close_all(struct daemon *daemon)
{
	http_stop(daemon->http);
	if (daemon->work)
		work_free(daemon->work);
	core_free(daemon->core);
	wiring_close_telemetry(daemon->telemetry);
	store_close(daemon->store);
	drivers_close(&daemon->drivers);
	if (daemon->view)
		view_free(daemon->view);
	if (daemon->loop)
		loop_free(daemon->loop);
	json_free(daemon->config);
	field_done(&config_table, &daemon->settings);
	field_done(&cluster_settings_table, &daemon->cluster.settings);
	free(daemon->cluster_cgroup);
	free(daemon->boot_id);
	free(daemon->certificates);
	free(daemon->tls_folder);
	state_close(&daemon->state);
}

/*
 * As after kill -9, but with the same pid, and whoever was answered hears it: whatever was under way is found by the next one.
 * Nothing of ours crosses over but the socket that systemd has passed, whose environment stays, too.
 */
static int begin_anew(struct http *http, char **argv)
{
	int fd = activated_socket();

	http_finish(http);
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
	execv("/proc/self/exe", argv);
	log_line(LOG_ERROR, "stratad cannot begin anew: %m");
	return 1;
}

/* sd_notify(3), so that systemd knows when the API answers. */
static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int fd = -1;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_line(LOG_WARNING, "systemd could not be told that the API answers: %m");
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .state.lock_fd = -1 };
	struct err err = { 0 };
	int status;

	status = parse_options(argc, argv, &daemon.options);
	if (status >= 0)
		return status;
	if (!daemon.options.socket && !daemon.options.state)
		daemon.options.socket = "/run/strata/strata.sock";
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 2);	/* Worker threads need no heaps of their own. */
	if (open_all(&daemon, &err) < 0) {
		if (daemon.must_restart)
			return begin_anew(NULL, argv);
		log_line(LOG_ERROR, "stratad: %s", err.msg);
		close_all(&daemon);
		return err_exit_code(err.code);
	}
	core_start(daemon.core);
	notify_ready();
	log_line(LOG_NOTICE, "stratad %s answers%s", STRATA_VERSION, daemon.options.is_simulated ? " (simulation: nothing real is run)" : "");
	loop_run(daemon.loop);
	if (daemon.must_restart)
		return begin_anew(daemon.http, argv);
	log_line(LOG_NOTICE, "stratad stops; machines go on running");
	close_all(&daemon);
	return 0;
}

#include "5-interface/cli/commands.h"

#define COMMANDS(...) (const struct cli_command *const[]){ __VA_ARGS__, NULL }

const struct cli_option cli_global_options[] = {
	{ "socket", 0, false, "PATH", "The daemon's socket (STRATA_SOCKET; /run/strata/strata.sock)." },
	{ "host", 0, false, "URL", "A daemon elsewhere: https://ADDRESS:PORT (STRATA_HOST)." },
	{ "cert", 0, false, "FILE", "Our certificate for it (STRATA_CERT)." },
	{ "key", 0, false, "FILE", "Its key (STRATA_KEY)." },
	{ "ca", 0, false, "FILE", "Who vouches for the daemon (STRATA_CA)." },
	{ "help", 'h', false, NULL, "Explain, with examples." },
	{ "version", 0, false, NULL, "Say the version." },
	{ 0 },
};

const struct cli_group cli_groups[] = {
	{ "Instances", COMMANDS(&command_run, &command_create, &command_ls, &command_show, &command_start, &command_stop,
		&command_restart, &command_pause, &command_resume, &command_rm, &command_rename, &command_set, &command_update,
		&command_move, &command_wait) },
	{ "Inside instances", COMMANDS(&command_exec, &command_attach, &command_console, &command_logs, &command_cp, &command_top, &command_stats) },
	{ "Snapshots and copies of instances", COMMANDS(&command_snapshot_create, &command_snapshot_ls, &command_snapshot_show,
		&command_snapshot_restore, &command_snapshot_rm, &command_clone, &command_commit, &command_export, &command_import) },
	{ "Images", COMMANDS(&command_image_ls, &command_image_show, &command_image_pull, &command_image_import, &command_image_build,
		&command_image_export, &command_image_history, &command_image_tag, &command_image_rm, &command_image_prune) },
	{ "Volumes", COMMANDS(&command_volume_ls, &command_volume_show, &command_volume_create, &command_volume_set, &command_volume_attach,
		&command_volume_detach, &command_volume_resize, &command_volume_clone, &command_volume_rm) },
	{ "Snapshots and backups of volumes", COMMANDS(&command_volume_snapshot_create, &command_volume_snapshot_ls,
		&command_volume_snapshot_restore, &command_volume_snapshot_rm, &command_volume_backup, &command_volume_restore) },
	{ "Pools", COMMANDS(&command_pool_ls, &command_pool_show, &command_pool_create, &command_pool_rm) },
	{ "Networks", COMMANDS(&command_network_ls, &command_network_show, &command_network_create, &command_network_set,
		&command_network_rm) },
	{ "Manifests", COMMANDS(&command_apply, &command_diff, &command_delete) },
	{ "Cluster", COMMANDS(&command_cluster_init, &command_cluster_token, &command_cluster_token_ls, &command_cluster_token_revoke,
		&command_cluster_join, &command_cluster_show, &command_cluster_leave, &command_cluster_export, &command_cluster_import,
		&command_cluster_accept_restored, &command_cluster_forget) },
	{ "Host and daemon", COMMANDS(&command_node_ls, &command_node_show, &command_node_set, &command_node_label, &command_node_cordon,
		&command_node_uncordon, &command_node_drain, &command_node_load, &command_node_power, &command_node_remove, &command_what_if_drain,
		&command_doctor, &command_events, &command_config_show, &command_config_get, &command_config_set, &command_cert_issue, &command_backup,
		&command_restore) },
	{ "This command", COMMANDS(&command_explain, &command_completion, &command_help, &command_version, &command_man) },
	{ 0 },
};

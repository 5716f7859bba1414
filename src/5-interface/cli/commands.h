/*
 * commands.h - every command, by the file that defines it. commands.c puts them into groups.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "5-interface/cli/command.h"

/* cmd_run.c */
extern const struct cli_command command_run, command_create, command_attach;
/* cmd_instance.c */
extern const struct cli_command command_ls, command_show, command_rename, command_wait;
/* cmd_power.c */
extern const struct cli_command command_start, command_stop, command_restart, command_pause, command_resume, command_rm;
/* cmd_exec.c, cmd_console.c, cmd_logs.c, cmd_cp.c, cmd_top.c */
extern const struct cli_command command_exec, command_console, command_logs, command_cp, command_top, command_stats;
/* cmd_snapshot.c */
extern const struct cli_command command_snapshot_ls, command_snapshot_show, command_snapshot_create, command_snapshot_restore,
	command_snapshot_rm, command_clone, command_export, command_import;
/* cmd_volume.c, cmd_volume_plug.c, cmd_volume_snapshot.c */
extern const struct cli_command command_volume_ls, command_volume_show, command_volume_create, command_volume_set, command_volume_clone,
	command_volume_resize, command_volume_rm, command_volume_attach, command_volume_detach, command_volume_snapshot_create,
	command_volume_snapshot_ls, command_volume_snapshot_restore, command_volume_snapshot_rm, command_volume_backup,
	command_volume_restore;
/* cmd_pool.c */
extern const struct cli_command command_pool_ls, command_pool_show, command_pool_create, command_pool_rm;
/* cmd_network.c */
extern const struct cli_command command_network_ls, command_network_show, command_network_create, command_network_set,
	command_network_rm;
/* cmd_apply.c */
extern const struct cli_command command_apply, command_diff, command_delete;
/* cmd_node.c, cmd_node_ask.c, cmd_move.c, cmd_events.c */
extern const struct cli_command command_node_ls, command_node_show, command_node_set, command_node_cordon, command_node_uncordon, command_node_label,
	command_node_drain, command_node_load, command_node_power, command_move,
	command_what_if_drain,
	command_doctor, command_config_show, command_config_get, command_config_set,
	command_cert_issue, command_backup, command_restore, command_events;
/* cmd_cluster.c */
extern const struct cli_command command_cluster_init, command_cluster_join, command_cluster_token, command_cluster_token_ls,
	command_cluster_token_revoke, command_cluster_show, command_cluster_leave, command_cluster_export, command_cluster_import,
	command_cluster_accept_restored, command_cluster_forget, command_node_remove;
/* cmd_image.c, cmd_image_make.c */
extern const struct cli_command command_image_ls, command_image_show, command_image_tag, command_image_history, command_image_prune,
	command_image_rm, command_image_pull, command_image_import, command_image_build, command_image_export;
/* cmd_commit.c, cmd_set.c */
extern const struct cli_command command_commit, command_set, command_update;
/* cmd_meta.c */
extern const struct cli_command command_version, command_explain, command_completion, command_man, command_help;

#endif

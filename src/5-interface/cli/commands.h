/*
 * commands.h - every command, by the file that defines it. commands.c puts them into groups.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "5-interface/cli/command.h"

/* cmd_run.c */
extern const struct cli_command command_run, command_create;
/* cmd_instance.c */
extern const struct cli_command command_ls, command_show, command_rename, command_set, command_wait;
/* cmd_power.c */
extern const struct cli_command command_start, command_stop, command_restart, command_pause, command_resume, command_rm;
/* cmd_exec.c, cmd_console.c */
extern const struct cli_command command_exec, command_console, command_logs;
/* cmd_image.c */
extern const struct cli_command command_image_ls, command_image_show, command_image_import, command_image_build,
	command_image_export, command_image_rm;
/* cmd_meta.c */
extern const struct cli_command command_version, command_explain, command_completion, command_man, command_help;

#endif

/*
 * run_folder.h - what the run directories of all machines, <directory>/<uid>/, have in common.
 *
 *	log			what the machine's program wrote to stderr
 *	killed			exists: we ended it
 *
 * Errors:  -ENOENT: there is no such machine.
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_COMMON_RUN_FOLDER_H
#define DRIVER_MACHINE_COMMON_RUN_FOLDER_H

#include <stdbool.h>

#include "base/err.h"

enum { RUN_FOLDER_LOG_TAIL_BYTES = 4096 };

/* Each returns an fd (O_CLOEXEC) or -errno. */
int run_folder_create(int parent_fd, const char *uid, struct err *err);
int run_folder_open(int parent_fd, const char *uid, struct err *err);

/* A mark that cannot be made is as none: an end is reported as a failure then, which is safe. */
void run_folder_mark(int dir_fd, const char *name);
bool run_folder_is_marked(int dir_fd, const char *name);
bool run_folder_is_killed(int dir_fd);		/* Also when the directory is gone. */

/* The log's last line that is not empty, in 'tail'; "" when there is none. */
const char *run_folder_last_line(int dir_fd, char tail[static RUN_FOLDER_LOG_TAIL_BYTES + 1]);

#endif

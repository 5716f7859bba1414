/*
 * transfer.h - files to and from the daemon, with progress.
 */
#ifndef CLI_TRANSFER_H
#define CLI_TRANSFER_H

#include "5-interface/cli/request.h"

/* Sends a file as an upload; 'ret_id' is its id. "-" is standard input. */
int transfer_upload(struct cli *cli, const char *path, char **ret_id, struct err *err);

/* GET 'path' into a file, which appears whole or not at all; "-" is standard output. */
int transfer_download(struct cli *cli, const char *path, const char *file, struct err *err);

/* A request whose body is the open file, from its beginning. Shown as 'what'. */
int transfer_send(struct cli *cli, const char *method, const char *path, int fd, const char *what,
		  struct json **ret_json, struct err *err);
/* The body of a GET into the open file. */
int transfer_receive(struct cli *cli, const char *path, int fd, const char *what, struct err *err);

#endif

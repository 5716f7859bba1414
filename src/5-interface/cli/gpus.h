/*
 * gpus.h - "all", "2", "0,1": which of this host's GPUs a container may use, as the devices that are needed for it.
 *
 * Errors:  CLI_USAGE for a wrong form, -ENODEV when there is no such GPU.
 */
#ifndef CLI_GPUS_H
#define CLI_GPUS_H

#include "5-interface/cli/command.h"
#include "base/json.h"

/* Adds paths below 'folder' (/dev) to the list 'devices': the GPUs chosen and what all of them share. */
int gpus_add(const char *folder, const char *text, struct json *devices, struct err *err);

#endif

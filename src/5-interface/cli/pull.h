/*
 * pull.h - images from registries: for `image pull`, and for `run` of an image that is not here yet.
 *
 * An image that is here already is pulled beside under a name of its own and then put in its place, so
 * that nothing is lost when the registry cannot be reached; instances keep what they were made from.
 *
 * Errors:  as the daemon says; -EINTR after Ctrl-C: the daemon goes on pulling.
 */
#ifndef CLI_PULL_H
#define CLI_PULL_H

#include "5-interface/cli/command.h"

struct pull {
	const char *name;		/* Of the image here. */
	const char *reference;		/* As people write it: "busybox:1.36" is "docker.io/library/busybox:1.36". */
	const char *username, *password;	/* Null: nobody. */
	bool has_plain_http;
};

/* Returns when the image is ready. */
int pull_image(struct cli *cli, const struct pull *pull, struct err *err);

/* Before an instance is made from 'name', by the options --container and --pull of the command. 'ret_is_container' says
 * what the instance will be. An image that is neither here nor looks like one of a registry is left to the daemon to miss. */
int pull_for_instance(struct cli *cli, const char *name, bool *ret_is_container, struct err *err);

/* The whole reference, with registry and tag. */
char *pull_reference(const char *text);

#endif

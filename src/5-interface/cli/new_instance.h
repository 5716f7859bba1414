/*
 * new_instance.h - the options of `run` and `create` become {"meta": ..., "spec": ...}.
 *
 * Errors:  CLI_USAGE for wrong forms, else what reading a file says.
 */
#ifndef CLI_NEW_INSTANCE_H
#define CLI_NEW_INSTANCE_H

#include "5-interface/cli/command.h"
#include "base/json.h"

/* All but meta.name. 'is_attached': we wait for its end, so it is not to be started again by itself. */
int new_instance_body(const struct cli *cli, bool is_container, bool is_attached, const char *power, struct json *body,
		      struct err *err);

/* new_container.c: the options that only containers have, into spec.container; volumes become mounts. */
int new_container_spec(const struct cli *cli, bool is_container, struct json *spec, struct err *err);

/* Adds each use of 'option', read by 'parse', to a list that becomes the member 'key' when it has any. */
typedef int new_instance_parse_fn(const char *text, struct json **ret_json, struct err *err);
int new_instance_list(const struct cli *cli, const char *option, new_instance_parse_fn *parse, struct json *list, struct err *err);

#define NEW_INSTANCE_OPTIONS \
	{ "container", 0, false, NULL, "As a container; when not given the image says what it is for." }, \
	{ "cpus", 'c', false, "N", "Virtual CPUs (1); of a container how many it may use (all)." }, \
	{ "memory", 'm', false, "SIZE", "Memory (256MiB); of a container how much it may use (no limit)." }, \
	{ "disk", 'd', false, "SIZE", "Size of the root disk (as large as the image)." }, \
	{ "pool", 0, false, "POOL", "Where its root is ('default')." }, \
	{ "network", 'n', true, "NETWORK[,address=IP][,mac=MAC]", "Network to plug into ('default'); 'none' for no network." }, \
	{ "publish", 'p', true, "[ADDRESS:]HOSTPORT:GUESTPORT[/udp]", "Port of this host that leads to the instance." }, \
	{ "volume", 'v', true, "NAME[:ro] | NAME:PATH[:ro] | /PATH:PATH[:ro]", \
	  "Volume to plug in; of a container a volume or a folder of the host, and its place." }, \
	{ "label", 'l', true, "KEY=VALUE", "Label to select by." }, \
	{ "restart", 0, false, "POLICY", "no, on-failure or always (on-failure; no with --rm and when attached)." }, \
	{ "no-autostart", 0, false, NULL, "Do not start it again after the host has booted." }, \
	{ "stop-timeout", 0, false, "DURATION", "How long the guest may take to end (30s)." }, \
	{ "on", 0, false, "NODE", "Host it begins on." }, \
	{ "on-label", 0, true, "KEY=VALUE", "Label that its host must have." }, \
	{ "with", 0, true, "KEY=VALUE", "Run where an instance with this label runs." }, \
	{ "without", 0, true, "KEY=VALUE", "Run where no instance with this label runs." }, \
	{ "spread", 0, false, "KEY", "Spread instances with the same value of this label evenly over the hosts." }, \
	{ "ha", 0, false, "HOW", "none, or restart: started elsewhere when its host is lost; needs a shared pool (none)." }, \
	{ "latency-class", 0, false, "CLASS", "normal, interactive or batch: how soon and how long it gets the CPU." }

#define NEW_CONTAINER_OPTIONS \
	{ "pull", 0, false, "WHEN", "missing, always or never: fetch the image from its registry (missing)." }, \
	{ "env", 'e', true, "NAME[=VALUE]", "Set a variable of its environment; without VALUE as it is in ours." }, \
	{ "env-file", 0, true, "FILE", "Variables from a file, one NAME=VALUE per line." }, \
	{ "entrypoint", 0, false, "WORDS", "Program in place of the image's; \"\" for none." }, \
	{ "user", 'u', false, "USER[:GROUP]", "Who it runs as." }, \
	{ "workdir", 'w', false, "DIR", "Folder it starts in." }, \
	{ "interactive", 'i', false, NULL, "Keep its standard input open." }, \
	{ "terminal", 't', false, NULL, "Give it a terminal." }, \
	{ "rm", 0, false, NULL, "Remove it when it ends." }, \
	{ "stop-signal", 0, false, "SIGNAL", "Signal that asks it to end." }, \
	{ "mount", 0, true, "WHAT,target=PATH[,ro]", "Mount volume=NAME, bind=PATH (of the host) or tmpfs there." }, \
	{ "tmpfs", 0, true, "PATH[:size=SIZE]", "Mount an empty folder that is kept in memory." }, \
	{ "read-only", 0, false, NULL, "Let it only read its root." }, \
	{ "cap-add", 0, true, "CAPABILITY", "Grant a capability beside the few by default." }, \
	{ "cap-drop", 0, true, "CAPABILITY", "Take one away; ALL for all." }, \
	{ "device", 0, true, "/dev/NAME", "Device of the host it may use." }, \
	{ "gpus", 0, false, "all | N | 0,1", "GPUs of this host it may use: all, so many, or these." }, \
	{ "pids", 0, false, "N", "How many processes and threads it may have (4096)." }, \
	{ "cpu-weight", 0, false, "N", "Its share when there is not enough CPU: 1 to 10000 (100)." }, \
	{ "io-read", 0, false, "SIZE", "Bytes per second it may read from the disk." }, \
	{ "io-write", 0, false, "SIZE", "Bytes per second it may write to the disk." }, \
	{ "health-cmd", 0, false, "COMMAND", "Run by sh -c in it; its exit code says whether it is well." }, \
	{ "health-interval", 0, false, "DURATION", "Time between checks (30s)." }, \
	{ "health-timeout", 0, false, "DURATION", "A check that takes longer has failed (30s)." }, \
	{ "health-retries", 0, false, "N", "So many failures in a row make it unhealthy (3)." }, \
	{ "health-start-period", 0, false, "DURATION", "After a start failures do not count for so long." }

#define NEW_MACHINE_OPTIONS \
	{ "machine", 0, false, "TYPE", "auto, q35 or microvm." }, \
	{ "boot", 0, false, "HOW", "auto, kernel, bios or uefi." }, \
	{ "kernel-options", 0, false, "TEXT", "Added to the kernel's command line." }, \
	{ "user-data", 0, false, "FILE", "User data for cloud-init; - for standard input." }, \
	{ "ssh-key", 0, true, "FILE", "Public key that may log in." }, \
	{ "vnc", 0, false, NULL, "Add a screen, over VNC on a unix socket." }, \
	{ "vsock", 0, false, NULL, "Add a virtio-vsock device." }

#define NEW_INSTANCE_TITLES \
	{ "pull", "Containers" }, { "mount", "Files of a container" }, { "cap-add", "What a container may do" }, \
	{ "pids", "Limits of a container" }, { "health-cmd", "Health of a container" }, { "machine", "Virtual machines" }, \
	{ "no-wait", "Waiting" }

#endif

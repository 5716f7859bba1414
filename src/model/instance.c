#include "model/instance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "base/units.h"
#include "model/process.h"

enum { VM_MEMORY_MIN = 32 << 20, CONSTRAINTS_PER_INSTANCE = 8 };

static const char *const kind_names[] = { "vm", "container", NULL };
static const char *const power_names[] = { "running", "paused", "stopped", "off", NULL };
static const char *const machine_names[] = { "auto", "q35", "microvm", NULL };
static const char *const boot_names[] = { "auto", "kernel", "bios", "uefi", NULL };
static const char *const restart_names[] = { "no", "on-failure", "always", NULL };
static const char *const mount_names[] = { "volume", "bind", "tmpfs", NULL };
static const char *const latency_names[] = { "normal", "interactive", "batch", NULL };
static const char *const move_phase_names[] = { "none", "preparing", "copying", "stopping", "resting", "done", "failed", NULL };
static const char *const move_answer_names[] = { "ready", "fetched", "cannot", NULL };
static const char *const ha_names[] = { "none", "restart", NULL };
static const char *const health_names[] = { "none", "starting", "healthy", "unhealthy", NULL };
static const char *const protocol_names[] = { "tcp", "udp", NULL };
const char *const instance_state_names[] = {
	"pending", "creating", "stopped", "starting", "running", "paused", "stopping", "restoring",
	"deleting", "failed", NULL,
};

static int ipv4_check(const void *value, struct err *err)
{
	struct in_addr address;

	if (inet_pton(AF_INET, value, &address) != 1)
		return err_set(err, -EINVAL, "'%s' is not an IPv4 address: use one like 10.1.2.3", shown((const char *)value));
	return 0;
}

static int ipv6_check(const void *value, struct err *err)
{
	struct in6_addr address;

	if (inet_pton(AF_INET6, value, &address) != 1)
		return err_set(err, -EINVAL, "'%s' is not an IPv6 address: use one like fd00::3", shown((const char *)value));
	return 0;
}

static int address_check(const void *value, struct err *err)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, value, &four) != 1 && inet_pton(AF_INET6, value, &six) != 1)
		return err_set(err, -EINVAL, "'%s' is not an address: use one like 192.0.2.1 or ::1", shown((const char *)value));
	return 0;
}

static int mac_check(const void *value, struct err *err)
{
	const char *text = value;
	unsigned byte[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &end) != 6 ||
	    text[end])
		return err_set(err, -EINVAL, "'%s' is not a MAC address: use one like 52:54:00:12:34:56", shown(text));
	if (byte[0] & 1)
		return err_set(err, -EINVAL, "'%s' is a multicast MAC address: use one whose first byte is even", shown(text));
	return 0;
}

FIELD_TABLE(nic_table, instance_nic, "A network interface.",
	FIELD(STRING, instance_nic, network, .fallback = "default", .check = name_check,
	      .doc = "Network it is plugged into."),
	FIELD(STRING, instance_nic, network_uid, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "That network's uid."),
	FIELD(STRING, instance_nic, ipv4, .flags = FIELD_OMIT_EMPTY, .check = ipv4_check,
	      .doc = "IPv4 address; a free one of the network when not given."),
	FIELD(STRING, instance_nic, ipv6, .flags = FIELD_OMIT_EMPTY, .check = ipv6_check,
	      .doc = "IPv6 address; a free one of the network when not given."),
	FIELD(STRING, instance_nic, mac, .flags = FIELD_OMIT_EMPTY, .check = mac_check,
	      .doc = "MAC address; a free one when not given."),
	FIELD(INT, instance_nic, number, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "Number of the tap on the node."),
);

FIELD_TABLE(publish_table, instance_publish, "A port of the host that leads to a port of the instance.",
	FIELD(ENUM, instance_publish, protocol, .choices = protocol_names, .fallback = "tcp", .doc = "tcp or udp."),
	FIELD(STRING, instance_publish, host_address, .flags = FIELD_OMIT_EMPTY, .check = address_check,
	      .doc = "Address of the host; every address when not given."),
	FIELD(INT, instance_publish, host_port, .flags = FIELD_REQUIRED, .min = 1, .max = 65535,
	      .doc = "Port of the host."),
	FIELD(INT, instance_publish, guest_port, .flags = FIELD_REQUIRED, .min = 1, .max = 65535,
	      .doc = "Port of the instance."),
);

FIELD_TABLE(attachment_table, instance_volume, "A volume plugged into the instance.",
	FIELD(STRING, instance_volume, volume, .flags = FIELD_REQUIRED, .check = name_check, .doc = "The volume."),
	FIELD(STRING, instance_volume, volume_uid, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "Its uid."),
	FIELD(BOOL, instance_volume, read_only, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The guest can only read it. A volume has one writer or any number of readers."),
);

FIELD_TABLE(source_table, instance_source, "Where the root disk comes from when not from an image.",
	FIELD(STRING, instance_source, instance, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY,
	      .doc = "uid of the instance it is a clone of."),
	FIELD(STRING, instance_source, snapshot, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY,
	      .doc = "uid of the snapshot it is a clone of."),
	FIELD(STRING, instance_source, upload, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY,
	      .doc = "Id of an uploaded export file."),
);

static int absolute_check(const void *value, struct err *err)
{
	const char *path = value;

	if (path[0] != '/' || strstr(path, "/../") || text_equal(strrchr(path, '/'), "/.."))
		return err_set(err, -EINVAL, "'%s' is not an absolute path without '..': use one like /data", shown(path));
	return 0;
}

static int env_check(const void *value, struct err *err)
{
	const char *text = value, *equal = strchr(text, '=');

	if (!equal || equal == text)
		return err_set(err, -EINVAL, "'%s' is not NAME=VALUE", shown(text));
	return 0;
}

static int device_check(const void *value, struct err *err)
{
	if (!text_starts_with(value, "/dev/") || strstr(value, ".."))
		return err_set(err, -EINVAL, "'%s' is not a device: use one like /dev/fuse", shown((const char *)value));
	return 0;
}

static int mount_check(const void *value, struct err *err)
{
	const struct instance_mount *mount = value;

	if (mount->kind != MOUNT_TMPFS && !mount->source)
		return err_set(err, -EINVAL, "source is missing: name the %s", mount->kind == MOUNT_VOLUME ? "volume" : "path on the host");
	if (mount->kind == MOUNT_TMPFS && mount->source)
		return err_set(err, -EINVAL, "source: a tmpfs has none: leave it out");
	if (mount->kind != MOUNT_TMPFS && mount->size)
		return err_set(err, -EINVAL, "size: only a tmpfs has one: leave it out");
	return mount->kind == MOUNT_BIND ? absolute_check(mount->source, err) : 0;
}

FIELD_TABLE(mount_table, instance_mount, "A folder that is not of the container's root.",
	FIELD(ENUM, instance_mount, kind, .choices = mount_names, .fallback = "volume",
	      .doc = "volume, bind (a folder or file of the host) or tmpfs (in memory)."),
	FIELD(STRING, instance_mount, source, .flags = FIELD_OMIT_EMPTY, .max = 4096,
	      .doc = "The volume's name, or the path on the host."),
	FIELD(STRING, instance_mount, volume_uid, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "The volume's uid."),
	FIELD(STRING, instance_mount, target, .flags = FIELD_REQUIRED, .max = 4096, .check = absolute_check,
	      .doc = "Path in the container."),
	FIELD(BOOL, instance_mount, read_only, .flags = FIELD_OMIT_EMPTY,
	      .doc = "It can only be read. A volume has one writer or any number of readers."),
	FIELD(SIZE, instance_mount, size, .flags = FIELD_OMIT_EMPTY, .min = 0, .max = (int64_t)1 << 40, .unit = "bytes",
	      .doc = "How much a tmpfs may hold; 0: no limit of its own."),
);

FIELD_TABLE(health_table, instance_health, "A command that says by its exit code whether a container is well.",
	FIELD(STRINGS, instance_health, command, .flags = FIELD_OMIT_EMPTY, .max = 64,
	      .doc = "Program and arguments; exit code 0 is well."),
	FIELD(DURATION, instance_health, interval, .flags = FIELD_OMIT_EMPTY, .min = 100, .max = 86400000, .unit = "ms",
	      .doc = "Time between checks; 30s when not given."),
	FIELD(DURATION, instance_health, timeout, .flags = FIELD_OMIT_EMPTY, .min = 100, .max = 3600000, .unit = "ms",
	      .doc = "A check that takes longer has failed; 30s when not given."),
	FIELD(DURATION, instance_health, start_period, .flags = FIELD_OMIT_EMPTY, .min = 0, .max = 86400000, .unit = "ms",
	      .doc = "Failures do not count for so long after a start, until the first success."),
	FIELD(INT, instance_health, retries, .flags = FIELD_OMIT_EMPTY, .min = 1, .max = 100,
	      .doc = "How many failures in a row make it unhealthy; 3 when not given."),
);

FIELD_TABLE(container_table, instance_container, "What only containers have.",
	FIELD(STRINGS, instance_container, entrypoint, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Program and first arguments; the image's when not given."),
	FIELD(STRINGS, instance_container, command, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Arguments; the image's when neither this nor entrypoint is given."),
	FIELD(STRINGS, instance_container, env, .flags = FIELD_OMIT_EMPTY, .check = env_check,
	      .doc = "Environment, NAME=value, over the image's."),
	FIELD(STRING, instance_container, user, .flags = FIELD_OMIT_EMPTY, .max = 256,
	      .doc = "User[:group], by name or number; the image's when not given."),
	FIELD(STRING, instance_container, directory, .flags = FIELD_OMIT_EMPTY, .max = 4096, .check = absolute_check,
	      .doc = "Folder it starts in; the image's when not given."),
	FIELD(STRING, instance_container, stop_signal, .flags = FIELD_OMIT_EMPTY, .max = 16, .check = signal_check,
	      .doc = "Signal that asks it to stop (\"SIGTERM\"); the image's when not given."),
	FIELD(BOOL, instance_container, terminal, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Its standard streams are a terminal."),
	FIELD(BOOL, instance_container, input, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Its standard input is open for attach and console."),
	FIELD(BOOL, instance_container, input_once, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Its input ends with the client that types or leaves first; else it stays open for the next."),
	FIELD(BOOL, instance_container, init, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The program is an init system such as systemd and gets cgroups of its own. True by itself when the program is called init or systemd."),
	FIELD(BOOL, instance_container, read_only, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Its root file system can only be read."),
	FIELD(BOOL, instance_container, remove, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The instance is removed when it has ended."),
	FIELD(LIST, instance_container, mounts, .table = &mount_table, .check = mount_check, .max = LIMIT_MOUNTS_PER_INSTANCE,
	      .flags = FIELD_OMIT_EMPTY,
	      .doc = "Volumes, folders of the host and tmpfs."),
	FIELD(STRINGS, instance_container, cap_add, .flags = FIELD_OMIT_EMPTY, .max = 64, .check = capability_check,
	      .doc = "Capabilities beside the ten it has by default: NET_ADMIN, or ALL."),
	FIELD(STRINGS, instance_container, cap_drop, .flags = FIELD_OMIT_EMPTY, .max = 64, .check = capability_check,
	      .doc = "Capabilities to take away; ALL for all."),
	FIELD(STRINGS, instance_container, devices, .flags = FIELD_OMIT_EMPTY, .max = 64, .check = device_check,
	      .doc = "Devices of the host it may use: /dev/fuse."),
	FIELD(OBJECT, instance_container, health, .table = &health_table, .flags = FIELD_OMIT_EMPTY,
	      .doc = "How it is checked."),
	FIELD(INT, instance_container, pids, .flags = FIELD_OMIT_EMPTY, .min = 1, .max = 4194304,
	      .doc = "How many processes and threads it may have; 4096 when not given."),
	FIELD(SIZE, instance_container, io_read, .flags = FIELD_OMIT_EMPTY, .min = 0, .max = (int64_t)1 << 40, .unit = "bytes per second",
	      .doc = "How fast it may read from the disk; 0: no limit."),
	FIELD(SIZE, instance_container, io_write, .flags = FIELD_OMIT_EMPTY, .min = 0, .max = (int64_t)1 << 40, .unit = "bytes per second",
	      .doc = "How fast it may write to the disk; 0: no limit."),
	FIELD(INT, instance_container, cpu_weight, .flags = FIELD_OMIT_EMPTY, .min = 1, .max = 10000,
	      .doc = "Its share of the CPU when there is not enough for all; 100 when not given."),
);

static int label_check(const void *value, struct err *err)
{
	const char *text = value, *equal = strchr(text, '=');

	if (!equal || equal == text)
		return err_set(err, -EINVAL, "'%s' is not KEY=VALUE", shown(text));
	return 0;
}

FIELD_TABLE(placement_table, instance_placement, "Where an instance may run.",
	FIELD(STRING, instance_placement, node, .flags = FIELD_OMIT_EMPTY, .check = name_check, .doc = "Only on this node."),
	FIELD(STRINGS, instance_placement, labels, .flags = FIELD_OMIT_EMPTY, .max = CONSTRAINTS_PER_INSTANCE, .check = label_check,
	      .doc = "Labels its node must have: disk=ssd."),
	FIELD(STRINGS, instance_placement, with, .flags = FIELD_OMIT_EMPTY, .max = CONSTRAINTS_PER_INSTANCE, .check = label_check,
	      .doc = "An instance with this label runs there already: app=db."),
	FIELD(STRINGS, instance_placement, without, .flags = FIELD_OMIT_EMPTY, .max = CONSTRAINTS_PER_INSTANCE, .check = label_check,
	      .doc = "No instance with this label runs there: app=db."),
	FIELD(STRING, instance_placement, spread, .flags = FIELD_OMIT_EMPTY, .max = 63,
	      .doc = "Key of a label: instances with the same value of it are spread evenly over the nodes."),
);

FIELD_TABLE(move_table, instance_move, "The last move that was asked for; spec.node says where to.",
	FIELD(INT, instance_move, serial, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "Counts the moves."),
	FIELD(BOOL, instance_move, live, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "The guest runs on all the time."),
	FIELD(BOOL, instance_move, postcopy, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "It goes on at the destination before all its memory is there, rather than not at all."),
);

FIELD_TABLE(move_status_table, instance_move_status, "How far the last move is.",
	FIELD(INT, instance_move_status, serial, .flags = FIELD_OMIT_EMPTY, .doc = "Which move."),
	FIELD(ENUM, instance_move_status, phase, .choices = move_phase_names, .flags = FIELD_OMIT_EMPTY,
	      .doc = "none, preparing, copying, stopping, resting, done or failed."),
	FIELD(STRING, instance_move_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why it failed."),
	FIELD(SIZE, instance_move_status, done_bytes, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Copied."),
	FIELD(SIZE, instance_move_status, total_bytes, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "To be copied; grows as the guest writes."),
	FIELD(DURATION, instance_move_status, downtime, .flags = FIELD_OMIT_EMPTY, .unit = "ms", .doc = "How long the guest stood still."),
	FIELD(DURATION, instance_move_status, total, .flags = FIELD_OMIT_EMPTY, .unit = "ms", .doc = "How long it took."),
	FIELD(TIME, instance_move_status, began_at, .flags = FIELD_OMIT_EMPTY, .doc = "When it began."),
	FIELD(TIME, instance_move_status, ended_at, .flags = FIELD_OMIT_EMPTY, .doc = "When it ended."),
);

FIELD_TABLE(move_note_table, move_note, "What the destination of a move says to the source.",
	FIELD(INT, move_note, serial, .doc = "Which move."),
	FIELD(STRING, move_note, node, .doc = "The destination's uid."),
	FIELD(ENUM, move_note, answer, .choices = move_answer_names, .doc = "ready, fetched or cannot."),
	FIELD(STRING, move_note, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why not."),
	FIELD(STRING, move_note, address, .flags = FIELD_OMIT_EMPTY, .doc = "Where the machine waits."),
	FIELD(INT, move_note, memory_port, .flags = FIELD_OMIT_EMPTY, .doc = "For memory."),
	FIELD(INT, move_note, disk_port, .flags = FIELD_OMIT_EMPTY, .doc = "For disks."),
);

FIELD_TABLE(restore_table, instance_restore, "The last restore that was asked for.",
	FIELD(STRING, instance_restore, snapshot, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "uid of the snapshot."),
	FIELD(INT, instance_restore, serial, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "Counts the restores."),
);

FIELD_TABLE(instance_spec_table, instance_spec, "What an instance should be.",
	FIELD(ENUM, instance_spec, kind, .choices = kind_names, .fallback = "vm", .flags = FIELD_FIXED,
	      .doc = "vm: a virtual machine. container: an OCI container."),
	FIELD(STRING, instance_spec, image, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .check = image_name_check,
	      .doc = "Image it is made from."),
	FIELD(STRING, instance_spec, image_uid, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "That image's uid."),
	FIELD(OBJECT, instance_spec, source, .table = &source_table, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Set by clone and import."),
	FIELD(STRING, instance_spec, node, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 63,
	      .doc = "Node (name when made, uid since) it should be at; chosen by the scheduler when not given. See 'strata move'."),
	FIELD(OBJECT, instance_spec, placement, .table = &placement_table, .flags = FIELD_OMIT_EMPTY, .doc = "Where it may run."),
	FIELD(OBJECT, instance_spec, move, .table = &move_table, .flags = FIELD_OMIT_EMPTY, .doc = "Set by 'strata move'."),
	FIELD(ENUM, instance_spec, ha, .choices = ha_names, .fallback = "none",
	      .doc = "restart: when its node is lost it is started on another one; needs all its disks in shared pools."),
	FIELD(INT, instance_spec, cpus, .flags = FIELD_OMIT_EMPTY, .min = 1, .max = 512,
	      .doc = "vm: virtual CPUs, 1 when not given. container: how many it may use at most, all of the host's when not given."),
	FIELD(SIZE, instance_spec, memory, .flags = FIELD_OMIT_EMPTY, .min = 4 << 20, .max = (int64_t)16 << 40, .unit = "bytes",
	      .doc = "vm: its memory, 256MiB when not given. container: what it may use at most, no limit when not given."),
	FIELD(SIZE, instance_spec, root_size, .min = 0, .max = (int64_t)64 << 40, .flags = FIELD_OMIT_EMPTY, .unit = "bytes",
	      .doc = "Size of the root disk; 0: as large as the image. It can grow, at the next start, never shrink."),
	FIELD(ENUM, instance_spec, machine, .choices = machine_names, .fallback = "auto",
	      .doc = "Machine type. auto: microvm for images with a kernel of their own, else q35. q35 can grow cpus and memory live."),
	FIELD(ENUM, instance_spec, boot, .choices = boot_names, .fallback = "auto",
	      .doc = "How it boots. auto: the image's kernel when it has one, else bios."),
	FIELD(STRING, instance_spec, kernel_options, .flags = FIELD_OMIT_EMPTY, .max = 1024,
	      .doc = "Added to the image's kernel command line."),
	FIELD(LIST, instance_spec, nics, .table = &nic_table, .max = LIMIT_NICS_PER_INSTANCE, .flags = FIELD_FIXED,
	      .doc = "Network interfaces; one in the network 'default' when not given, none with []."),
	FIELD(LIST, instance_spec, publish, .table = &publish_table, .max = LIMIT_PUBLISHED_PORTS, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Ports of the host that lead to the instance."),
	FIELD(LIST, instance_spec, volumes, .table = &attachment_table, .max = LIMIT_DISKS_PER_INSTANCE, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Volumes plugged in beside the root disk."),
	FIELD(ENUM, instance_spec, power, .choices = power_names, .fallback = "running",
	      .doc = "What it should be doing. stopped: the guest is asked to power off, after stop_timeout the power is cut; off: cut at once."),
	FIELD(INT, instance_spec, start_serial, .flags = FIELD_READ_ONLY,
	      .doc = "Counts the starts that were asked for."),
	FIELD(INT, instance_spec, force_serial, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY,
	      .doc = "The start whose restart was forced."),
	FIELD(OBJECT, instance_spec, restore, .table = &restore_table, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Set by snapshot restore."),
	FIELD(ENUM, instance_spec, restart, .choices = restart_names, .fallback = "on-failure",
	      .doc = "When it ends by itself. on-failure: started again, with back-off, unless the guest powered off."),
	FIELD(BOOL, instance_spec, autostart, .fallback = "true",
	      .doc = "Started again after the host has booted, when it ran before."),
	FIELD(DURATION, instance_spec, stop_timeout, .fallback = "30s", .min = 0, .max = 3600000, .unit = "ms",
	      .doc = "How long the guest may take to power off."),
	FIELD(STRING, instance_spec, user_data, .flags = FIELD_OMIT_EMPTY, .max = LIMIT_TEXT_BYTES,
	      .doc = "User data for cloud-init (NoCloud): a #cloud-config document or a script."),
	FIELD(STRINGS, instance_spec, ssh_keys, .max = 64, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Public keys that may log in by ssh."),
	FIELD(BOOL, instance_spec, vnc, .flags = FIELD_OMIT_EMPTY, .doc = "A screen, over VNC on a unix socket."),
	FIELD(BOOL, instance_spec, vsock, .flags = FIELD_OMIT_EMPTY, .doc = "A virtio-vsock device."),
	FIELD(STRING, instance_spec, pool, .fallback = "default", .check = name_check, .flags = FIELD_FIXED,
	      .doc = "Pool its root is in."),
	FIELD(STRING, instance_spec, pool_uid, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "That pool's uid."),
	FIELD(ENUM, instance_spec, latency_class, .choices = latency_names, .fallback = "normal",
	      .doc = "interactive: short turns on the CPU that come soon. batch: long turns, fewer switches. Without Linux 6.12 all are normal."),
	FIELD(OBJECT, instance_spec, container, .table = &container_table, .flags = FIELD_OMIT_EMPTY,
	      .doc = "What only containers have."),
);

FIELD_TABLE(instance_usage_table, instance_usage, "What it uses, sampled every few seconds.",
	FIELD(INT, instance_usage, cpu_permille, .doc = "Use of CPU over the last period; 1000 is one whole CPU."),
	FIELD(SIZE, instance_usage, memory_bytes, .unit = "bytes", .doc = "Memory resident on the host."),
	FIELD(INT, instance_usage, cpu_ns, .unit = "ns", .doc = "CPU time since its start."),
	FIELD(SIZE, instance_usage, disk_read_bytes, .unit = "bytes", .doc = "Read from its disks."),
	FIELD(SIZE, instance_usage, disk_write_bytes, .unit = "bytes", .doc = "Written to its disks."),
	FIELD(SIZE, instance_usage, net_receive_bytes, .unit = "bytes", .doc = "Received by it."),
	FIELD(SIZE, instance_usage, net_transmit_bytes, .unit = "bytes", .doc = "Sent by it."),
	FIELD(INT, instance_usage, pids, .flags = FIELD_OMIT_EMPTY, .doc = "Containers: processes and threads."),
	FIELD(TIME, instance_usage, sampled_at, .doc = "When."),
);

FIELD_TABLE(instance_status_table, instance_status, "What an instance is now; written by its node's agent.",
	FIELD(ENUM, instance_status, state, .choices = instance_state_names, .doc = "What it is doing."),
	FIELD(STRING, instance_status, node, .flags = FIELD_OMIT_EMPTY, .doc = "uid of the node it is at."),
	FIELD(OBJECT, instance_status, move, .table = &move_status_table, .flags = FIELD_OMIT_EMPTY, .doc = "How far the last move is."),
	FIELD(STRING, instance_status, node_name, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Its name, in a cluster."),
	FIELD(STRING, instance_status, lost, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Its node is lost: what is shown is what that last said."),
	FIELD(STRING, instance_status, stuck, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Why it cannot leave its node, which is drained."),
	FIELD(STRING, instance_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
	FIELD(BOOL, instance_status, disk_ready, .flags = FIELD_OMIT_EMPTY, .doc = "Its root disk exists."),
	FIELD(INT, instance_status, pid, .flags = FIELD_OMIT_EMPTY, .doc = "Process on the node."),
	FIELD(TIME, instance_status, started_at, .flags = FIELD_OMIT_EMPTY, .doc = "When it was started."),
	FIELD(INT, instance_status, started_serial, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The start (spec.start_serial) it runs for."),
	FIELD(INT, instance_status, ended_serial, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The start that came to its end by itself."),
	FIELD(INT, instance_status, restore_serial, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The last restore that was done."),
	FIELD(BOOL, instance_status, next_from_memory, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The next start goes on from the restored memory."),
	FIELD(STRING, instance_status, exit_reason, .flags = FIELD_OMIT_EMPTY, .doc = "How the last run ended."),
	FIELD(TIME, instance_status, exited_at, .flags = FIELD_OMIT_EMPTY, .doc = "When the last run ended."),
	FIELD(INT, instance_status, restarts, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Restarts by the restart policy since it was last started by a person."),
	FIELD(TIME, instance_status, next_start_at, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The restart policy starts it again then."),
	FIELD(STRING, instance_status, boot_id, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Boot of the host in which it was started."),
	FIELD(STRING, instance_status, machine, .flags = FIELD_OMIT_EMPTY, .doc = "Machine type in force."),
	FIELD(INT, instance_status, cpus, .flags = FIELD_OMIT_EMPTY, .doc = "CPUs in force."),
	FIELD(SIZE, instance_status, memory, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Memory in force."),
	FIELD(INT, instance_status, max_cpus, .flags = FIELD_OMIT_EMPTY, .doc = "CPUs it may grow to while it runs."),
	FIELD(SIZE, instance_status, max_memory, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Memory it may grow to while it runs."),
	FIELD(STRINGS, instance_status, pending, .flags = FIELD_OMIT_EMPTY,
	      .doc = "What changes only at the next start."),
	FIELD(STRINGS, instance_status, attached, .flags = FIELD_OMIT_EMPTY,
	      .doc = "uids of the volumes plugged in now."),
	FIELD(BOOL, instance_status, agent, .flags = FIELD_OMIT_EMPTY,
	      .doc = "The guest agent is there; a container can run commands."),
	FIELD(INT, instance_status, exit_code, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Containers: exit code of the last run."),
	FIELD(BOOL, instance_status, out_of_memory, .flags = FIELD_OMIT_EMPTY,
	      .doc = "A process was killed at the memory limit."),
	FIELD(ENUM, instance_status, health, .choices = health_names, .flags = FIELD_OMIT_EMPTY,
	      .doc = "What the health checks say."),
	FIELD(INT, instance_status, health_failures, .flags = FIELD_OMIT_EMPTY, .doc = "Failed checks in a row."),
	FIELD(STRING, instance_status, health_output, .flags = FIELD_OMIT_EMPTY, .doc = "What the last check printed."),
	FIELD(STRINGS, instance_status, isolation, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Containers: the isolation in force."),
	FIELD(OBJECT, instance_status, usage, .table = &instance_usage_table, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED,
	      .doc = "What it uses."),
);

/* What a container has not. */
static int container_check(const struct instance_spec *spec, struct err *err)
{
	const struct { bool is_given; const char *name; } vm_only[] = {
		{ spec->machine != INSTANCE_MACHINE_AUTO, "machine" }, { spec->boot != INSTANCE_BOOT_AUTO, "boot" },
		{ spec->kernel_options, "kernel_options" }, { spec->user_data, "user_data" }, { spec->ssh_keys.count, "ssh_keys" },
		{ spec->vnc, "vnc" }, { spec->vsock, "vsock" }, { spec->volumes.count, "volumes" },
	};

	for (size_t i = 0; i < sizeof(vm_only) / sizeof(vm_only[0]); i++)
		if (vm_only[i].is_given)
			return err_set(err, -EINVAL, "spec.%s: only a vm has it: leave it out%s", vm_only[i].name,
				       text_equal(vm_only[i].name, "volumes") ? ", and use container.mounts" : "");
	if (spec->power == POWER_PAUSED && spec->container.remove)
		return err_set(err, -EINVAL, "spec.container.remove: needs power to be running");
	return 0;
}

int instance_spec_check(const struct instance_spec *spec, struct err *err)
{
	if (spec->kind == INSTANCE_CONTAINER)
		return container_check(spec, err);
	if (!field_equal(&container_table, &spec->container, &(struct instance_container){ 0 }))
		return err_set(err, -EINVAL, "spec.container: a vm has none of this: leave it out, or set kind to container");
	if (spec->memory && spec->memory < VM_MEMORY_MIN)
		return err_set(err, -EINVAL, "spec.memory: %s is too small for a vm: use at least 32MiB",
			       units_format_size(spec->memory, (char[UNITS_TEXT_SIZE]){ 0 }));
	if (spec->machine == INSTANCE_MACHINE_MICROVM && spec->vnc)
		return err_set(err, -EINVAL, "spec.vnc: a microvm has no screen: set machine to q35");
	if (spec->machine == INSTANCE_MACHINE_MICROVM && (spec->boot == INSTANCE_BOOT_BIOS || spec->boot == INSTANCE_BOOT_UEFI))
		return err_set(err, -EINVAL, "spec.boot: a microvm boots only a kernel: set machine to q35");
	return 0;
}

#define TO(state) (1u << INSTANCE_##state)
static const unsigned moves[INSTANCE_STATE_COUNT] = {
	[INSTANCE_PENDING] = TO(RUNNING) | TO(PAUSED) | TO(STOPPING) | TO(RESTORING) | TO(CREATING) | TO(STARTING) | TO(STOPPED) | TO(DELETING) | TO(FAILED),
	[INSTANCE_CREATING] = TO(RUNNING) | TO(PAUSED) | TO(STOPPED) | TO(STARTING) | TO(DELETING) | TO(FAILED),
	[INSTANCE_STOPPED] = TO(STARTING) | TO(RESTORING) | TO(DELETING) | TO(FAILED) | TO(CREATING) | TO(RUNNING) | TO(PAUSED),
	[INSTANCE_STARTING] = TO(RUNNING) | TO(PAUSED) | TO(STOPPED) | TO(STOPPING) | TO(DELETING) | TO(FAILED),
	[INSTANCE_RUNNING] = TO(PAUSED) | TO(STOPPING) | TO(STOPPED) | TO(RESTORING) | TO(DELETING) | TO(FAILED) | TO(STARTING),
	[INSTANCE_PAUSED] = TO(RUNNING) | TO(STOPPING) | TO(STOPPED) | TO(RESTORING) | TO(DELETING) | TO(FAILED) | TO(STARTING),
	[INSTANCE_STOPPING] = TO(STOPPED) | TO(STARTING) | TO(DELETING) | TO(FAILED) | TO(RUNNING) | TO(PAUSED) | TO(RESTORING),
	[INSTANCE_RESTORING] = TO(RUNNING) | TO(PAUSED) | TO(STOPPED) | TO(STARTING) | TO(DELETING) | TO(FAILED),
	[INSTANCE_DELETING] = 0,
	[INSTANCE_FAILED] = TO(CREATING) | TO(STARTING) | TO(STOPPED) | TO(RESTORING) | TO(DELETING) | TO(RUNNING) | TO(PAUSED),
};

bool instance_may_move(enum instance_state from, enum instance_state to)
{
	return from == to || (moves[from] & (1u << to));
}

#include "5-interface/http/bodies.h"

#include "4-service/pki/pki.h"
#include "base/limits.h"
#include "model/meta.h"

FIELD_TABLE(body_delete_table, body_delete, "How to delete.",
	FIELD(BOOL, body_delete, force, .doc = "Delete even what is running or in use."),
);

FIELD_TABLE(body_rename_table, body_rename, "A new name.",
	FIELD(STRING, body_rename, name, .flags = FIELD_REQUIRED, .doc = "The new name."),
);

FIELD_TABLE(body_stop_table, body_stop, "How to stop.",
	FIELD(BOOL, body_stop, force, .doc = "Power off at once, without asking the guest."),
	FIELD(DURATION, body_stop, timeout, .unit = "ms",
	      .doc = "How long the guest may take before it is powered off; absent or 0: the instance's stop_timeout."),
);

FIELD_TABLE(body_clone_table, body_clone, "What to clone into.",
	FIELD(STRING, body_clone, name, .flags = FIELD_REQUIRED, .doc = "Name of the new instance."),
	FIELD(STRING, body_clone, snapshot, .doc = "Snapshot to clone; absent: the present state."),
);

FIELD_TABLE(body_move_request_table, body_move_request, "Where an instance should go.",
	FIELD(STRING, body_move_request, node, .flags = FIELD_OMIT_EMPTY, .doc = "The node; any other one with room when not given."),
	FIELD(BOOL, body_move_request, cold, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Stop it, move it, start it; containers always. Without it a machine that runs goes on running."),
	FIELD(BOOL, body_move_request, postcopy, .flags = FIELD_OMIT_EMPTY,
	      .doc = "A machine that changes its memory faster than it can be copied goes on at the other node before all is there."),
	FIELD(BOOL, body_move_request, cancel, .flags = FIELD_OMIT_EMPTY, .doc = "Take the move back that is under way."),
);

FIELD_TABLE(body_attach_table, body_attach, "A volume to plug in.",
	FIELD(STRING, body_attach, volume, .flags = FIELD_REQUIRED, .doc = "Name of the volume."),
	FIELD(BOOL, body_attach, read_only, .doc = "The guest cannot write to it."),
);

FIELD_TABLE(body_detach_table, body_detach, "A volume to unplug.",
	FIELD(STRING, body_detach, volume, .flags = FIELD_REQUIRED, .doc = "Name of the volume."),
);

FIELD_TABLE(body_exec_table, body_exec, "A program to run in the guest.",
	FIELD(STRINGS, body_exec, argv, .flags = FIELD_REQUIRED, .min = 1, .max = 1024,
	      .doc = "The program and its arguments."),
	FIELD(MAP, body_exec, env, .doc = "Environment variables to add."),
	FIELD(STRING, body_exec, directory, .doc = "Working directory."),
	FIELD(STRING, body_exec, user, .doc = "Containers: user[:group] it runs as; absent: the container's."),
	FIELD(BOOL, body_exec, terminal, .doc = "Give the program a terminal."),
	FIELD(INT, body_exec, rows, .min = 0, .max = 65535, .doc = "Rows of the terminal."),
	FIELD(INT, body_exec, columns, .min = 0, .max = 65535, .doc = "Columns of the terminal."),
	{ .name = "stdin", .type = FIELD_BOOL, .offset = offsetof(struct body_exec, stdin_),
	  .doc = "Frames for its standard input will follow." },
);

FIELD_TABLE(body_commit_table, body_commit, "The image to make of a container.",
	FIELD(STRING, body_commit, image, .flags = FIELD_REQUIRED, .check = image_name_check, .doc = "Name of the new image."),
	FIELD(STRING, body_commit, comment, .doc = "What was changed, in words."),
	FIELD(OBJECT, body_commit, config, .table = &image_config_table, .doc = "What it says otherwise than the container's image."),
);

FIELD_TABLE(body_prune_table, body_prune, "Which images to remove.",
	FIELD(BOOL, body_prune, all, .doc = "Also those that are well, but that no instance is made from."),
);

FIELD_TABLE(body_pruned_table, body_pruned, "What was removed.",
	FIELD(STRINGS, body_pruned, removed, .doc = "Names of the images."),
	FIELD(SIZE, body_pruned, bytes, .unit = "bytes", .doc = "Space they took; layers that others share stay."),
);

FIELD_TABLE(body_receive_table, body_receive, "An incremental backup.",
	FIELD(STRING, body_receive, upload, .flags = FIELD_REQUIRED, .doc = "Id of the upload."),
);

FIELD_TABLE(body_certificate_table, body_certificate, "Whom the certificate is for.",
	FIELD(STRING, body_certificate, name, .flags = FIELD_REQUIRED, .min = 1, .max = 63, .check = name_check,
	      .doc = "Becomes the certificate's common name."),
);

FIELD_TABLE(body_join_table, body_join, "A host that asks to join a cluster.",
	FIELD(STRING, body_join, token_id, .flags = FIELD_REQUIRED, .min = 1, .max = 64, .doc = "Id of its join token."),
	FIELD(STRING, body_join, secret, .flags = FIELD_REQUIRED, .min = 1, .max = 64, .doc = "Secret of its join token."),
	FIELD(STRING, body_join, name, .flags = FIELD_REQUIRED, .min = 1, .max = 63, .check = name_check, .doc = "Name of the node."),
	FIELD(STRING, body_join, uid, .flags = FIELD_REQUIRED, .min = 36, .max = 36, .doc = "Uid of the node."),
	FIELD(STRING, body_join, csr, .flags = FIELD_REQUIRED, .max = PKI_REQUEST_BYTES_MAX,
	      .doc = "Request for its certificate (PKCS #10, PEM, EC P-256); names in it are ignored."),
	FIELD(INT, body_join, time, .doc = "Its clock, in ms since 1970: clocks that are far apart are refused. Absent: not checked."),
	FIELD(STRINGS, body_join, addresses, .flags = FIELD_REQUIRED, .min = 1, .max = PKI_ADDRESSES_MAX,
	      .doc = "Numeric addresses at which the other hosts reach it."),
);

FIELD_TABLE(body_etcd_table, body_etcd, "An etcd that is run by somebody else.",
	FIELD(STRINGS, body_etcd, endpoints, .max = LIMIT_ETCD_ENDPOINTS, .doc = "Members of one cluster, as https://192.0.2.1:2379."),
	FIELD(STRING, body_etcd, ca, .max = 4096, .doc = "PEM file on the host: the authority that has signed etcd's certificates."),
	FIELD(STRING, body_etcd, certificate, .max = 4096, .doc = "PEM file on the host: the client certificate."),
	FIELD(STRING, body_etcd, key, .max = 4096, .doc = "PEM file on the host: its key."),
);

FIELD_TABLE(body_cluster_init_table, body_cluster_init, "How a host begins a cluster.",
	FIELD(STRING, body_cluster_init, address, .max = 64,
	      .doc = "Numeric ADDRESS or ADDRESS:PORT where the other hosts reach it; absent: that of the way to everywhere, port 8443."),
	FIELD(OBJECT, body_cluster_init, etcd, .table = &body_etcd_table, .doc = "An etcd to use; absent: the hosts run one."),
);

FIELD_TABLE(body_cluster_enter_table, body_cluster_enter, "How a host joins a cluster.",
	FIELD(STRING, body_cluster_enter, token, .flags = FIELD_REQUIRED, .min = 1, .max = 2048, .doc = "Made by a host of the cluster."),
	FIELD(STRING, body_cluster_enter, name, .max = 63, .doc = "Its name in the cluster; absent: the one it has."),
	FIELD(STRING, body_cluster_enter, address, .max = 64, .doc = "Numeric ADDRESS or ADDRESS:PORT where the other hosts reach it; "
	      "absent: that of the way to them, port 8443."),
);

FIELD_TABLE(body_token_table, body_token, "A new join token.",
	FIELD(DURATION, body_token, ttl, .unit = "ms", .min = 1000, .max = 7ll * 24 * 3600 * 1000,
	      .doc = "How long it is good for (\"1h\"), at most 7 days; absent: 1h."),
);

FIELD_TABLE(body_version_table, body_version, "What answers.",
	FIELD(STRING, body_version, version, .doc = "Of the daemon."),
	FIELD(STRING, body_version, api, .doc = "Of the API."),
);

FIELD_TABLE(body_upload_table, body_upload, "A stored upload.",
	FIELD(STRING, body_upload, id, .doc = "Name it by this in the request that uses it, within an hour."),
	FIELD(SIZE, body_upload, size, .unit = "bytes", .doc = "Its size."),
	FIELD(STRING, body_upload, sha256, .doc = "Of its content."),
);

FIELD_TABLE(body_certificate_answer_table, body_certificate_answer, "A client certificate, as PEM.",
	FIELD(STRING, body_certificate_answer, certificate, .doc = "The certificate."),
	FIELD(STRING, body_certificate_answer, key, .doc = "Its private key; not kept by the daemon."),
	FIELD(STRING, body_certificate_answer, ca, .doc = "The CA, to check the server with."),
);

static const char *const check_states[] = { "ok", "warning", "failed", NULL };
FIELD_TABLE(body_check_table, body_check, "One requirement of the host.",
	FIELD(STRING, body_check, check, .doc = "What was looked at."),
	FIELD(ENUM, body_check, state, .choices = check_states, .doc = "What was found."),
	FIELD(STRING, body_check, text, .doc = "In words."),
	FIELD(STRING, body_check, remedy, .doc = "What to do about it."),
);

static const char *const placement_states[] = { "here", "possible", "refused", NULL };
FIELD_TABLE(body_placement_table, body_placement, "A node, as a place for an instance.",
	FIELD(STRING, body_placement, node, .doc = "Its name."),
	FIELD(ENUM, body_placement, state, .choices = placement_states, .doc = "Whether it is there, could be, or why not."),
	FIELD(DOUBLE, body_placement, cost, .flags = FIELD_OMIT_EMPTY, .doc = "Of the policy; the lowest is chosen. Absent where there is no room."),
	FIELD(STRING, body_placement, text, .doc = "What the cost consists of, or what speaks against it."),
);

FIELD_TABLE(body_pressure_table, body_pressure, "Pressure stall information of the last ten seconds.",
	FIELD(DOUBLE, body_pressure, some, .unit = "%", .doc = "How much of the time some task waited for it."),
	FIELD(DOUBLE, body_pressure, full, .unit = "%", .doc = "How much of the time all tasks waited for it."),
);

FIELD_TABLE(body_instance_load_table, body_instance_load, "What an instance uses right now.",
	FIELD(STRING, body_instance_load, instance, .doc = "Its name."),
	FIELD(INT, body_instance_load, cpu_permille, .doc = "Of one CPU, over the last second; 2000: two CPUs."),
	FIELD(SIZE, body_instance_load, memory_bytes, .unit = "bytes", .doc = "Memory."),
);

FIELD_TABLE(body_load_table, body_load, "How loaded a node is. What its kernel cannot tell is absent, as is all but the text where nothing is known.",
	FIELD(STRING, body_load, node, .doc = "Its name."),
	FIELD(STRING, body_load, text, .flags = FIELD_OMIT_EMPTY, .doc = "Why nothing is known."),
	FIELD(INT, body_load, age_ms, .unit = "ms", .doc = "How long ago it was measured. Nobody goes by what is older than 200."),
	FIELD(INT, body_load, cpus, .doc = "CPUs that are online."),
	FIELD(INT, body_load, busy_permille, .doc = "How much of all CPUs together was used in the last second."),
	FIELD(INT, body_load, run_queue, .doc = "Tasks that run or wait for a CPU."),
	FIELD(INT, body_load, blocked, .doc = "Tasks that wait for a disk."),
	FIELD(DOUBLE, body_load, load1, .doc = "Load average of a minute."),
	FIELD(DOUBLE, body_load, load5, .doc = "Of five minutes."),
	FIELD(DOUBLE, body_load, load15, .doc = "Of fifteen minutes."),
	FIELD(OBJECT, body_load, pressure_cpu, .table = &body_pressure_table, .doc = "Waiting for CPUs."),
	FIELD(OBJECT, body_load, pressure_memory, .table = &body_pressure_table, .doc = "Waiting for memory."),
	FIELD(OBJECT, body_load, pressure_io, .table = &body_pressure_table, .doc = "Waiting for disks."),
	FIELD(SIZE, body_load, memory, .unit = "bytes", .doc = "Memory."),
	FIELD(SIZE, body_load, memory_available, .unit = "bytes", .doc = "What of it can be had without swapping."),
	FIELD(SIZE, body_load, swap, .unit = "bytes", .doc = "Swap."),
	FIELD(SIZE, body_load, swap_free, .unit = "bytes", .doc = "What of it is free."),
	FIELD(INT, body_load, disk_in_flight, .doc = "Requests to all disks that are under way."),
	FIELD(INT, body_load, disk_busy_ms, .unit = "ms", .doc = "Time in which disks had something to do, since the host's start as all that follows."),
	FIELD(INT, body_load, disk_wait_ms, .unit = "ms", .doc = "Times of all requests added up."),
	FIELD(SIZE, body_load, disk_read_bytes, .unit = "bytes", .doc = "Read from disks."),
	FIELD(SIZE, body_load, disk_write_bytes, .unit = "bytes", .doc = "Written to disks."),
	FIELD(SIZE, body_load, net_receive_bytes, .unit = "bytes", .doc = "Received by all nics."),
	FIELD(SIZE, body_load, net_transmit_bytes, .unit = "bytes", .doc = "Sent by them."),
	FIELD(INT, body_load, net_receive_drops, .doc = "Packets that were received and dropped."),
	FIELD(INT, body_load, net_transmit_drops, .doc = "Packets that were to be sent and dropped."),
	FIELD(SIZE, body_load, net_backlog_bytes, .unit = "bytes", .doc = "Handed to the nics and not sent yet, right now."),
	FIELD(LIST, body_load, instances, .table = &body_instance_load_table, .doc = "What runs there, up to 512."),
);

FIELD_TABLE(body_power_table, body_power, "What the controller of a node's power says.",
	FIELD(STRING, body_power, node, .doc = "Name of the node."),
	FIELD(STRING, body_power, driver, .doc = "How its controller is asked; none: it has none."),
	FIELD(STRING, body_power, address, .flags = FIELD_OMIT_EMPTY, .doc = "Of the controller."),
	FIELD(STRING, body_power, state, .flags = FIELD_OMIT_EMPTY, .doc = "on, off, or between on and off. Absent: it is not known."),
	FIELD(STRING, body_power, text, .flags = FIELD_OMIT_EMPTY, .doc = "Why it is not known."),
);

FIELD_TABLE(body_move_table, body_move, "An instance that would move.",
	FIELD(STRING, body_move, instance, .doc = "Its name."),
	FIELD(STRING, body_move, to, .flags = FIELD_OMIT_EMPTY, .doc = "The node it would go to; absent: none has room."),
	FIELD(SIZE, body_move, memory, .unit = "bytes", .doc = "What would be carried over."),
	FIELD(STRING, body_move, text, .flags = FIELD_OMIT_EMPTY, .doc = "Why it could not move."),
);

FIELD_TABLE(body_error_table, body_error, "What went wrong.",
	FIELD(INT, body_error, code, .doc = "The HTTP status."),
	FIELD(STRING, body_error, message, .doc = "In words, with the value and the remedy."),
);

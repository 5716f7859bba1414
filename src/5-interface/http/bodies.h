/*
 * bodies.h - the JSON objects of the API that are not resources, as field tables: requests are
 * checked against them and openapi.json shows them.
 */
#ifndef HTTP_BODIES_H
#define HTTP_BODIES_H

#include "model/field.h"
#include "model/image.h"

/* Requests. */
struct body_delete { bool force; };
struct body_rename { char *name; };
struct body_stop { bool force; int64_t timeout; };
struct body_clone { char *name, *snapshot; };
struct body_move_request { char *node; bool cold, postcopy, cancel; };
struct body_attach { char *volume; bool read_only; };
struct body_detach { char *volume; };
struct body_exec {
	struct field_list argv, env;
	char *directory, *user;
	bool terminal, stdin_;
	int64_t rows, columns;
};
struct body_commit { char *image, *comment; struct image_config config; };
struct body_prune { bool all; };
struct body_receive { char *upload; };
struct body_certificate { char *name; };
struct body_join { char *token_id, *secret, *name, *uid, *csr; int64_t time; struct field_list addresses; };
struct body_etcd { struct field_list endpoints; char *ca, *certificate, *key; };
struct body_cluster_init { char *address; struct body_etcd etcd; };
struct body_cluster_enter { char *token, *name, *address; };
struct body_token { int64_t ttl; };

/* Answers. */
struct body_version { char *version, *api; };
struct body_pruned { struct field_list removed; uint64_t bytes; };
struct body_upload { char *id; uint64_t size; char *sha256; };
struct body_certificate_answer { char *certificate, *key, *ca; };
struct body_check { char *check; int state; char *text, *remedy; };
struct body_placement { char *node; int state; double cost; char *text; };
struct body_pressure { double some, full; };
struct body_instance_load { char *instance; int64_t cpu_permille; uint64_t memory_bytes; };
struct body_load {
	char *node, *text;
	int64_t age_ms, cpus, busy_permille, run_queue, blocked;
	double load1, load5, load15;
	struct body_pressure pressure_cpu, pressure_memory, pressure_io;
	uint64_t memory, memory_available, swap, swap_free;
	int64_t disk_in_flight, disk_busy_ms, disk_wait_ms;
	uint64_t disk_read_bytes, disk_write_bytes, net_receive_bytes, net_transmit_bytes;
	int64_t net_receive_drops, net_transmit_drops;
	uint64_t net_backlog_bytes;
	struct field_list instances;	/* struct body_instance_load */
};
struct body_power { char *node, *driver, *address, *state, *text; };
struct body_move { char *instance, *to; uint64_t memory; char *text; };
struct body_error { int64_t code; char *message; };

extern const struct field_table body_delete_table, body_rename_table, body_stop_table, body_clone_table,
	body_move_request_table, body_attach_table, body_detach_table, body_exec_table, body_certificate_table, body_join_table,
	body_version_table, body_cluster_init_table, body_cluster_enter_table, body_token_table,
	body_commit_table, body_prune_table, body_pruned_table, body_receive_table,
	body_upload_table, body_certificate_answer_table, body_check_table, body_placement_table, body_load_table, body_power_table, body_move_table,
	body_error_table;

#endif

/*
 * file.h - the file "cluster" of a state folder, which makes a host one of a cluster: there it is, or it is not.
 *
 * Errors:  -EUCLEAN: it is damaged; else -errno.
 * Threads: any, one at a time per folder.
 */
#ifndef SERVICE_CLUSTER_FILE_H
#define SERVICE_CLUSTER_FILE_H

#include "4-service/pki/pki.h"
#include "model/cluster.h"
#include "port/member.h"
#include "port/store.h"

/* Without a file all is unset. */
int cluster_file_read(const char *directory, struct cluster_settings *ret_settings, struct err *err);
int cluster_file_write(const char *directory, const struct cluster_settings *settings, struct err *err);
int cluster_file_remove(const char *directory, struct err *err);

/* How etcd is reached; texts are borrowed from settings and paths. */
struct cluster_access {
	struct pki_paths paths;
	struct store_etcd_params etcd;
	struct member_door door;
};
void cluster_access_init(const char *directory, const struct cluster_settings *settings, const char *writer, struct cluster_access *access);
void cluster_access_done(struct cluster_access *access);

/* The member of etcd on this host: where it is, and where it listens. */
struct cluster_place {
	struct pki_paths paths;
	char *address, *directory;
	struct member_params params;
};
int cluster_place_init(const char *directory, const char *node_uid, const char *cgroup, const char *listen, struct cluster_place *place,
		       struct err *err);
void cluster_place_done(struct cluster_place *place);		/* Also { 0 }. */

/* "192.0.2.1", "192.0.2.1:8443", "[2001:db8::1]:8443" -> numeric address, and ADDRESS:PORT. */
int cluster_address_parse(const char *text, char **ret_address, char **ret_listen, struct err *err);
bool cluster_address_is_loopback(const char *address);		/* A numeric address. */
/* May this host listen there? 'present' (may be null) is where it listens already. */
int cluster_address_check(const char *listen, const char *present, struct err *err);
/* The address of this host towards 'remote' ("192.0.2.2:8443"), or with null towards everything. */
int cluster_address_guess(const char *remote, char **ret_address, struct err *err);

#endif

/*
 * seccomp.h - which system calls a container may make, as the OCI runtime specification writes it.
 *
 * What is not named does not exist (ENOSYS), so that programs fall back as on an older kernel;
 * what is named and refused fails with EPERM, which is what they expect of it. clone3 is "not there"
 * too unless namespaces may be made: its flags lie in memory, where no filter can see them.
 *
 * Source: the default profiles of containers-common and Docker, without what needs a capability that
 * the container lacks, and without sockets to the hypervisor (AF_VSOCK).
 */
#ifndef DRIVER_MACHINE_OCI_SECCOMP_H
#define DRIVER_MACHINE_OCI_SECCOMP_H

#include <stdint.h>

#include "base/json.h"

void seccomp_write(struct json_writer *writer, uint64_t capabilities);

#endif

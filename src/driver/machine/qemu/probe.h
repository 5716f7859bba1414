/*
 * probe.h - the parts of the probe that are tested by themselves.
 *
 * Threads: any; blocking.
 */
#ifndef DRIVER_MACHINE_QEMU_PROBE_H
#define DRIVER_MACHINE_QEMU_PROBE_H

#include "driver/machine/qemu/qemu.h"

/* From what `qemu-system-x86_64 --version` prints. */
int probe_parse_version(const char *text, unsigned *ret_major, char *version, size_t size, struct err *err);
bool probe_has_cpu_flag(const char *cpuinfo, const char *flag);

/* Does a guest execute with this accelerator ("kvm", "tcg")? 0, or why not. */
int probe_guest(const struct qemu *qemu, const char *accelerator, struct err *err);

#endif

/*
 * stderr_text.h - what QEMU says when it gives up, in words for people.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_QEMU_STDERR_TEXT_H
#define DRIVER_MACHINE_QEMU_STDERR_TEXT_H

/* "qemu-system-x86_64: -blockdev {...}: Image is not in qcow2 format" without its name and without the
 * echo of the command line. Points into 'line'. */
const char *stderr_text(const char *line);

#endif

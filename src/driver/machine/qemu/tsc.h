/*
 * tsc.h - how fast this host's time stamp counter runs.
 *
 * Measured against CLOCK_MONOTONIC between tsc_begin() and tsc_khz(): over 5 ms or more the
 * error is below 20 ppm, and it falls with the distance.
 *
 * Threads: any; a started measurement may be read by several.
 */
#ifndef DRIVER_MACHINE_QEMU_TSC_H
#define DRIVER_MACHINE_QEMU_TSC_H

#include <stdint.h>

struct tsc_mark { uint64_t ticks, ns; };

struct tsc_mark tsc_begin(void);
unsigned tsc_khz(const struct tsc_mark *begin);	/* Waits until 5 ms have passed. 0: no such counter here. */

#endif

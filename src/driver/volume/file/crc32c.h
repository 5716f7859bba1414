/*
 * crc32c.h - CRC-32C (Castagnoli; RFC 3720, appendix B.4), by the CPU's own instruction where it has one.
 *
 * Threads: any.
 */
#ifndef VOLUME_FILE_CRC32C_H
#define VOLUME_FILE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues 'crc' (0 at first): crc32c(crc32c(0, a), b) is that of a and b. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

/* The bare register, neither inverted before nor after, as btrfs send streams have it. */
uint32_t crc32c_raw(uint32_t state, const void *bytes, size_t size);

#endif

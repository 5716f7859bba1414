/*
 * nft.h - the nft program, which talks to the kernel's packet filter.
 *
 * Errors:  -ENOENT nft is not installed, -EIO with nft's own words.
 * Threads: any.
 */
#ifndef DRIVER_FABRIC_BRIDGE_NFT_H
#define DRIVER_FABRIC_BRIDGE_NFT_H

#include "base/err.h"
#include "base/str.h"

/* Applies the commands in one transaction: all or none. */
int nft_apply(const char *commands, struct err *err);
/* Appends what "nft <words>" prints; 'words' is null-terminated, at most 6. */
int nft_query(const char *const *words, struct str *out, struct err *err);

#endif

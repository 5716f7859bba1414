/*
 * fetch.h - downloads by http and https.
 *
 * curl(1) does it as a process of its own, as "nobody" and with a limit on what it may write: parsers of
 * network input stay out of the daemon, and the daemon starts without loading a TLS client library.
 * What comes is written through an open file, so curl needs no access to the folder.
 *
 * Errors, each in words with the remedy:
 *	-EINVAL		not an http(s) URL; the checksum differs
 *	-ENOENT, -EACCES	the server says 404 or 410; 401 or 403
 *	-EHOSTUNREACH	the name does not resolve, no route	-ECONNREFUSED nobody listens
 *	-EPROTO		TLS, or an answer that is not HTTP	-ETIMEDOUT no data for a minute
 *	-EFBIG		more than 'max_bytes'	-ENOSPC, -ECANCELED, -EIO
 * Threads: blocking, call from a worker.
 */
#ifndef IMAGES_FETCH_H
#define IMAGES_FETCH_H

#include "base/err.h"
#include "base/sha256.h"
#include "port/volume.h"

/*
 * Downloads 'url' into the new file 'path' (an older one there is replaced); a broken connection is
 * resumed a few times. 'expected_sha256' may be null. On failure there is no file.
 */
int fetch_url(const char *url, const char *path, uint64_t max_bytes, const char *expected_sha256,
	      const struct volume_progress *progress, char ret_sha256[SHA256_TEXT_SIZE], struct err *err);

#endif

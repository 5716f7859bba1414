#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

/* A cut may have gone through a character: then it goes as a whole. */
static void end_cleanly(struct err *err)
{
	size_t length = strlen(err->msg), start = length;

	while (start > 1 && length - start < 3 && (err->msg[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && !utf8_length(err->msg + start - 1, length - start + 1))
		err->msg[start - 1] = '\0';
}

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;

	assert(err && code < 0);

	errno = -code;			/* So that %m always explains 'code'. */
	err->code = code;
	va_start(args, format);
	vsnprintf(err->msg, sizeof(err->msg), format, args);
	va_end(args);
	end_cleanly(err);
	return code;
}

int err_prefix(struct err *err, const char *format, ...)
{
	char old[sizeof(err->msg)];
	va_list args;
	int length;

	memcpy(old, err->msg, sizeof(old));
	va_start(args, format);
	length = vsnprintf(err->msg, sizeof(err->msg), format, args);
	va_end(args);
	if (length >= 0 && (size_t)length < sizeof(err->msg))
		snprintf(err->msg + length, sizeof(err->msg) - (size_t)length, ": %.*s", (int)sizeof(err->msg) - length, old);
	end_cleanly(err);
	return err->code;
}

static const struct {
	int code;
	int http_status;
	int exit_code;
} outside[] = {
	{ -EINVAL, 400, 1 },
	{ -EACCES, 403, 1 },
	{ -EPERM, 403, 1 },
	{ -ENOENT, 404, 1 },
	{ -EEXIST, 409, 1 },
	{ -EBUSY, 409, 1 },
	{ -ESTALE, 412, 75 },		/* The object changed meanwhile. */
	{ -EFBIG, 413, 1 },
	{ -E2BIG, 413, 1 },
	{ -EAGAIN, 503, 75 },
	{ -EOPNOTSUPP, 422, 1 },
	{ -ENOSPC, 507, 1 },
	{ -EDQUOT, 507, 1 },
	{ -EAGAIN, 429, 75 },			/* From outside only: what we say is above. */
	{ -EHOSTUNREACH, 503, 75 },
	{ -ETIMEDOUT, 504, 75 },
	{ -ECONNREFUSED, 502, 75 },
	{ -ECONNRESET, 502, 75 },
	{ -EPROTO, 502, 1 },
	{ -EIO, 500, 1 },
};

int err_http_status(int code)
{
	for (size_t i = 0; i < ARRAY_COUNT(outside); i++)
		if (outside[i].code == code)
			return outside[i].http_status;
	return 500;
}

int err_exit_code(int code)
{
	for (size_t i = 0; i < ARRAY_COUNT(outside); i++)
		if (outside[i].code == code)
			return outside[i].exit_code;
	return 1;
}

int err_from_http_status(int status)
{
	for (size_t i = 0; i < ARRAY_COUNT(outside); i++)
		if (outside[i].http_status == status)
			return outside[i].code;
	return -EIO;
}

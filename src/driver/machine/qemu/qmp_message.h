/*
 * qmp_message.h - what a machine may say over QMP (docs/interop/qmp-spec in QEMU), one line each.
 *
 * A machine whose guest has broken out of QEMU may send anything; nothing here trusts it.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_QEMU_QMP_MESSAGE_H
#define DRIVER_MACHINE_QEMU_QMP_MESSAGE_H

#include "base/err.h"
#include "base/json.h"

enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };

struct qmp_message {
	enum qmp_kind kind;
	struct json *json;		/* The whole message, owned. */
};

/* -EPROTO: it is none of these. */
int qmp_message_parse(const char *line, size_t size, struct qmp_message *ret_message, struct err *err);
void qmp_message_done(struct qmp_message *message);

/* Turns a QMP_ERROR into *err; returns its code. */
int qmp_message_error(const struct qmp_message *message, struct err *err);

#endif

/*
 * spec_text.h - short forms of the command line become the JSON of a spec:
 * "default,address=10.1.2.3", "127.0.0.1:8080:80/udp", "data:ro", "memory=512MiB".
 *
 * Only the form is looked at here; whether a value fits is the daemon's to say.
 *
 * Errors:  CLI_USAGE; the message shows the right form.
 * Memory:  'ret_json' passes to the caller.
 */
#ifndef CLI_SPEC_TEXT_H
#define CLI_SPEC_TEXT_H

#include "5-interface/cli/command.h"
#include "base/json.h"
#include "model/kind.h"

/* NETWORK[,address=IP]...[,mac=MAC] */
int spec_nic(const char *text, struct json **ret_json, struct err *err);
/* [ADDRESS:]HOSTPORT:GUESTPORT[/udp]; an IPv6 address in brackets. */
int spec_publish(const char *text, struct json **ret_json, struct err *err);
/* NAME[:ro] */
int spec_volume(const char *text, struct json **ret_json, struct err *err);
/* KEY=VALUE into an object of texts. */
int spec_label(const char *text, struct json *labels, struct err *err);

/* A number when it looks like one, else text: the daemon then says what it wants. */
struct json *spec_number(const char *text);

/*
 * "cpus=2", "label.tier=front", "publish=8080:80,8443:443", "image=" (back to the default), into the merge
 * patch 'patch' of an object of this kind.
 */
int spec_assign(const struct kind *kind, const char *text, struct json *patch, struct err *err);
/* The same into an object that is described by one table alone (the configuration). */
int spec_assign_in(const struct field_table *table, const char *text, struct json *patch, struct err *err);

/* The member, made when absent. */
struct json *spec_member(struct json *object, const char *key);

#endif

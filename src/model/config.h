/*
 * config.h - settings of the daemon: `strata config set api.listen 127.0.0.1:8443`.
 * One object; kept in the store, over what --config FILE says.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "model/field.h"

struct config_api { char *listen; /* "ADDRESS:PORT" for TLS with client certificates; null: off. */ };
struct config_console { uint64_t log_size; };
struct config { struct config_api api; struct config_console console; };

extern const struct field_table config_table;

#endif

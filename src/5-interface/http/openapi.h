/*
 * openapi.h - the API's description (OpenAPI 3.1), made from the table of routes, the kinds and the
 * field tables; so it cannot say anything else than what is done.
 */
#ifndef HTTP_OPENAPI_H
#define HTTP_OPENAPI_H

#include "base/str.h"

void openapi_write(struct str *out);

#endif

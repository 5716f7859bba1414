/*
 * Targets, parameters, bodies and chunks, without a server.
 */
#include "5-interface/http/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#include "5-interface/http/chunks.h"
#include "5-interface/http/handlers.h"
#include "base/mem.h"

struct decoded {
	char path[256], query[256], allow[64];
	struct request request;
	struct err err;
	int result;
};

static struct decoded *decode(struct decoded *d, enum method method, const char *path, const char *query)
{
	char *queries[] = { d->query };

	strcpy(d->path, path);
	strcpy(d->query, query ? query : "");
	d->err = (struct err){ 0 };
	d->result = request_decode(method, d->path, queries, query ? 1 : 0, &d->request, d->allow, &d->err);
	return d;
}

static void test_every_route_is_found(void **state)
{
	struct decoded d;

	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		struct route_match match;
		char path[256];

		strcpy(path, routes[i].pattern);	/* "{name}" is a name like any other. */
		assert_int_equal(route_find(routes[i].method, path, &match, d.allow, &d.err), 0);
		assert_ptr_equal(match.route, &routes[i]);
		assert_true(!strstr(routes[i].pattern, "{name}") == !match.name);
		assert_true(!strstr(routes[i].pattern, "{child}") == !match.child);
		assert_true(routes[i].status >= 101 && routes[i].status <= 202);
		assert_non_null(routes[i].doc);
	}
}

static void test_names(void **state)
{
	struct decoded d;

	(void)state;
	decode(&d, METHOD_POST, "/v1/instances/web/snapshots/s1/restore", NULL);
	assert_int_equal(d.result, 0);
	assert_string_equal(d.request.name, "web");
	assert_string_equal(d.request.child, "s1");
	assert_int_equal(d.request.route->op, CALL_RESTORE);
	decode(&d, METHOD_GET, "/v1/images/", NULL);
	assert_ptr_equal(d.request.route->handler, &handler_list);
}

static void test_unknown_paths_name_the_nearest(void **state)
{
	struct decoded d;

	(void)state;
	assert_int_equal(decode(&d, METHOD_GET, "/v1/volume/data", NULL)->result, -ENOENT);
	assert_non_null(strstr(d.err.msg, "'/v1/volume/data': the nearest is GET /v1/volumes/{name}"));
	assert_int_equal(decode(&d, METHOD_POST, "/v1/instances/web/strat", NULL)->result, -ENOENT);
	assert_non_null(strstr(d.err.msg, "/v1/instances/{name}/start"));
	assert_int_equal(decode(&d, METHOD_GET, "x", NULL)->result, -ENOENT);
	assert_int_equal(decode(&d, METHOD_GET, "", NULL)->result, -ENOENT);
	assert_int_equal(decode(&d, METHOD_GET, "/v1//", NULL)->result, -ENOENT);
	assert_int_equal(decode(&d, METHOD_GET, "/1/2/3/4/5/6/7/8/9/10", NULL)->result, -ENOENT);
}

static void test_methods(void **state)
{
	struct decoded d;

	(void)state;
	assert_int_equal(decode(&d, METHOD_PUT, "/v1/instances/web", NULL)->result, -EPERM);
	assert_string_equal(d.allow, "GET, DELETE, PATCH");
	assert_int_equal(decode(&d, METHOD_COUNT, "/v1/version", NULL)->result, -EPERM);
	assert_string_equal(d.allow, "GET");
}

static void test_parameters(void **state)
{
	struct decoded d;

	(void)state;
	decode(&d, METHOD_GET, "/v1/instances/web", "timeout=1m30s");
	assert_int_equal(request_number(&d.request, "timeout", 0), 90000);
	assert_int_equal(request_number(&d.request, "after", 77), 77);
	decode(&d, METHOD_DELETE, "/v1/instances/web", "force");
	assert_int_equal(request_number(&d.request, "force", 0), 1);
	decode(&d, METHOD_GET, "/v1/instances/web/files", "path=/a=b&c");
	assert_string_equal(request_text(&d.request, "path"), "/a=b&c");
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "after=9223372036854775808")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "after=-1")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "after=")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/instances/web/files", "path=")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_PUT, "/v1/instances/web/files", "mode=8")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "\xff=1")->result, -EINVAL);
}

static int body_of(struct decoded *d, const char *text, struct json **ret_body)
{
	*ret_body = NULL;
	return request_body(&d->request, text, strlen(text), ret_body, &d->err);
}

static void test_bodies(void **state)
{
	struct json *body;
	struct decoded d;

	(void)state;
	decode(&d, METHOD_DELETE, "/v1/instances/web", "force=true");
	assert_int_equal(body_of(&d, "", &body), 0);
	assert_true(json_bool(json_get(body, "force"), false));
	json_free(body);
	decode(&d, METHOD_DELETE, "/v1/instances/web", NULL);
	assert_int_equal(body_of(&d, "", &body), 0);
	assert_null(body);
	assert_int_equal(body_of(&d, "{\"force\":1}", &body), -EINVAL);

	decode(&d, METHOD_POST, "/v1/instances/web/stop", NULL);
	assert_int_equal(body_of(&d, "{\"timeout\":\"30s\"}", &body), 0);
	assert_string_equal(json_string(json_get(body, "timeout"), ""), "30s");
	json_free(body);
	assert_int_equal(body_of(&d, "{\"timeout\":\"soon\"}", &body), -EINVAL);
	assert_non_null(strstr(d.err.msg, "timeout"));

	decode(&d, METHOD_GET, "/v1/doctor", NULL);
	assert_int_equal(body_of(&d, "{}", &body), -EINVAL);
	decode(&d, METHOD_PATCH, "/v1/volumes/data", NULL);
	assert_int_equal(body_of(&d, "", &body), -EINVAL);
	assert_int_equal(body_of(&d, "{\"a\":1}", &body), 0);
	json_free(body);
}

/* Decodes in pieces of 'step' bytes; -1 when it is refused. */
static ssize_t unchunk(const char *text, size_t step, struct str *out)
{
	struct chunks chunks;
	size_t size = strlen(text), at = 0;

	chunks_init(&chunks);
	while (at < size && !chunks_are_over(&chunks)) {
		const char *piece;
		size_t piece_size;
		ssize_t used = chunks_read(&chunks, text + at, size - at < step ? size - at : step, &piece, &piece_size);

		if (used <= 0)
			return -1;
		at += (size_t)used;
		str_append_bytes(out, piece, piece_size);
	}
	return chunks_are_over(&chunks) ? (ssize_t)at : -2;
}

static void test_chunks(void **state)
{
	static const char text[] = "4\r\nWiki\r\nA;name=\"v\"\r\npedia in\r\n\r\n0\r\nTrailer: x\r\n\r\nnext";

	(void)state;
	for (size_t step = 1; step < sizeof(text); step++) {
		auto_str struct str out = { 0 };

		assert_int_equal(unchunk(text, step, &out), strlen(text) - 4);
		assert_string_equal(out.data, "Wikipedia in\r\n");
	}
}

static void test_bad_chunks(void **state)
{
	static const char *const bad[] = {
		"\r\n", "g\r\n", "-1\r\n", "4\nWiki\r\n0\r\n\r\n", "4\r\nWikix\r\n0\r\n\r\n", "1111111111111111\r\n", "0\r\n\rx",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		auto_str struct str out = { 0 };

		if (unchunk(bad[i], 100, &out) != -1)
			fail_msg("'%s' is taken", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_is_found), cmocka_unit_test(test_names),
		cmocka_unit_test(test_unknown_paths_name_the_nearest), cmocka_unit_test(test_methods),
		cmocka_unit_test(test_parameters), cmocka_unit_test(test_bodies), cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_bad_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

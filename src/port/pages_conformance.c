#include "port/pages_conformance.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

/* How often a step is waited for that needs time: a connection may. */
enum { WAIT_MS = 10, WAITS = 2000, OLD_MS = 250 };

#define EXPECT(condition) \
	do { \
		if (!(condition)) \
			return err_set(err, -EPROTO, "line %d: not true: %s", __LINE__, #condition); \
	} while (0)
#define SUCCEED(call) \
	do { \
		if ((call) < 0) \
			return err_prefix(err, "line %d: %s", __LINE__, #call); \
	} while (0)
#define FAIL_WITH(code, call) EXPECT((call) == (code))

/* A node as the daemon has it. */
struct node {
	struct page_shared shared;
	struct pages_params params;
	struct pages_driver *driver;
	struct page page;			/* Published last. */
};

struct world {
	const struct pages_conformance *c;
	struct node a, b, stranger;
	struct page seen;
	uint64_t age_ms;
};

static int node_open(struct node *node, const struct pages_ops *ops, const struct pages_params *params, struct err *err)
{
	node->params = *params;
	SUCCEED(page_shared_create(&node->shared, err));
	node->params.own = node->shared.page;
	memcpy(node->page.host.node, params->node, PAGE_UID_BYTES);
	node->page.host.boot[0] = 1;
	node->page.host.cpus = 4;
	SUCCEED(ops->open(&node->params, &node->driver, err));
	return 0;
}

static void node_close(struct node *node)
{
	if (node->driver)
		node->driver->ops->close(node->driver);
	page_shared_close(&node->shared);
}

/* The next page: each differs from all others in all its parts. */
static int publish(struct world *world, struct node *node, unsigned instances, struct err *err)
{
	uint64_t stamp = world->c->now_ns(world->c->data);

	node->page.host.stamp_ns = stamp > node->page.host.stamp_ns ? stamp : node->page.host.stamp_ns + 1;
	node->page.host.wall_ms++;
	node->page.host.run_queue++;
	node->page.host.instances_total = node->page.instance_count = (uint16_t)instances;
	for (unsigned i = 0; i < instances; i++)
		node->page.instances[i] = (struct page_instance){ .uid = { (uint8_t)i, (uint8_t)(i >> 8), 7 }, .cpu_ns = stamp + i,
								  .memory_bytes = i * 4096ull, .cpu_permille = i };
	page_seal(&node->page);
	page_write(node->shared.page, &node->page);
	SUCCEED(node->driver->ops->publish(node->driver, err));
	return 0;
}

static int read_page(struct world *world, const struct node *reader, const struct node *of, enum pages_part part, struct err *err)
{
	return reader->driver->ops->read(reader->driver, of->params.node, part, &world->seen, &world->age_ms, err);
}

static bool is_seen(struct world *world, const struct node *reader, const struct node *of, enum pages_part part)
{
	struct err ignored;

	if (read_page(world, reader, of, part, &ignored) < 0 || memcmp(&world->seen.host, &of->page.host, sizeof(of->page.host)) != 0)
		return false;
	return part == PAGES_HOST || (world->seen.instance_count == of->page.instance_count &&
				      memcmp(world->seen.instances, of->page.instances, of->page.instance_count * sizeof(of->page.instances[0])) == 0);
}

static int wait_seen(struct world *world, const struct node *reader, const struct node *of, enum pages_part part, struct err *err)
{
	for (int i = 0; i < WAITS; i++) {
		if (is_seen(world, reader, of, part))
			return 0;
		world->c->wait_ms(world->c->data, WAIT_MS);
	}
	return err_set(err, -EPROTO, "stamp %llu (%u instances) was waited for in vain", (unsigned long long)of->page.host.stamp_ns,
		       of->page.instance_count);
}

static int set_peers(struct world *world, struct node *node, size_t count, struct err *err)
{
	return node->driver->ops->set_peers(node->driver, world->c->peers, count, err);
}

static int test_params(struct world *world, struct err *err)
{
	struct pages_params params = world->a.params;
	struct pages_driver *driver;
	struct err ignored;

	memset(params.key, 0, sizeof(params.key));
	FAIL_WITH(-EINVAL, world->c->ops->open(&params, &driver, &ignored));
	params = world->a.params;
	memset(params.node, 0, sizeof(params.node));
	FAIL_WITH(-EINVAL, world->c->ops->open(&params, &driver, &ignored));
	params = world->a.params;
	params.bind.any.sa_family = AF_UNIX;
	FAIL_WITH(-EINVAL, world->c->ops->open(&params, &driver, &ignored));
	world->c->ops->close(NULL);
	return 0;
}

static int test_unknown(struct world *world, struct err *err)
{
	struct err ignored;

	FAIL_WITH(-ENOENT, read_page(world, &world->b, &world->a, PAGES_HOST, &ignored));
	FAIL_WITH(-E2BIG, world->b.driver->ops->set_peers(world->b.driver, world->c->peers, PAGES_PEERS_MAX + 1, &ignored));
	SUCCEED(set_peers(world, &world->a, 3, err));
	SUCCEED(set_peers(world, &world->b, 3, err));
	SUCCEED(set_peers(world, &world->stranger, 3, err));
	FAIL_WITH(-ENOENT, read_page(world, &world->b, &world->a, PAGES_ALL, &ignored));
	/* The own node is no other. */
	SUCCEED(publish(world, &world->b, 3, err));
	FAIL_WITH(-ENOENT, read_page(world, &world->b, &world->b, PAGES_HOST, &ignored));
	return 0;
}

static int test_read(struct world *world, struct err *err)
{
	static const unsigned counts[] = { 0, 1, 24, 25, 56, 57, 100, 511, 512, 0, 512, 3 };

	for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
		SUCCEED(publish(world, &world->a, counts[i], err));
		SUCCEED(wait_seen(world, &world->b, &world->a, PAGES_ALL, err));
		EXPECT(page_check(&world->seen, world->seen.size, err) == 0);
	}
	SUCCEED(publish(world, &world->b, 7, err));
	SUCCEED(wait_seen(world, &world->a, &world->b, PAGES_ALL, err));
	return 0;
}

/* The host's part alone leaves all else. */
static int test_host_only(struct world *world, struct err *err)
{
	SUCCEED(publish(world, &world->a, 2, err));
	memset(&world->seen, 0x5a, sizeof(world->seen));
	SUCCEED(wait_seen(world, &world->b, &world->a, PAGES_HOST, err));
	EXPECT(world->seen.instances[0].uid[0] == 0x5a && world->seen.instance_count == 0x5a5a);
	return 0;
}

static int test_age(struct world *world, struct err *err)
{
	SUCCEED(publish(world, &world->a, 0, err));
	SUCCEED(wait_seen(world, &world->b, &world->a, PAGES_HOST, err));
	/* Nothing comes any more: it is the same page, and ever older. */
	for (int i = 0; i < WAITS && world->age_ms < OLD_MS; i++) {
		uint64_t before = world->age_ms;

		world->c->wait_ms(world->c->data, WAIT_MS);
		SUCCEED(read_page(world, &world->b, &world->a, PAGES_HOST, err));
		EXPECT(world->age_ms + 2 >= before);
		EXPECT(world->seen.host.stamp_ns == world->a.page.host.stamp_ns);
	}
	EXPECT(world->age_ms >= OLD_MS);
	return 0;
}

static int test_stranger(struct world *world, struct err *err)
{
	struct err ignored;

	SUCCEED(publish(world, &world->stranger, 1, err));
	SUCCEED(publish(world, &world->a, 1, err));
	SUCCEED(wait_seen(world, &world->b, &world->a, PAGES_ALL, err));
	FAIL_WITH(-ENOENT, read_page(world, &world->b, &world->stranger, PAGES_HOST, &ignored));
	FAIL_WITH(-ENOENT, read_page(world, &world->stranger, &world->a, PAGES_HOST, &ignored));
	return 0;
}

static int test_restart(struct world *world, struct err *err)
{
	struct page last = world->a.page;

	node_close(&world->a);
	world->a = (struct node){ 0 };
	SUCCEED(node_open(&world->a, world->c->ops, &world->c->nodes[0], err));
	SUCCEED(set_peers(world, &world->a, 3, err));
	world->a.page = last;
	SUCCEED(publish(world, &world->a, 30, err));
	SUCCEED(wait_seen(world, &world->b, &world->a, PAGES_ALL, err));
	SUCCEED(publish(world, &world->b, 30, err));
	SUCCEED(wait_seen(world, &world->a, &world->b, PAGES_ALL, err));
	/* The host too: its clock begins anew. */
	world->a.page.host.boot[0]++;
	world->a.page.host.run_queue++;
	SUCCEED(publish(world, &world->a, 30, err));
	SUCCEED(wait_seen(world, &world->b, &world->a, PAGES_ALL, err));
	return 0;
}

static int test_members(struct world *world, struct err *err)
{
	struct err ignored;

	SUCCEED(world->b.driver->ops->set_peers(world->b.driver, NULL, 0, err));
	FAIL_WITH(-ENOENT, read_page(world, &world->b, &world->a, PAGES_HOST, &ignored));
	SUCCEED(set_peers(world, &world->b, 3, err));
	SUCCEED(publish(world, &world->a, 5, err));
	SUCCEED(wait_seen(world, &world->b, &world->a, PAGES_ALL, err));
	return 0;
}

static int test_counts(struct world *world, struct err *err)
{
	struct pages_counts counts;

	world->b.driver->ops->counts(world->b.driver, &counts);
	EXPECT(counts.received > 0);
	return 0;
}

static int run(struct world *world, struct err *err)
{
	static int (*const tests[])(struct world *world, struct err *err) = {
		test_params, test_unknown, test_read, test_host_only, test_age, test_stranger, test_restart, test_members, test_counts,
	};
	const struct pages_conformance *c = world->c;

	if (node_open(&world->a, c->ops, &c->nodes[0], err) < 0 || node_open(&world->b, c->ops, &c->nodes[1], err) < 0 ||
	    node_open(&world->stranger, c->ops, &c->stranger, err) < 0)
		return err->code;
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		if (tests[i](world, err) < 0)
			return err->code;
	return 0;
}

int pages_conformance(const struct pages_conformance *conformance, struct err *err)
{
	struct world *world = alloc(sizeof(*world));
	int r;

	world->c = conformance;
	r = run(world, err);
	node_close(&world->a);
	node_close(&world->b);
	node_close(&world->stranger);
	free(world);
	return r;
}

#include "driver/store/etcd/group.h"

#include <string.h>

#include "base/map.h"
#include "driver/store/etcd/request.h"

enum {
	/* So a quarter of the operations that etcd allows are left for what is within each; what needs more goes alone. */
	GROUP_MAX = REQUEST_MAX_OPERATIONS * 3 / 4 - 1,
	GROUP_BYTES = 1 << 20,		/* etcd takes 1.5 MiB (--max-request-bytes). */
	KEY_OVERHEAD_BYTES = 128,
};

static size_t size_of(const struct store_txn *txn)
{
	size_t size = 0;

	for (size_t i = 0; i < txn->guards.count; i++)
		size += 2 * (strlen(txn->guards.items[i].key) + KEY_OVERHEAD_BYTES);
	for (size_t i = 0; i < txn->changes.count; i++)
		size += strlen(txn->changes.items[i].key) + KEY_OVERHEAD_BYTES + txn->changes.items[i].value_size;
	return size;
}

static bool is_independent(const struct store_txn *txn, const struct map *changed)
{
	for (size_t i = 0; i < txn->guards.count; i++)
		if (map_get(changed, txn->guards.items[i].key))
			return false;
	for (size_t i = 0; i < txn->changes.count; i++)
		if (map_get(changed, txn->changes.items[i].key))
			return false;
	return true;
}

size_t etcd_group_size(struct store_txn *const *txns, size_t count)
{
	struct map changed = { 0 };
	size_t size = 0, bytes = 0, outer = 0;
	bool is_within;

	for (; size < count; size++) {
		struct store_txn *txn = txns[size];

		bytes += size_of(txn);
		outer += etcd_request_width(txn, &is_within);
		if (size && (bytes > GROUP_BYTES || outer > GROUP_MAX || !etcd_request_fits(txn, 1 + GROUP_MAX) || !is_independent(txn, &changed)))
			break;
		for (size_t i = 0; i < txn->changes.count; i++)
			map_put(&changed, txn->changes.items[i].key, txn);
		if (size == 0 && !etcd_request_fits(txn, 1 + GROUP_MAX)) {
			size = 1;
			break;
		}
	}
	map_done(&changed);
	return size;
}

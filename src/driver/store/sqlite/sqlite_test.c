#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "port/store.h"
#include "port/store_conformance.h"

static void remove_store(const struct store_conformance *subject)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

	for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
		auto_free char *path = text_format("%s%s", subject->path, suffixes[i]);
		auto_free char *backup_path = text_format("%s.backup%s", subject->path, suffixes[i]);

		unlink(path);
		unlink(backup_path);
	}
}

int main(void)
{
	char folder[] = "/tmp/store-conformance-XXXXXX";
	auto_free char *path = NULL;
	int failed = 0;

	if (!mkdtemp(folder))
		return 1;
	path = text_format("%s/store.db", folder);
	const struct store_conformance subjects[] = {
		{ .name = "sqlite, virtual time", .ops = &store_sqlite, .path = path, .clock = LOOP_CLOCK_VIRTUAL,
		  .lease_ms = 1000, .is_persistent = true, .random_steps = 2000, .reset = remove_store },
		{ .name = "sqlite, real time", .ops = &store_sqlite, .path = path, .clock = LOOP_CLOCK_REAL,
		  .lease_ms = 100, .is_persistent = true, .random_steps = 2000, .reset = remove_store },
	};
	for (size_t i = 0; i < ARRAY_COUNT(subjects); i++)
		failed += store_conformance_run(&subjects[i]);
	remove_store(&subjects[0]);
	rmdir(folder);
	return failed;
}

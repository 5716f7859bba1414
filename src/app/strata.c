/* strata - the command. Everything is in 5-interface/cli; here it only meets the drivers. */
#include <stdio.h>

#include "5-interface/cli/cli.h"
#include "base/file.h"
#include "base/mem.h"
#include "driver/store/sqlite/restore.h"

static int restore(const char *file, const char *state, struct err *err)
{
	auto_free char *path = text_format("%s/store.db", state);
	int result = file_make_dirs(state, 0700, err);

	return result < 0 ? result : store_sqlite_restore(file, path, err);
}

int main(int argc, char **argv)
{
	const struct cli_doors doors = { .restore = restore };

	return cli_main(argc, argv, &doors, stdout, stderr);
}

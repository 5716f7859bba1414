/* strata - the command. Everything is in 5-interface/cli; here it only meets the drivers. */
#include <stdio.h>

#include "5-interface/cli/cli.h"

int main(int argc, char **argv)
{
	static const struct cli_doors doors = { 0 };

	return cli_main(argc, argv, &doors, stdout, stderr);
}

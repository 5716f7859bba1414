/* Whatever a controller answers: no crash, no leak, and a path that is taken from it can stand in a URL. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "driver/power/redfish/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[REDFISH_PATH_LENGTH + 1], message[128];
	struct redfish_system system;
	struct err err;

	if (redfish_parse_systems((const char *)data, size, path, &err) == 0)
		assert(redfish_is_path(path) && !strpbrk(path, "\" \\\n?#%"));
	if (redfish_parse_system((const char *)data, size, &system, &err) == 0)
		assert(redfish_is_path(system.reset) && system.state <= POWER_CHANGING);
	redfish_parse_error((const char *)data, size, message);
	assert(strlen(message) < sizeof(message));
	return 0;
}

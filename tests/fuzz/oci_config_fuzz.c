/* Whatever the bytes: reading a configuration ends, and what is accepted is small enough to be kept and can be written again. */
#include <assert.h>
#include <stdint.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/limits.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = text_copy_length((const char *)data, size);
	auto_config struct oci_config config = { 0 }, again = { 0 };
	auto_str struct str written = { 0 };
	struct err err;

	if (oci_config_parse(text, size, &config, &err) < 0)
		return 0;
	assert(config.diff_ids.count <= LIMIT_OCI_LAYERS);
	assert(config.steps.count == 0 || config.steps.count == config.diff_ids.count);
	assert(config.settings.env.count <= LIMIT_LIST_ITEMS && config.settings.labels.count <= LIMIT_LIST_ITEMS);
	oci_config_write(&config, NULL, &written);
	assert(oci_config_parse(written.data, written.size, &again, &err) == 0);
	assert(again.diff_ids.count == config.diff_ids.count && again.settings.env.count == config.settings.env.count);
	return 0;
}

/* Whatever the bytes: reading a manifest or an index ends, and what is accepted is within the limits and can be written again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/limits.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = text_copy_length((const char *)data, size), *digest = NULL;
	auto_manifest struct oci_manifest manifest = { 0 }, again = { 0 };
	auto_str struct str written = { 0 };
	struct err err;

	if (oci_index_choose(text, size, &digest, &err) == 0 && digest)
		assert(strlen(digest) == 64 && strspn(digest, "0123456789abcdef") == 64);
	if (oci_manifest_parse(text, size, &manifest, &err) < 0)
		return 0;
	assert(!digest);			/* Not both at once. */
	assert(manifest.layers.count > 0 && manifest.layers.count <= LIMIT_OCI_LAYERS);
	oci_manifest_write(&manifest, &written);
	assert(oci_manifest_parse(written.data, written.size, &again, &err) == 0);
	assert(again.layers.count == manifest.layers.count && text_equal(again.config.digest, manifest.config.digest));
	return 0;
}

#include "2-virtualization/images/embed.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* The assembler finds the file from the folder that make runs in. */
#define FILE_IN(folder, name, symbol) \
	__asm__(".pushsection .rodata\n" \
		#symbol "_start:\n" \
		".incbin \"src/2-virtualization/images/" folder "/" name "\"\n" \
		#symbol "_end:\n" \
		".byte 0\n" \
		".popsection\n"); \
	extern const char symbol##_start[], symbol##_end[]

FILE_IN("tiny", "init", embed_tiny_init);
FILE_IN("tiny", "inittab", embed_tiny_inittab);
FILE_IN("tiny", "rcS", embed_tiny_rcs);
FILE_IN("tiny", "seed", embed_tiny_seed);
FILE_IN("tiny", "agent", embed_tiny_agent);
FILE_IN("tiny", "power", embed_tiny_power);
FILE_IN("tiny", "button", embed_tiny_button);
FILE_IN("tiny", "udhcpc.script", embed_tiny_udhcpc);
FILE_IN("debian", "init", embed_debian_init);
FILE_IN("debian", "manager.conf", embed_debian_manager);
FILE_IN("debian", "cloud.cfg", embed_debian_cloud);
FILE_IN("debian", "network", embed_debian_network);
FILE_IN("debian", "customize", embed_debian_customize);

const struct embed tiny_init = { "init", 0755, embed_tiny_init_start, embed_tiny_init_end };
const struct embed debian_init = { "init", 0755, embed_debian_init_start, embed_debian_init_end };

const struct embed tiny_files[] = {
	{ "etc/inittab", 0644, embed_tiny_inittab_start, embed_tiny_inittab_end },
	{ "etc/init.d/rcS", 0755, embed_tiny_rcs_start, embed_tiny_rcs_end },
	{ "etc/init.d/seed", 0755, embed_tiny_seed_start, embed_tiny_seed_end },
	{ "etc/init.d/agent", 0755, embed_tiny_agent_start, embed_tiny_agent_end },
	{ "etc/udhcpc.script", 0755, embed_tiny_udhcpc_start, embed_tiny_udhcpc_end },
	{ "etc/acpi/PWRF/00000080", 0755, embed_tiny_button_start, embed_tiny_button_end },
	{ "sbin/power", 0755, embed_tiny_power_start, embed_tiny_power_end },
	{ NULL, 0, NULL, NULL },
};

const struct embed debian_files[] = {
	{ "etc/cloud/cloud.cfg.d/90_strata.cfg", 0644, embed_debian_cloud_start, embed_debian_cloud_end },
	{ "etc/systemd/network/80-dhcp.network", 0644, embed_debian_network_start, embed_debian_network_end },
	{ "etc/systemd/system.conf.d/50-strata.conf", 0644, embed_debian_manager_start, embed_debian_manager_end },
	{ "etc/strata/customize", 0755, embed_debian_customize_start, embed_debian_customize_end },
	{ NULL, 0, NULL, NULL },
};

int embed_write(const struct embed *file, const char *root, struct err *err)
{
	auto_free char *path = text_format("%s/%s", root, file->path);
	auto_free char *folder = text_copy_length(path, (size_t)(strrchr(path, '/') - path));
	int r = file_make_dirs(folder, 0755, err);

	return r < 0 ? r : file_write_atomic(path, file->start, (size_t)(file->end - file->start), file->mode, err);
}

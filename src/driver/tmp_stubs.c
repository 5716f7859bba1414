#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "base/mem.h"
#include "2-virtualization/images/oci/oci.h"
#include "port/machine.h"
const struct volume_ops volume_btrfs; const struct machine_ops machine_oci;
char *oci_layer_path(const char *folder, const char *diff_id){return text_format("%s/layers/%s",folder,diff_id);}
void oci_image_done(struct oci_image *i){(void)i;}
int oci_load(const char *a,const char *b,const char*c,const struct volume_progress*d,struct oci_image*e,struct err*f){return -1;}
int oci_commit(const char *folder, const char *scratch, const struct oci_image *base, const char *upper,const struct image_config *settings, const char *comment, const struct volume_progress *progress,struct oci_image *ret_image, struct err *err){return -1;}
int oci_pull(const char *folder, const char *scratch, const struct oci_pull *pull, const struct volume_progress *progress,struct oci_image *ret_image, struct err *err){return -1;}
int oci_import(const char *folder, const char *scratch, const char *path, enum oci_archive_form form,const struct volume_progress *progress, struct oci_image *ret_image, struct err *err){return -1;}
int oci_build(const char *folder, const char *scratch, const char *recipe, const struct volume_progress *progress,struct oci_image *ret_image, struct err *err){return -1;}
int oci_collect(const char *folder, const char *const *manifests, size_t count, uint64_t *ret_bytes, struct err *err){return 0;}
int oci_export(const char *folder, const char *scratch, const struct oci_image *image, const char *name,enum oci_archive_form form, const char *path, const struct volume_progress *progress, struct err *err){return -1;}

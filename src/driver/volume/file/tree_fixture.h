/*
 * tree_fixture.h - for tests: fills a tree with all that may be in one, and looks whether it is all there.
 *
 * Every kind of file, names of several kinds, holes, owners, modes, attributes, times; some of it depends on the
 * number 'content', so that going from one number to another changes, adds, removes and replaces.
 *
 * Errors:  -EPROTO with what is not as it was.
 */
#ifndef VOLUME_FILE_TREE_FIXTURE_H
#define VOLUME_FILE_TREE_FIXTURE_H

#include "port/volume.h"

int tree_fixture_write(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err);
int tree_fixture_check(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err);

#endif

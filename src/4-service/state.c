#include "4-service/state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static int take_lock(struct state *state, struct err *err)
{
	auto_free char *path = text_format("%s/lock", state->directory);
	pid_t holder;
	int r = file_lock(path, &state->lock_fd, &holder, err);

	if (r != -EBUSY)
		return r < 0 ? err_prefix(err, "state folder '%s'", state->directory) : 0;
	return err_set(err, -EBUSY, "state folder '%s' is used by another stratad with pid %d: stop that one or name another folder with --state",
		       state->directory, (int)holder);
}

static int read_identity(struct state *state, struct rng *rng, struct err *err)
{
	auto_free char *path = text_format("%s/node", state->directory);
	auto_str struct str text = { 0 };
	struct err ignored = { 0 };

	if (file_read_all(path, 64, &text, &ignored) == 0) {
		if (sscanf(str_text(&text), "%36[0-9a-f-] %4[0-9a-f]", state->node_uid, state->node_tag) == 2 &&
		    strlen(state->node_tag) == 4)
			return 0;
		return err_set(err, -EUCLEAN, "'%s' is damaged: restore it from a backup of the state folder", path);
	}
	rng_uuid(rng, state->node_uid);
	snprintf(state->node_tag, sizeof(state->node_tag), "%04x", (unsigned)rng_below(rng, 0x10000));
	str_printf(&text, "%s %s\n", state->node_uid, state->node_tag);
	return file_write_atomic(path, text.data, text.size, 0600, err);
}

int state_open(const char *directory, struct rng *rng, struct state *ret_state, struct err *err)
{
	struct state state = { .lock_fd = -1 };
	char resolved[PATH_MAX];
	int r = file_make_dirs(directory, 0711, err);

	if (r < 0)
		return r;
	if (!realpath(directory, resolved))
		return err_set(err, -errno, "state folder '%s': %m", directory);
	state.directory = text_copy(resolved);
	r = take_lock(&state, err);
	if (r == 0)
		r = read_identity(&state, rng, err);
	if (r < 0) {
		state_close(&state);
		return r;
	}
	*ret_state = state;
	return 0;
}

void state_close(struct state *state)
{
	closep(&state->lock_fd);
	free(state->directory);
	*state = (struct state){ .lock_fd = -1 };
}

#include "5-interface/http/routes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "5-interface/http/bodies.h"
#include "5-interface/http/handlers.h"
#include "base/mem.h"
#include "model/cluster.h"
#include "model/config.h"
#include "model/event.h"

const char *const method_names[METHOD_COUNT] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

static const struct parameter watch_parameters[] = {
	{ "after", PARAMETER_INT, false, "Wait until the revision is above this one." },
	{ "timeout", PARAMETER_DURATION, false, "How long to wait (\"30s\"); 30 s when absent, 10 min at most." },
	{ 0 },
};
static const struct parameter delete_parameters[] = {
	{ "force", PARAMETER_BOOL, false, "Delete even what is running or in use." },
	{ 0 },
};
static const struct parameter logs_parameters[] = {
	{ "follow", PARAMETER_BOOL, false, "Go on with what comes, until the client closes." },
	{ "tail", PARAMETER_INT, false, "Begin this many bytes before the end; absent: at the beginning." },
	{ "lines", PARAMETER_INT, false, "Begin with the last so many lines." },
	{ "since", PARAMETER_TEXT, false, "Of containers: begin at this time (RFC 3339), or so long ago (\"10m\")." },
	{ "timestamps", PARAMETER_BOOL, false, "Of containers: each line begins with its time." },
	{ 0 },
};
static const struct parameter console_parameters[] = {
	{ "tail", PARAMETER_INT, false, "Begin with this many bytes of history; absent: none." },
	{ 0 },
};
static const struct parameter attach_parameters[] = {
	{ "tail", PARAMETER_INT, false, "Begin with this many bytes of what was written; absent: none." },
	{ 0 },
};
static const struct parameter path_parameters[] = {
	{ "path", PARAMETER_TEXT, true, "Absolute path in the guest." },
	{ 0 },
};
static const struct parameter write_parameters[] = {
	{ "path", PARAMETER_TEXT, true, "Absolute path in the guest." },
	{ "mode", PARAMETER_MODE, false, "Permissions of the file, octal; 0644 when absent." },
	{ 0 },
};
static const struct parameter backup_parameters[] = {
	{ "snapshot", PARAMETER_TEXT, true, "The snapshot to back up." },
	{ "base", PARAMETER_TEXT, false, "Only what changed since this snapshot; all when absent." },
	{ 0 },
};
static const struct parameter disk_parameters[] = {
	{ "disk", PARAMETER_TEXT, false, "root (when absent), or the uid of a volume." },
	{ "part", PARAMETER_TEXT, false, "info, or a number: its snapshots, oldest first, then what it is now." },
	{ "file", PARAMETER_TEXT, false, "kernel, initrd, cmdline, nvram or console.log." },
	{ 0 },
};
static const struct parameter image_parameters[] = {
	{ "form", PARAMETER_TEXT, false, "Of a container image: oci (when absent) or docker." },
	{ "part", PARAMETER_TEXT, false, "disk, kernel or initrd; disk when absent." },
	{ 0 },
};
static const struct parameter events_parameters[] = {
	{ "after", PARAMETER_INT, false, "Only events with an id above this one." },
	{ "follow", PARAMETER_BOOL, false, "Go on with what comes, until the client closes." },
	{ 0 },
};

/* What all resources have. 'read' is for GET, which snapshots and others share. */
#define KIND_READS(kind_, base_, name_) \
	{ METHOD_GET, base_, &handler_list, .kind = kind_, .status = 200, .parameters = watch_parameters, \
	  .answer = CONTENT_LIST, .doc = "All of them, sorted by name." }, \
	{ METHOD_GET, base_ "/" name_, &handler_object, .kind = kind_, .status = 200, .parameters = watch_parameters, \
	  .answer = CONTENT_OBJECT, .doc = "One object." }
#define KIND_CREATE(kind_, base_) \
	{ METHOD_POST, base_, &handler_call, CALL_CREATE, kind_, .status = 201, .body = CONTENT_OBJECT, \
	  .answer = CONTENT_OBJECT, .doc = "Create from meta.name and spec." }
#define KIND_DELETE(kind_, base_, name_) \
	{ METHOD_DELETE, base_ "/" name_, &handler_call, CALL_DELETE, kind_, .status = 202, \
	  .parameters = delete_parameters, .body = CONTENT_TABLE, .body_table = &body_delete_table, \
	  .answer = CONTENT_OBJECT, .doc = "Delete; the object goes when everything of it is cleaned up." }
#define KIND_ROUTES(kind_, base_) \
	KIND_READS(kind_, base_, "{name}"), KIND_CREATE(kind_, base_), KIND_DELETE(kind_, base_, "{name}"), \
	{ METHOD_PATCH, base_ "/{name}", &handler_call, CALL_UPDATE, kind_, .status = 200, .body = CONTENT_PATCH, \
	  .answer = CONTENT_OBJECT, .doc = "Change by a merge patch (RFC 7396)." }, \
	{ METHOD_POST, base_ "/{name}/rename", &handler_call, CALL_RENAME, kind_, .status = 200, \
	  .body = CONTENT_TABLE, .body_table = &body_rename_table, .answer = CONTENT_OBJECT, .doc = "Rename." }
#define ACTION(name_, op_, body_, body_table_, doc_) \
	{ METHOD_POST, "/v1/instances/{name}/" name_, &handler_call, op_, KIND_INSTANCE, .status = 202, \
	  .body = CONTENT_##body_, .body_table = body_table_, .answer = CONTENT_OBJECT, .doc = doc_ }
#define SNAPSHOTS "/v1/instances/{name}/snapshots"
#define VOLUME_SNAPSHOTS "/v1/volumes/{name}/snapshots"

const struct route routes[] = {
	KIND_ROUTES(KIND_INSTANCE, "/v1/instances"),
	KIND_ROUTES(KIND_IMAGE, "/v1/images"),
	KIND_ROUTES(KIND_VOLUME, "/v1/volumes"),
	KIND_ROUTES(KIND_NETWORK, "/v1/networks"),
	KIND_ROUTES(KIND_POOL, "/v1/pools"),

	ACTION("start", CALL_START, JSON, NULL, "Start the instance."),
	ACTION("stop", CALL_STOP, TABLE, &body_stop_table, "Ask the guest to power off; then power it off."),
	ACTION("restart", CALL_RESTART, TABLE, &body_stop_table, "Stop and start."),
	ACTION("pause", CALL_PAUSE, JSON, NULL, "Stop its processors; memory stays."),
	ACTION("resume", CALL_RESUME, JSON, NULL, "Go on after a pause."),
	{ METHOD_POST, "/v1/instances/{name}/move", &handler_call, CALL_MOVE, KIND_INSTANCE, .status = 202,
	  .body = CONTENT_TABLE, .body_table = &body_move_request_table, .answer = CONTENT_OBJECT,
	  .doc = "Go to another node, or take that back; status.move says how far it is." },
	ACTION("attach", CALL_ATTACH, TABLE, &body_attach_table, "Plug in a volume."),
	ACTION("detach", CALL_DETACH, TABLE, &body_detach_table, "Unplug a volume."),
	{ METHOD_POST, "/v1/instances/{name}/clone", &handler_call, CALL_CLONE, KIND_INSTANCE, .status = 201,
	  .body = CONTENT_TABLE, .body_table = &body_clone_table, .answer = CONTENT_OBJECT,
	  .doc = "Copy the instance, or a snapshot of it, on write." },

	{ METHOD_GET, "/v1/instances/{name}/placement", &handler_call, CALL_PLACEMENT, KIND_INSTANCE, .status = 200,
	  .answer = CONTENT_TABLE_LIST, .answer_table = &body_placement_table, .doc = "Why it is on its node, and why not on others." },

	KIND_READS(KIND_SNAPSHOT, SNAPSHOTS, "{child}"),
	KIND_CREATE(KIND_SNAPSHOT, SNAPSHOTS),
	KIND_DELETE(KIND_SNAPSHOT, SNAPSHOTS, "{child}"),
	{ METHOD_POST, SNAPSHOTS "/{child}/restore", &handler_call, CALL_RESTORE, KIND_SNAPSHOT, .status = 202,
	  .body = CONTENT_JSON, .answer = CONTENT_JSON, .doc = "Take the instance back to the snapshot." },

	{ METHOD_POST, "/v1/instances/{name}/commit", &handler_call, CALL_COMMIT, KIND_IMAGE, .status = 201,
	  .body = CONTENT_TABLE, .body_table = &body_commit_table, .answer = CONTENT_OBJECT,
	  .doc = "Make an image of what a container is now." },
	{ METHOD_POST, "/v1/images/{name}/tag", &handler_call, CALL_IMAGE_TAG, KIND_IMAGE, .status = 201,
	  .body = CONTENT_TABLE, .body_table = &body_rename_table, .answer = CONTENT_OBJECT,
	  .doc = "Give a container image one more name." },
	{ METHOD_POST, "/v1/images/prune", &handler_call, CALL_IMAGE_PRUNE, .kind = -1, .status = 200,
	  .body = CONTENT_TABLE, .body_table = &body_prune_table, .answer = CONTENT_TABLE, .answer_table = &body_pruned_table,
	  .doc = "Remove images that failed, and with 'all' container images that no instance is made from." },

	KIND_READS(KIND_SNAPSHOT, VOLUME_SNAPSHOTS, "{child}"),
	{ METHOD_POST, VOLUME_SNAPSHOTS, &handler_call, CALL_VOLUME_SNAPSHOT, KIND_SNAPSHOT, .status = 201, .body = CONTENT_OBJECT,
	  .answer = CONTENT_OBJECT, .doc = "Create from meta.name and spec." },
	{ METHOD_DELETE, VOLUME_SNAPSHOTS "/{child}", &handler_call, CALL_VOLUME_UNSNAPSHOT, KIND_SNAPSHOT, .status = 202,
	  .parameters = delete_parameters, .body = CONTENT_TABLE, .body_table = &body_delete_table, .answer = CONTENT_OBJECT,
	  .doc = "Delete; the object goes when everything of it is cleaned up." },
	{ METHOD_POST, VOLUME_SNAPSHOTS "/{child}/restore", &handler_call, CALL_VOLUME_RESTORE, KIND_VOLUME, .status = 202,
	  .body = CONTENT_JSON, .answer = CONTENT_OBJECT, .doc = "Take the volume back to the snapshot; nothing that runs has it." },
	{ METHOD_POST, "/v1/volumes/{name}/clone", &handler_call, CALL_VOLUME_CLONE, KIND_VOLUME, .status = 201,
	  .body = CONTENT_TABLE, .body_table = &body_clone_table, .answer = CONTENT_OBJECT, .doc = "Copy the volume, or a snapshot of it." },
	{ METHOD_GET, "/v1/volumes/{name}/backup", &handler_download, CALL_VOLUME_BACKUP, KIND_VOLUME, .status = 200,
	  .parameters = backup_parameters, .answer = CONTENT_BYTES, .doc = "A snapshot of the volume as one file, whole or what changed since another." },
	{ METHOD_POST, "/v1/volumes/{name}/receive", &handler_call, CALL_VOLUME_RECEIVE, KIND_VOLUME, .status = 202,
	  .body = CONTENT_TABLE, .body_table = &body_receive_table, .answer = CONTENT_OBJECT,
	  .doc = "Bring the volume on to the state of an incremental backup." },

	{ METHOD_GET, "/v1/instances/{name}/logs", &handler_logs, CALL_LOGS, KIND_INSTANCE, .status = 200,
	  .parameters = logs_parameters, .answer = CONTENT_TEXT, .doc = "History of the serial console, or what a container has printed." },
	{ METHOD_GET, "/v1/instances/{name}/console", &handler_console, CALL_CONSOLE, KIND_INSTANCE, .status = 101,
	  .parameters = console_parameters, .answer = CONTENT_FRAMES,
	  .doc = "The serial console; binary frames both ways." },
	{ METHOD_GET, "/v1/instances/{name}/attach", &handler_attach, CALL_ATTACH_STREAM, KIND_INSTANCE, .status = 101,
	  .parameters = attach_parameters, .answer = CONTENT_FRAMES,
	  .doc = "The standard streams of a container's first process; frames as of exec, without a request." },
	{ METHOD_GET, "/v1/instances/{name}/exec", &handler_exec, CALL_EXEC, KIND_INSTANCE, .status = 101,
	  .body_table = &body_exec_table, .answer = CONTENT_FRAMES,
	  .doc = "Run a program in the guest. The first frame is text, the request; then binary frames whose first "
		 "byte is the channel: 0 stdin, 1 stdout, 2 stderr, 3 size; last a text frame with exit_code or error." },
	{ METHOD_GET, "/v1/instances/{name}/files", &handler_download, CALL_FILE_READ, KIND_INSTANCE, .status = 200,
	  .parameters = path_parameters, .answer = CONTENT_BYTES, .doc = "One regular file out of the guest." },
	{ METHOD_PUT, "/v1/instances/{name}/files", &handler_file_write, CALL_FILE_WRITE, KIND_INSTANCE, .status = 200,
	  .parameters = write_parameters, .body = CONTENT_BYTES, .answer = CONTENT_JSON,
	  .doc = "Write one regular file in the guest." },
	{ METHOD_GET, "/v1/instances/{name}/export", &handler_download, CALL_EXPORT, KIND_INSTANCE, .status = 200,
	  .answer = CONTENT_BYTES, .doc = "The instance as one tar file." },
	{ METHOD_GET, "/v1/instances/{name}/disk", &handler_download, CALL_DISK, KIND_INSTANCE, .status = 200,
	  .parameters = disk_parameters, .answer = CONTENT_BYTES, .doc = "Of an instance on its way, for the node it goes to: a disk, or a file beside it." },
	{ METHOD_GET, "/v1/images/{name}/export", &handler_download, CALL_IMAGE_EXPORT, KIND_IMAGE, .status = 200,
	  .parameters = image_parameters, .answer = CONTENT_BYTES, .doc = "The image's disk as qcow2, its kernel or initrd." },

	{ METHOD_POST, "/v1/uploads", &handler_upload, .kind = -1, .status = 201, .body = CONTENT_BYTES,
	  .answer = CONTENT_TABLE, .answer_table = &body_upload_table,
	  .doc = "Store the body, of any size, for a request that uses it." },
	{ METHOD_GET, "/v1/events", &handler_events, .kind = -1, .status = 200, .parameters = events_parameters,
	  .answer = CONTENT_LINES, .answer_table = &event_table, .doc = "What has happened, oldest first." },
	KIND_READS(KIND_NODE, "/v1/nodes", "{name}"),
	{ METHOD_PATCH, "/v1/nodes/{name}", &handler_call, CALL_UPDATE, KIND_NODE, .status = 200, .body = CONTENT_PATCH,
	  .answer = CONTENT_OBJECT, .doc = "Change labels, whether it takes new instances, or how it is switched off, by a merge patch (RFC 7396)." },
	{ METHOD_GET, "/v1/nodes/{name}/load", &handler_call, CALL_NODE_LOAD, KIND_NODE, .status = 200,
	  .answer = CONTENT_TABLE, .answer_table = &body_load_table, .doc = "How loaded the node is right now; only in a cluster." },
	{ METHOD_GET, "/v1/nodes/{name}/power", &handler_call, CALL_NODE_POWER, KIND_NODE, .status = 200, .answer = CONTENT_TABLE,
	  .answer_table = &body_power_table, .doc = "What the controller that would switch the node off (spec.power) says to this host." },
	{ METHOD_GET, "/v1/nodes/{name}/what-if/drain", &handler_call, CALL_WHAT_IF_DRAIN, KIND_NODE, .status = 200,
	  .answer = CONTENT_TABLE_LIST, .answer_table = &body_move_table, .doc = "Where all that runs there would go, if it had to." },
	{ METHOD_GET, "/v1/node", &handler_object, .kind = KIND_NODE, .single = "node", .status = 200,
	  .parameters = watch_parameters, .answer = CONTENT_OBJECT, .doc = "This host." },
	{ METHOD_GET, "/v1/config", &handler_object, .kind = -1, .single = "config", .status = 200,
	  .parameters = watch_parameters, .answer = CONTENT_TABLE, .answer_table = &config_table,
	  .doc = "Settings of the daemon." },
	{ METHOD_PATCH, "/v1/config", &handler_call, CALL_CONFIG, -1, .status = 200, .body = CONTENT_JSON,
	  .answer = CONTENT_TABLE, .answer_table = &config_table, .doc = "Change settings by a merge patch." },
	{ METHOD_GET, "/v1/doctor", &handler_call, CALL_DOCTOR, -1, .status = 200, .answer = CONTENT_TABLE_LIST,
	  .answer_table = &body_check_table, .doc = "Check every requirement of the host." },
	{ METHOD_GET, "/v1/backup", &handler_download, CALL_BACKUP, -1, .status = 200, .answer = CONTENT_BYTES,
	  .doc = "The store as one file." },
	{ METHOD_POST, "/v1/certificates", &handler_certificate, .kind = -1, .status = 201, .body = CONTENT_TABLE,
	  .body_table = &body_certificate_table, .answer = CONTENT_TABLE,
	  .answer_table = &body_certificate_answer_table, .unix_only = true,
	  .doc = "Issue a client certificate (unix socket only)." },
	{ METHOD_POST, "/v1/cluster/join", &handler_call, CALL_CLUSTER_JOIN, -1, .status = 200, .body = CONTENT_TABLE,
	  .body_table = &body_join_table, .answer = CONTENT_JSON,
	  .doc = "Let a new host into the cluster, for a join token; the one request that needs no client certificate." },
	{ METHOD_GET, "/v1/cluster", &handler_call, CALL_CLUSTER_SHOW, -1, .status = 200, .answer = CONTENT_TABLE,
	  .answer_table = &cluster_status_table, .doc = "Is this host in a cluster, and does its etcd answer?" },
	{ METHOD_POST, "/v1/cluster/init", &handler_call, CALL_CLUSTER_INIT, -1, .status = 202, .body = CONTENT_TABLE,
	  .body_table = &body_cluster_init_table, .answer = CONTENT_TABLE, .answer_table = &cluster_status_table,
	  .doc = "Make a cluster of this host; guests run on. Ask /v1/cluster how far it is: the daemon begins anew at the end." },
	{ METHOD_POST, "/v1/cluster/enter", &handler_call, CALL_CLUSTER_ENTER, -1, .status = 202, .body = CONTENT_TABLE,
	  .body_table = &body_cluster_enter_table, .answer = CONTENT_TABLE, .answer_table = &cluster_status_table,
	  .doc = "This host, which must be empty, joins a cluster. Ask /v1/cluster how far it is: the daemon begins anew at the end." },
	{ METHOD_POST, "/v1/cluster/leave", &handler_call, CALL_CLUSTER_LEAVE, -1, .status = 202, .body = CONTENT_JSON, .answer = CONTENT_TABLE,
	  .answer_table = &cluster_status_table,
	  .doc = "This host becomes one by itself: the last one with all that is stored, one of several only when it is empty." },
	{ METHOD_POST, "/v1/cluster/accept-restored", &handler_call, CALL_CLUSTER_ACCEPT_RESTORED, -1, .status = 200, .body = CONTENT_JSON,
	  .answer = CONTENT_JSON,
	  .doc = "The store was restored from a backup: what it does not know goes from each host when its daemon starts the next time." },
	{ METHOD_POST, "/v1/cluster/import", &handler_call, CALL_CLUSTER_IMPORT, -1, .status = 202, .body = CONTENT_TABLE,
	  .body_table = &body_receive_table, .answer = CONTENT_TABLE, .answer_table = &cluster_status_table,
	  .doc = "Put the objects of a backup into a store that has none." },
	{ METHOD_GET, "/v1/cluster/tokens", &handler_call, CALL_TOKEN_LIST, -1, .status = 200, .answer = CONTENT_TABLE_LIST,
	  .answer_table = &cluster_token_table, .doc = "Join tokens that were not used yet, without their secrets." },
	{ METHOD_POST, "/v1/cluster/tokens", &handler_call, CALL_TOKEN_CREATE, -1, .status = 201, .body = CONTENT_TABLE,
	  .body_table = &body_token_table, .answer = CONTENT_TABLE, .answer_table = &cluster_token_table,
	  .doc = "Make a token with which one host may join, once." },
	{ METHOD_DELETE, "/v1/cluster/tokens/{name}", &handler_call, CALL_TOKEN_REVOKE, -1, .status = 200, .answer = CONTENT_JSON,
	  .doc = "Make a token worthless." },
	KIND_DELETE(KIND_NODE, "/v1/nodes", "{name}"),
	{ METHOD_GET, "/v1/version", &handler_version, .kind = -1, .status = 200, .answer = CONTENT_TABLE,
	  .answer_table = &body_version_table, .doc = "Versions of the daemon and the API." },
	{ METHOD_GET, "/v1/openapi.json", &handler_openapi, .kind = -1, .status = 200, .answer = CONTENT_JSON,
	  .doc = "This description." },
};
const size_t route_count = ARRAY_COUNT(routes);

struct segments {
	char *items[ROUTE_SEGMENTS_MAX];
	size_t count;
};

/* Cuts at the slashes, in place. An empty last segment ("/v1/") does not count. */
static int split(char *path, struct segments *ret_segments)
{
	ret_segments->count = 0;
	while (*path == '/') {
		*path++ = '\0';
		if (!*path)
			return 0;
		if (ret_segments->count == ROUTE_SEGMENTS_MAX)
			return -E2BIG;
		ret_segments->items[ret_segments->count++] = path;
		path += strcspn(path, "/");
	}
	return *path ? -EINVAL : 0;
}

/* Puts the slashes back. */
static void join(const struct segments *segments)
{
	for (size_t i = 0; i < segments->count; i++)
		segments->items[i][-1] = '/';
}

static size_t count_segments(const char *pattern)
{
	size_t count = 0;

	for (; *pattern; pattern++)
		count += *pattern == '/';
	return count;
}

/* Names of images may have slashes: then several segments are one name. Returns how many. */
static size_t name_length(const char *pattern, const struct segments *segments)
{
	size_t wanted = count_segments(pattern);

	if (segments->count <= wanted || !text_starts_with(pattern, "/v1/images/{name}"))
		return 1;
	return segments->count - wanted + 1;
}

static bool pattern_fits(const char *pattern, const struct segments *segments, struct route_match *ret_match)
{
	const char *whole = pattern;
	size_t i = 0;

	ret_match->name = ret_match->child = NULL;
	ret_match->name_segments = 1;
	for (; *pattern == '/'; i++) {
		size_t length = strcspn(++pattern, "/");

		if (i == segments->count)
			return false;
		if (*pattern != '{') {
			if (strncmp(pattern, segments->items[i], length) != 0 || segments->items[i][length])
				return false;
		} else if (pattern[1] == 'n') {
			ret_match->name = segments->items[i];
			ret_match->name_segments = name_length(whole, segments);
			i += ret_match->name_segments - 1;
		} else {
			ret_match->child = segments->items[i];
		}
		pattern += length;
	}
	return i == segments->count;
}

static void allow_add(char allow[64], enum method method)
{
	size_t length = strlen(allow);

	if (!strstr(allow, method_names[method]))
		snprintf(allow + length, 64 - length, "%s%s", length ? ", " : "", method_names[method]);
}

/* Differences of the fixed segments; names are what they are. */
static size_t pattern_distance(const char *pattern, const struct segments *segments)
{
	size_t distance = 0, i = 0;

	for (; *pattern == '/'; i++) {
		size_t length = strcspn(++pattern, "/");
		char fixed[32];

		snprintf(fixed, sizeof(fixed), "%.*s", (int)length, pattern);
		if (i >= segments->count)
			distance += 8;
		else if (*pattern != '{')
			distance += text_distance(fixed, segments->items[i]) > 16 ? 16 : text_distance(fixed, segments->items[i]);
		pattern += length;
	}
	return distance + (segments->count > i ? 8 * (segments->count - i) : 0);
}

static const struct route *nearest_route(const struct segments *segments)
{
	const struct route *nearest = &routes[0];
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < route_count; i++) {
		size_t distance = pattern_distance(routes[i].pattern, segments);

		if (distance < least) {
			least = distance;
			nearest = &routes[i];
		}
	}
	return nearest;
}

/* The route whose pattern says most of the path itself: "GET .../x/export" is an export and not an image "x/export". */
static const struct route *find(enum method method, const struct segments *segments, struct route_match *ret_match,
				char allow[64])
{
	const struct route *best = NULL;
	struct route_match match = { 0 };

	allow[0] = '\0';
	for (size_t i = 0; i < route_count; i++) {
		if (!pattern_fits(routes[i].pattern, segments, &match))
			continue;
		allow_add(allow, routes[i].method);
		if (routes[i].method != method || (best && match.name_segments >= ret_match->name_segments))
			continue;
		best = &routes[i];
		*ret_match = match;
	}
	return best;
}

int route_find(enum method method, char *path, struct route_match *ret_match, char allow[64], struct err *err)
{
	struct segments segments;
	const struct route *route, *nearest;
	char first = path[0];
	int r;

	if (!text_is_utf8(path, strlen(path)))
		return err_set(err, -EINVAL, "the path '%s' is not UTF-8", shown(path));
	r = split(path, &segments);
	route = r == 0 ? find(method, &segments, ret_match, allow) : NULL;
	if (route) {
		for (size_t i = 1; i < ret_match->name_segments; i++)
			ret_match->name[strlen(ret_match->name)] = '/';
		ret_match->route = route;
		return 0;
	}
	nearest = nearest_route(&segments);
	path[0] = first;	/* Also where there are no segments: "/". */
	join(&segments);
	if (r == 0 && allow[0])
		return err_set(err, -EPERM, "'%s' cannot be asked with %s, but with %s", shown(path),
			       method < METHOD_COUNT ? method_names[method] : "this method", allow);
	allow[0] = '\0';
	return err_set(err, -ENOENT, "there is nothing at '%s': the nearest is %s %s; see /v1/openapi.json", shown(path),
		       method_names[nearest->method], nearest->pattern);
}

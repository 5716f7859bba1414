/*
 * Growing a running q35 machine: cpus by device_add on the free slots QEMU names, memory by
 * a DIMM of the difference. Giving back is not possible with either (ACPI eject needs the
 * guest's consent and Linux rarely gives it): that waits for the next start.
 */
#include <errno.h>
#include <stdio.h>

#include "driver/machine/qemu/guest_agent.h"
#include "driver/machine/qemu/qemu.h"

enum { DIMM_ALIGN_BYTES = 128 << 20 };	/* Linux onlines memory in blocks of this size. */

/* The answer lists every place for a cpu; those with a "qom-path" are taken. */
static size_t count_cpus(const struct json *slots)
{
	size_t count = 0;

	for (size_t i = 0; i < json_count(slots); i++)
		count += json_get(json_at(slots, i), "qom-path") != NULL;
	return count;
}

static void write_cpu(const struct json *slot, size_t number, struct str *out)
{
	struct json_writer writer = { .out = out };
	const struct json *properties = json_get(slot, "props");
	char id[32];

	snprintf(id, sizeof(id), "cpu-%zu", number);
	json_write_object(&writer, NULL);
	json_write_string(&writer, "driver", json_string(json_get(slot, "type"), ""));
	json_write_string(&writer, "id", id);
	for (size_t i = 0; i < json_count(properties); i++) {
		const char *key;
		const struct json *value = json_member(properties, i, &key);

		json_write_value(&writer, key, value);
	}
	json_write_end_object(&writer);
}

static int check_cpus(size_t present, size_t places, unsigned wanted, struct err *err)
{
	if (wanted < present)
		return err_set(err, -EOPNOTSUPP, "%u cpus: a running machine keeps its %zu: only at the next start",
			       wanted, present);
	if (wanted > places)
		return err_set(err, -EOPNOTSUPP, "%u cpus: this machine was started with room for %zu: only at the next start",
			       wanted, places);
	return 0;
}

static int grow_cpus(struct qmp *qmp, unsigned wanted, struct err *err)
{
	auto_json struct json *reply = NULL;
	const struct json *slots;
	size_t present;
	int r = qmp_call(qmp, "query-hotpluggable-cpus", NULL, &reply, err);

	if (r < 0)
		return r;
	slots = json_get(reply, "return");
	present = count_cpus(slots);
	r = check_cpus(present, json_count(slots), wanted, err);
	/* QEMU lists the slots from the last to the first; guests like them filled in order. */
	for (size_t i = json_count(slots); r == 0 && i-- > 0 && present < wanted;) {
		auto_str struct str cpu = { 0 };

		if (json_get(json_at(slots, i), "qom-path"))
			continue;
		write_cpu(json_at(slots, i), present++, &cpu);
		r = qmp_call(qmp, "device_add", cpu.data, NULL, err);
	}
	return r;
}

static int query_memory(struct qmp *qmp, uint64_t *ret_bytes, size_t *ret_dimms, struct err *err)
{
	auto_json struct json *size = NULL, *devices = NULL;
	int r = qmp_call(qmp, "query-memory-size-summary", NULL, &size, err);

	if (r == 0)
		r = qmp_call(qmp, "query-memory-devices", NULL, &devices, err);
	if (r < 0)
		return r;
	*ret_bytes = json_uint(json_path(size, "return.base-memory"), 0) +
		     json_uint(json_path(size, "return.plugged-memory"), 0);
	*ret_dimms = json_count(json_get(devices, "return"));
	return 0;
}

static int add_dimm(struct qmp *qmp, size_t number, uint64_t size_bytes, struct err *err)
{
	auto_free char *backend = text_format("{\"qom-type\":\"memory-backend-ram\",\"id\":\"memory-%zu\",\"size\":%llu}",
					      number, (unsigned long long)size_bytes);
	auto_free char *dimm = text_format("{\"driver\":\"pc-dimm\",\"id\":\"dimm-%zu\",\"memdev\":\"memory-%zu\"}", number, number);
	auto_free char *undo = text_format("{\"id\":\"memory-%zu\"}", number);
	int r = qmp_call(qmp, "object-add", backend, NULL, err);

	if (r < 0)
		return r;
	r = qmp_call(qmp, "device_add", dimm, NULL, err);
	if (r < 0)
		qmp_call(qmp, "object-del", undo, NULL, &(struct err){ 0 });
	return r;
}

static int grow_memory(struct qmp *qmp, uint64_t wanted, struct err *err)
{
	uint64_t present;
	size_t dimms;
	int r = query_memory(qmp, &present, &dimms, err);

	if (r < 0 || wanted == present)
		return r;
	if (wanted < present)
		return err_set(err, -EOPNOTSUPP, "a running machine keeps its %llu MiB of memory: only at the next start",
			       (unsigned long long)present >> 20);
	if ((wanted - present) % DIMM_ALIGN_BYTES)
		return err_set(err, -EOPNOTSUPP, "memory of a running machine grows in steps of 128 MiB: else only at the next start");
	r = add_dimm(qmp, dimms, wanted - present, err);
	if (r < 0)
		return err_set(err, -EOPNOTSUPP, "this machine was started without room for %llu MiB of memory: only at the next start",
			       (unsigned long long)wanted >> 20);
	return 0;
}

static int check_type(struct qmp *qmp, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = qmp_call(qmp, "qom-get", "{\"path\":\"/machine\",\"property\":\"type\"}", &reply, err);

	if (r < 0)
		return r;
	if (text_equal(json_string(json_get(reply, "return"), ""), "microvm-machine"))
		return err_set(err, -EOPNOTSUPP, "a microvm has no hot-plug: only at the next start");
	return 0;
}

static int resize(struct qmp *qmp, unsigned cpus, uint64_t memory_bytes, struct err *err)
{
	int r = check_type(qmp, err);

	if (r == 0 && cpus)
		r = grow_cpus(qmp, cpus, err);
	if (r == 0 && memory_bytes)
		r = grow_memory(qmp, memory_bytes, err);
	return r;
}

int qemu_resize(struct machine_driver *driver, const char *uid, unsigned cpus, uint64_t memory_bytes, struct err *err)
{
	struct qemu *qemu = qemu_of(driver);
	struct qmp qmp;
	int r = qemu_connect(qemu, uid, QMP_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = resize(&qmp, cpus, memory_bytes, err);
	qmp_close(&qmp);
	if (r == 0)
		guest_online(qemu, uid, cpus > 0, memory_bytes > 0);
	return r;
}

/*
 * Theory of operation.
 *
 * q35 is a PC: firmware, PCI express, hot-plug of cpus and memory. microvm has virtio-mmio
 * devices, which the guest finds through ACPI (Debian's kernels do not read them
 * from the command line), and boots only kernels. Both have the same devices: the root disk
 * is virtio-blk, a virtio-scsi controller takes every other disk and is what is plugged live,
 * virtio-serial carries guest agent and terminal, an ISA serial port is the console.
 *
 * The clock of a microvm: the only reference a guest has to measure its time stamp counter is the
 * interval timer, and under emulation on a busy host this measurement fails and the boot
 * hangs for ever. Under TCG the guest's counter runs as fast as the host's, so the kernel is told.
 */
#include "driver/machine/qemu/qemu_args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "driver/machine/qemu/disk.h"

enum { MEMORY_SLOTS = 16, UUID_LENGTH = 36 };

static void add(struct qemu_args *args, const char *option, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add(struct qemu_args *args, const char *option, const char *format, ...)
{
	char text[512];
	va_list list;
	int length;

	va_start(list, format);
	length = vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	if (length < 0 || (size_t)length >= sizeof(text))
		abort();		/* Long values go through add_text(). */
	*vec_push(&args->items) = text_copy(option);
	*vec_push(&args->items) = text_copy(text);
}

static void add_text(struct qemu_args *args, const char *option, const char *value)
{
	*vec_push(&args->items) = text_copy(option);
	*vec_push(&args->items) = text_copy(value);
}

static void add_flag(struct qemu_args *args, const char *option)
{
	*vec_push(&args->items) = text_copy(option);
}

static bool is_microvm(const struct qemu_plan *plan)
{
	return plan->config->type == MACHINE_MICROVM;
}

/* virtio devices sit on PCI or, in a microvm, on memory-mapped slots. */
static const char *virtio_suffix(const struct qemu_plan *plan)
{
	return is_microvm(plan) ? "device" : "pci";
}

static void add_virtio(struct qemu_args *args, const struct qemu_plan *plan, const char *device, const char *properties)
{
	add(args, "-device", "virtio-%s-%s%s%s", device, virtio_suffix(plan), *properties ? "," : "", properties);
}

/* The file as an fd set, so that QEMU can open it by name as often as it wants. */
static void add_fd_set(struct qemu_args *args, int fd, const char *purpose)
{
	add(args, "-add-fd", "fd=%d,set=%d,opaque=%s", fd, fd, purpose);
}

/* QEMU's option syntax doubles commas. */
static void append_escaped(struct str *out, const char *text)
{
	for (; *text; text++) {
		str_append_char(out, *text);
		if (*text == ',')
			str_append_char(out, ',');
	}
}

/* The machine itself */

static void add_identity(struct qemu_args *args, const struct machine_config *config)
{
	auto_str struct str name = { 0 };

	str_append(&name, "guest=");
	append_escaped(&name, config->name ? config->name : config->uid);
	add_text(args, "-name", name.data);
	if (strlen(config->uid) == UUID_LENGTH)
		add_text(args, "-uuid", config->uid);
}

static void add_machine(struct qemu_args *args, const struct qemu_plan *plan)
{
	if (is_microvm(plan))
		add_text(args, "-machine", "microvm,acpi=on,pcie=off,rtc=on,isa-serial=on,auto-kernel-cmdline=off");
	else if (plan->firmware >= 0)
		add_text(args, "-machine", "q35,vmport=off,sata=off,pflash0=code,pflash1=nvram");
	else
		add_text(args, "-machine", "q35,vmport=off,sata=off,smm=off");
	add_text(args, "-accel", plan->has_kvm ? "kvm" : "tcg");
	add_text(args, "-cpu", plan->has_kvm ? "host" : "max");
}

static void add_cpus_and_memory(struct qemu_args *args, const struct machine_config *config)
{
	unsigned long long memory = config->memory_bytes, max_memory = config->max_memory_bytes;
	bool can_grow = config->type == MACHINE_Q35;

	if (can_grow && config->max_cpus > config->cpus)
		add(args, "-smp", "cpus=%u,maxcpus=%u", config->cpus, config->max_cpus);
	else
		add(args, "-smp", "cpus=%u", config->cpus);
	if (can_grow && max_memory > memory)
		add(args, "-m", "size=%lluB,slots=%d,maxmem=%lluB", memory, MEMORY_SLOTS, max_memory);
	else
		add(args, "-m", "size=%lluB", memory);
}

static void add_confinement(struct qemu_args *args)
{
	add_flag(args, "-nodefaults");
	add_flag(args, "-no-user-config");
	add_text(args, "-display", "none");
	add_text(args, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	/* A guest that is off waits to be seen: so a daemon that was away learns how it ended. After a
	 * panic the guest's own setting ("panic=") decides. */
	add_text(args, "-action", "shutdown=pause,panic=none");
}

/* Boot */

static void add_kernel(struct qemu_args *args, const struct qemu_plan *plan)
{
	const char *cmdline = plan->config->cmdline ? plan->config->cmdline : "console=ttyS0";
	auto_str struct str text = { 0 };

	add(args, "-kernel", "/proc/self/fd/%d", plan->kernel);
	if (plan->initrd >= 0)
		add(args, "-initrd", "/proc/self/fd/%d", plan->initrd);
	str_append(&text, cmdline);
	if (is_microvm(plan) && !plan->has_kvm && plan->tsc_khz)
		str_printf(&text, " tsc_early_khz=%u", plan->tsc_khz);
	add_text(args, "-append", text.data);
}

static void add_firmware(struct qemu_args *args, const struct qemu_plan *plan)
{
	add_fd_set(args, plan->firmware, "firmware");
	add(args, "-blockdev", "driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=/dev/fdset/%d",
	    plan->firmware);
	add_fd_set(args, plan->nvram, "nvram");
	add(args, "-blockdev", "driver=qcow2,node-name=nvram,file.driver=file,file.filename=/dev/fdset/%d", plan->nvram);
}

static void add_boot(struct qemu_args *args, const struct qemu_plan *plan)
{
	if (plan->firmware >= 0)
		add_firmware(args, plan);
	if (plan->kernel >= 0)
		add_kernel(args, plan);
	if (plan->is_incoming)
		add_text(args, "-incoming", "defer");
	if (plan->is_incoming || plan->config->memory_snapshot)
		add_flag(args, "-S");	/* Until the memory is loaded. */
}

/* Monitors and ports */

static void add_socket(struct qemu_args *args, const char *id, int fd)
{
	add(args, "-chardev", "socket,id=%s,fd=%d,server=on,wait=off", id, fd);
}

static void add_monitors(struct qemu_args *args, const struct qemu_plan *plan)
{
	add_socket(args, "qmp", plan->qmp);
	add_text(args, "-mon", "chardev=qmp,mode=control");
	add_socket(args, "events", plan->events);
	add_text(args, "-mon", "chardev=events,mode=control");
	add_socket(args, "migration", plan->migration);
	add_text(args, "-mon", "chardev=migration,mode=control");
}

static void add_console(struct qemu_args *args, const struct qemu_plan *plan)
{
	if (plan->console_log >= 0) {
		add_fd_set(args, plan->console_log, "console");
		add(args, "-chardev", "socket,id=console,fd=%d,server=on,wait=off,logfile=/dev/fdset/%d,logappend=on",
		    plan->console, plan->console_log);
	} else {
		add_socket(args, "console", plan->console);
	}
	add_text(args, "-serial", "chardev:console");
}

static void add_serial_ports(struct qemu_args *args, const struct qemu_plan *plan)
{
	add_virtio(args, plan, "serial", "id=serial");
	/* systemd starts a login on hvc0 whenever it exists, so the terminal is hvc1. */
	add_text(args, "-chardev", "null,id=unused");
	add_text(args, "-device", "virtconsole,chardev=unused,nr=0");
	add_socket(args, "terminal", plan->terminal);
	add_text(args, "-device", "virtconsole,chardev=terminal,id=terminal,nr=1");
	add_socket(args, "agent", plan->agent);
	add_text(args, "-device", "virtserialport,chardev=agent,id=agent,nr=2,name=org.qemu.guest_agent.0");
}

/* Devices */

static void add_disk(struct qemu_args *args, const struct qemu_plan *plan, const struct machine_disk *disk, const int *fds)
{
	auto_str struct str device = { 0 };
	char purpose[DISK_NAME_SIZE];

	disk_fd_purpose(disk->id, purpose);
	for (size_t i = disk->layer_count; i-- > 0;) {
		auto_str struct str node = { 0 };

		add_fd_set(args, fds[i], purpose);
		disk_layer_json(disk, i, fds[i], &node);
		add_text(args, "-blockdev", node.data);
	}
	disk_device_json(disk, virtio_suffix(plan), &device);
	add_text(args, "-device", device.data);
}

static void add_disks(struct qemu_args *args, const struct qemu_plan *plan)
{
	const int *fds = plan->layers;

	add_virtio(args, plan, "scsi", "id=scsi");
	for (size_t i = 0; i < plan->config->disk_count; i++) {
		const struct machine_disk *disk = &plan->config->disks[i];

		add_disk(args, plan, disk, fds);
		fds += disk->layer_count;
	}
}

static void add_nic(struct qemu_args *args, const struct qemu_plan *plan, size_t index)
{
	const struct machine_nic *nic = &plan->config->nics[index];
	const uint8_t *mac = nic->mac;
	auto_str struct str device = { 0 };

	add(args, "-netdev", "tap,id=nic%zu,fd=%d", index, plan->taps[index]);
	str_printf(&device, "virtio-net-%s,netdev=nic%zu,mac=%02x:%02x:%02x:%02x:%02x:%02x",
		   virtio_suffix(plan), index, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	if (nic->mtu)
		str_printf(&device, ",host_mtu=%u", nic->mtu);
	if (!is_microvm(plan))
		str_append(&device, ",romfile=");	/* No network boot; saves loading a ROM. */
	add_text(args, "-device", device.data);
}

static void add_small_devices(struct qemu_args *args, const struct qemu_plan *plan)
{
	add_virtio(args, plan, "rng", "");
	add_virtio(args, plan, "balloon", "id=balloon,free-page-reporting=on,deflate-on-oom=on");
	if (!is_microvm(plan))
		add_text(args, "-device", "pvpanic");
	if (plan->vsock >= 0)
		add(args, "-device", "vhost-vsock-%s,guest-cid=%u,vhostfd=%d", virtio_suffix(plan),
		    plan->config->vsock_cid, plan->vsock);
	if (plan->display >= 0) {
		add_text(args, "-device", "VGA");
		add(args, "-vnc", "unix:/proc/self/fd/%d/vnc", plan->display);
	}
}

void qemu_args_build(const struct qemu_plan *plan, struct qemu_args *args)
{
	add_flag(args, plan->program);
	add_identity(args, plan->config);
	add_confinement(args);
	add_machine(args, plan);
	add_cpus_and_memory(args, plan->config);
	add_boot(args, plan);
	add_monitors(args, plan);
	add_console(args, plan);
	add_serial_ports(args, plan);
	add_disks(args, plan);
	for (size_t i = 0; i < plan->config->nic_count; i++)
		add_nic(args, plan, i);
	add_small_devices(args, plan);
	*vec_push(&args->items) = NULL;
}

void qemu_args_done(struct qemu_args *args)
{
	for (size_t i = 0; i < args->items.count; i++)
		free(args->items.items[i]);
	vec_done(&args->items);
}

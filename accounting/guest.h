// SPDX-License-Identifier: GPL-2.0-or-later
// What the plugins see of a deterministic guest: its vCPUs, QEMU's count of instructions, privilege
// domains and phases.
//
// QEMU under -icount knows exactly how many instructions were executed, including those of a
// translation block that an exception or an access to a device cut short. So instead of counting
// blocks, the plugins read QEMU's own count where something changes that they tell apart, and charge
// the difference to what was before.
//
// QEMU 10.0 passes the index of the vCPU that translated a block, not of the one that executes it,
// when all of them share a thread; current_cpu, which QEMU exports, tells the right one.
//
// Domains: by the privilege level for which a block was translated and by its address.
//   user     ring 3
//   kernel   ring 0 in the upper half of the address space: Linux
//   ring0    ring 0 in the lower half: a guest of the guest that runs programs there, and firmware
// Phases: a guest program begins phase N by the instruction `nopl 0x5242xxxx(%rax)`, where xxxx is
// N; see dataplane/base/phase.h. Phase 0 is what comes before the first.
// Turns: a program that polls begins each turn of its loop with such an instruction too, and tells with
// another one at its end when the turn has found something to do.
#pragma once

#include <qemu-plugin.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VCPUS = 64, MAX_PHASES = 16, LONGEST_INSTRUCTION = 15 };
enum { MARKER_BYTES = 7, MARKER_TAG = 0x5242, TURN_BEGINS = 0x100, TURN_BUSY = 0x101 };
enum domain { USER, KERNEL, RING0, DOMAINS };

// QEMU's own, exported because it loads modules.
struct CPUState;
extern __thread struct CPUState *current_cpu __attribute__((tls_model("initial-exec")));
void icount_update(struct CPUState *cpu);
int64_t icount_get_raw(void);

static const char *const domain_names[DOMAINS] = {"user", "kernel", "ring0"};

static struct CPUState *vcpus[MAX_VCPUS];
static unsigned vcpu_count;

// The privilege level for which the current vCPU translates is read from this.
static struct qemu_plugin_register *code_segment;

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("accounting: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	abort();
}

// Instructions executed so far by all vCPUs, the whole block that is being entered included.
// icount_get_raw() refuses to answer within a block unless no vCPU is current; icount_update() has
// brought the count up to date before.
static inline int64_t executed(void)
{
	struct CPUState *cpu = current_cpu;
	icount_update(cpu);
	current_cpu = NULL;
	int64_t count = icount_get_raw();
	current_cpu = cpu;
	return count;
}

static inline unsigned index_of(const struct CPUState *cpu)
{
	for (unsigned index = 0; index < vcpu_count; index++)
		if (vcpus[index] == cpu)
			return index;
	die("an unknown vCPU executes");
}

static inline struct qemu_plugin_register *find_register(const char *name)
{
	struct qemu_plugin_register *found = NULL;
	GArray *registers = qemu_plugin_get_registers();
	for (unsigned i = 0; i < registers->len; i++) {
		qemu_plugin_reg_descriptor *one = &g_array_index(registers, qemu_plugin_reg_descriptor, i);
		if (strcmp(one->name, name) == 0)
			found = one->handle;
	}
	g_array_free(registers, TRUE);
	if (found == NULL)
		die("QEMU knows no register %s", name);
	return found;
}

// A register of the current vCPU.
static inline uint64_t read_register(struct qemu_plugin_register *handle)
{
	static GByteArray *bytes;
	if (bytes == NULL)
		bytes = g_byte_array_new();
	g_byte_array_set_size(bytes, 0);
	int size = qemu_plugin_read_register(handle, bytes);
	uint64_t value = 0;
	if (size < 1 || size > (int)sizeof(value))
		die("a register cannot be read");
	memcpy(&value, bytes->data, (size_t)size);
	return value;
}

// Called for each vCPU when it begins to exist.
static inline void know_vcpu(unsigned index)
{
	if (index >= MAX_VCPUS)
		die("more than %d vCPUs", MAX_VCPUS);
	vcpus[index] = current_cpu;
	if (index >= vcpu_count)
		vcpu_count = index + 1;
	if (code_segment == NULL)
		code_segment = find_register("cs");
}

// The domain of a block while it is being translated. It is found again only by a vCPU at the same
// privilege level.
static inline enum domain domain_of(const struct qemu_plugin_tb *block)
{
	if ((read_register(code_segment) & 3) == 3)
		return USER;
	return qemu_plugin_tb_vaddr(block) >> 63 ? KERNEL : RING0;
}

// What an instruction marks: a phase, TURN_BEGINS, TURN_BUSY; or -1.
static inline int marker(const struct qemu_plugin_insn *instruction)
{
	uint8_t code[MARKER_BYTES];
	if (qemu_plugin_insn_size(instruction) != sizeof(code))
		return -1;
	qemu_plugin_insn_data(instruction, code, sizeof(code));
	if (code[0] != 0x0f || code[1] != 0x1f || code[2] != 0x80)
		return -1;
	uint32_t tag = (uint32_t)code[3] | (uint32_t)code[4] << 8 | (uint32_t)code[5] << 16 | (uint32_t)code[6] << 24;
	int mark = (int)(tag & 0xffff);
	if (tag >> 16 != MARKER_TAG)
		return -1;
	return mark < MAX_PHASES || mark == TURN_BEGINS || mark == TURN_BUSY ? mark : -1;
}

// The value of NAME=VALUE among a plugin's arguments. NULL after a complaint when there is none.
static inline char *argument(const char *name, int argc, char **argv)
{
	size_t length = strlen(name);
	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
			return g_strdup(argv[i] + length + 1);
	fprintf(stderr, "accounting: %s=FILE is needed\n", name);
	return NULL;
}

static inline int is_supported(const qemu_info_t *info)
{
	if (strcmp(info->target_name, "x86_64") == 0)
		return 1;
	fprintf(stderr, "accounting: made for x86_64, not for %s\n", info->target_name);
	return 0;
}

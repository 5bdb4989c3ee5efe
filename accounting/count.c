// SPDX-License-Identifier: GPL-2.0-or-later
// Counts the instructions that a deterministic guest executes, by vCPU, privilege domain and phase,
// without changing what it does.
//
// QEMU under -icount knows exactly how many instructions were executed, including those of a
// translation block that an exception or an access to a device cut short. So instead of counting
// blocks, the plugin reads QEMU's own count whenever execution moves to another vCPU, domain or
// phase, and charges the difference to where it was before. It costs a comparison per block.
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
//
// Argument: out=FILE, written as JSON at the end.

#include <inttypes.h>
#include <qemu-plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { MAX_VCPUS = 64, MAX_PHASES = 16, MARKER_BYTES = 7, MARKER_TAG = 0x5242 };
enum domain { USER, KERNEL, RING0, DOMAINS };

// QEMU's own, exported because it loads modules.
struct CPUState;
extern __thread struct CPUState *current_cpu __attribute__((tls_model("initial-exec")));
void icount_update(struct CPUState *cpu);
int64_t icount_get_raw(void);

static const char *const domain_names[DOMAINS] = {"user", "kernel", "ring0"};

static struct CPUState *vcpus[MAX_VCPUS];
static unsigned vcpu_count;
static uint64_t counts[MAX_PHASES][MAX_VCPUS][DOMAINS];
static char *out_path;

// Where execution is, and QEMU's count when it came there.
static struct CPUState *at_cpu;
static unsigned at_vcpu, at_domain, at_phase;
static int64_t since;

// What a block is, in the pointer that its callback gets: domain and number of instructions.
static void *pack(enum domain domain, size_t instructions)
{
	return (void *)(uintptr_t)(instructions << 2 | domain);
}

// Instructions executed so far by all vCPUs, the whole block that is being entered included.
// icount_get_raw() refuses to answer within a block unless no vCPU is current; icount_update() has
// brought the count up to date before.
static int64_t executed(void)
{
	struct CPUState *cpu = current_cpu;
	icount_update(cpu);
	current_cpu = NULL;
	int64_t count = icount_get_raw();
	current_cpu = cpu;
	return count;
}

static unsigned index_of(const struct CPUState *cpu)
{
	for (unsigned index = 0; index < vcpu_count; index++)
		if (vcpus[index] == cpu)
			return index;
	fprintf(stderr, "count: an unknown vCPU executes\n");
	abort();
}

static void charge(int64_t now)
{
	// What was executed before a snapshot is not ours to count.
	if (at_cpu == NULL)
		since = now;
	counts[at_phase][at_vcpu][at_domain] += (uint64_t)(now - since);
	since = now;
}

static void on_block(unsigned translator, void *packed)
{
	(void)translator;
	enum domain domain = (uintptr_t)packed & 3;
	if (current_cpu == at_cpu && domain == at_domain)
		return;
	charge(executed() - (int64_t)((uintptr_t)packed >> 2));
	at_domain = domain;
	if (current_cpu != at_cpu) {
		at_cpu = current_cpu;
		at_vcpu = index_of(at_cpu);
	}
}

// The marker ends up in the middle of a block, whose callback has been called: everything up to
// the end of the block belongs to the new phase, which is the same few instructions every time.
static void on_marker(unsigned translator, void *phase)
{
	(void)translator;
	charge(executed());
	at_phase = (unsigned)(uintptr_t)phase;
}

static int marker(struct qemu_plugin_insn *instruction)
{
	uint8_t code[MARKER_BYTES];
	if (qemu_plugin_insn_size(instruction) != sizeof(code))
		return -1;
	qemu_plugin_insn_data(instruction, code, sizeof(code));
	if (code[0] != 0x0f || code[1] != 0x1f || code[2] != 0x80)
		return -1;
	uint32_t tag = (uint32_t)code[3] | (uint32_t)code[4] << 8 | (uint32_t)code[5] << 16 | (uint32_t)code[6] << 24;
	return tag >> 16 == MARKER_TAG && (tag & 0xffff) < MAX_PHASES ? (int)(tag & 0xffff) : -1;
}

// The privilege level for which the current vCPU translates. A block is found again only by a vCPU
// at the same level.
static struct qemu_plugin_register *code_segment;

static unsigned privilege_level(void)
{
	static GByteArray *value;
	if (value == NULL)
		value = g_byte_array_new();
	g_byte_array_set_size(value, 0);
	if (qemu_plugin_read_register(code_segment, value) < 1) {
		fprintf(stderr, "count: the code segment cannot be read\n");
		abort();
	}
	return value->data[0] & 3;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
	(void)id;
	uint64_t address = qemu_plugin_tb_vaddr(block);
	size_t instructions = qemu_plugin_tb_n_insns(block);
	enum domain domain = privilege_level() == 3 ? USER : address >> 63 ? KERNEL : RING0;
	qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, QEMU_PLUGIN_CB_NO_REGS, pack(domain, instructions));
	for (size_t index = 0; index < instructions; index++) {
		struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
		int phase = marker(instruction);
		if (phase >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_marker, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)phase);
	}
}

static void on_vcpu(qemu_plugin_id_t id, unsigned index)
{
	(void)id;
	if (index >= MAX_VCPUS) {
		fprintf(stderr, "count: more than %d vCPUs\n", MAX_VCPUS);
		abort();
	}
	vcpus[index] = current_cpu;
	if (index >= vcpu_count)
		vcpu_count = index + 1;
	if (code_segment != NULL)
		return;
	GArray *registers = qemu_plugin_get_registers();
	for (unsigned i = 0; i < registers->len; i++) {
		qemu_plugin_reg_descriptor *one = &g_array_index(registers, qemu_plugin_reg_descriptor, i);
		if (strcmp(one->name, "cs") == 0)
			code_segment = one->handle;
	}
	g_array_free(registers, TRUE);
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *unused)
{
	(void)id;
	(void)unused;
	counts[at_phase][at_vcpu][at_domain] += (uint64_t)(icount_get_raw() - since);
	FILE *out = fopen(out_path, "w");
	if (out == NULL) {
		perror(out_path);
		return;
	}
	fprintf(out, "{\"schema\": 1, \"phases\": [");
	for (unsigned phase = 0; phase < MAX_PHASES; phase++) {
		fprintf(out, "%s\n  [", phase ? "," : "");
		for (unsigned vcpu = 0; vcpu < vcpu_count; vcpu++) {
			fprintf(out, "%s{", vcpu ? ", " : "");
			for (unsigned domain = 0; domain < DOMAINS; domain++)
				fprintf(out, "%s\"%s\": %" PRIu64, domain ? ", " : "", domain_names[domain],
					counts[phase][vcpu][domain]);
			fprintf(out, "}");
		}
		fprintf(out, "]");
	}
	fprintf(out, "\n]}\n");
	if (fclose(out) != 0)
		perror(out_path);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (strcmp(info->target_name, "x86_64") != 0) {
		fprintf(stderr, "count: made for x86_64, not for %s\n", info->target_name);
		return -1;
	}
	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], "out=", 4) == 0)
			out_path = g_strdup(argv[i] + 4);
	if (out_path == NULL) {
		fprintf(stderr, "count: out=FILE is needed\n");
		return -1;
	}
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}

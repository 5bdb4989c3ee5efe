// SPDX-License-Identifier: GPL-2.0-or-later
// Counts the instructions that a deterministic guest executes, by vCPU, privilege domain and phase,
// without changing what it does. guest.h says what those are.
//
// Whenever execution moves to another vCPU, domain or phase, what QEMU counted since the last such
// move is charged to where execution was. It costs a comparison per block.
//
// Argument: out=FILE, written as JSON at the end.

#include "guest.h"

#include <inttypes.h>
#include <stdbool.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static uint64_t counts[MAX_PHASES][MAX_VCPUS][DOMAINS];

// Of these, what idle turns of polling loops executed outside the kernel: from the beginning of a turn
// to that of the next one, when neither told of work between.
static uint64_t idle[MAX_PHASES][MAX_VCPUS];
static uint64_t turns_begun[MAX_PHASES][MAX_VCPUS], turns_idle[MAX_PHASES][MAX_VCPUS];
static struct turn {
	unsigned phase;
	bool open, busy;
	uint64_t since; // of counts, outside the kernel
} turns[MAX_VCPUS];

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

static uint64_t outside_kernel(void)
{
	return counts[at_phase][at_vcpu][USER] + counts[at_phase][at_vcpu][RING0];
}

static void on_turn_begins(unsigned translator, void *unused)
{
	(void)translator;
	(void)unused;
	struct turn *turn = &turns[at_vcpu];
	charge(executed());
	turns_begun[at_phase][at_vcpu]++;
	uint64_t now = outside_kernel();
	if (turn->open && !turn->busy && turn->phase == at_phase) {
		idle[at_phase][at_vcpu] += now - turn->since;
		turns_idle[at_phase][at_vcpu]++;
	}
	*turn = (struct turn){.open = true, .phase = at_phase, .since = now};
}

static void on_turn_busy(unsigned translator, void *unused)
{
	(void)translator;
	(void)unused;
	turns[at_vcpu].busy = true;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
	(void)id;
	size_t instructions = qemu_plugin_tb_n_insns(block);
	enum domain domain = domain_of(block);
	qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, QEMU_PLUGIN_CB_NO_REGS, pack(domain, instructions));
	for (size_t index = 0; index < instructions; index++) {
		struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
		int mark = marker(instruction);
		if (mark < 0)
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(instruction,
						       mark == TURN_BEGINS ? on_turn_begins
						       : mark == TURN_BUSY ? on_turn_busy
									   : on_marker,
						       QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)mark);
	}
}

static void on_vcpu(qemu_plugin_id_t id, unsigned index)
{
	(void)id;
	know_vcpu(index);
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
	fprintf(out, "\n], \"turns\": [");
	for (unsigned phase = 0; phase < MAX_PHASES; phase++) {
		fprintf(out, "%s\n  [", phase ? "," : "");
		for (unsigned vcpu = 0; vcpu < vcpu_count; vcpu++)
			fprintf(out,
				"%s{\"begun\": %" PRIu64 ", \"idle\": %" PRIu64 ", \"idle_instructions\": %" PRIu64 "}",
				vcpu ? ", " : "", turns_begun[phase][vcpu], turns_idle[phase][vcpu], idle[phase][vcpu]);
		fprintf(out, "]");
	}
	fprintf(out, "\n]}\n");
	if (fclose(out) != 0)
		perror(out_path);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (!is_supported(info) || (out_path = argument("out", argc, argv)) == NULL)
		return -1;
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}

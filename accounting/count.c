// SPDX-License-Identifier: GPL-2.0-or-later
// Counts the instructions that a deterministic guest executes, by vCPU, privilege domain and phase,
// without changing what it does. guest.h says what those are.
//
// Whenever execution moves to another vCPU, domain or phase, what QEMU counted since the last such
// move is charged to where execution was. It costs a comparison per block.
//
// Of these, atomic instructions and fences (locked.h) are counted one by one, by calls that only they make:
// before each is executed, so that one whose page is missing, and which is repeated, counts twice.
//
// Argument: out=FILE, written as JSON at the end.

#include "guest.h"
#include "locked.h"

#include <inttypes.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

// What is counted, and under which names it is written: by domain, and in idle turns.
enum kind { ALL, ATOMIC, FENCE, KINDS };
static const char *const kind_names[KINDS] = {"phases", "locked", "barriers"};
static const char *const idle_names[KINDS] = {"idle_instructions", "idle_locked", "idle_barriers"};

static uint64_t counts[MAX_PHASES][MAX_VCPUS][DOMAINS][KINDS];

// Of these, what idle turns of polling loops executed outside the kernel: from the beginning of a turn
// to that of the next one, when neither told of work between.
static uint64_t idle[MAX_PHASES][MAX_VCPUS][KINDS];
static uint64_t turns_begun[MAX_PHASES][MAX_VCPUS], turns_idle[MAX_PHASES][MAX_VCPUS];
static struct turn {
	unsigned phase;
	bool open, busy;
	uint64_t since[KINDS]; // of counts, outside the kernel
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
	counts[at_phase][at_vcpu][at_domain][ALL] += (uint64_t)(now - since);
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

// The block that it is in has been entered, so where execution is has been looked at.
static void on_atomic(unsigned translator, void *found)
{
	(void)translator;
	uint64_t *count = counts[at_phase][at_vcpu][at_domain];
	count[ATOMIC] += ((uintptr_t)found & LOCKED) != 0;
	count[FENCE] += ((uintptr_t)found & BARRIER) != 0;
}

static uint64_t outside_kernel(enum kind kind)
{
	return counts[at_phase][at_vcpu][USER][kind] + counts[at_phase][at_vcpu][RING0][kind];
}

static void on_turn_begins(unsigned translator, void *unused)
{
	(void)translator;
	(void)unused;
	struct turn *turn = &turns[at_vcpu];
	charge(executed());
	turns_begun[at_phase][at_vcpu]++;
	bool was_idle = turn->open && !turn->busy && turn->phase == at_phase;
	turns_idle[at_phase][at_vcpu] += was_idle;
	for (enum kind kind = ALL; kind < KINDS; kind++) {
		uint64_t now = outside_kernel(kind);
		if (was_idle)
			idle[at_phase][at_vcpu][kind] += now - turn->since[kind];
		turn->since[kind] = now;
	}
	turn->open = true;
	turn->busy = false;
	turn->phase = at_phase;
}

static void on_turn_busy(unsigned translator, void *unused)
{
	(void)translator;
	(void)unused;
	turns[at_vcpu].busy = true;
}

// LOCKED and BARRIER of locked.h.
static unsigned atomics(const struct qemu_plugin_insn *instruction)
{
	uint8_t code[LONGEST_INSTRUCTION];
	return atomics_of(code, qemu_plugin_insn_data(instruction, code, sizeof(code)));
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
		unsigned found = atomics(instruction);
		if (found)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_atomic, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)found);
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

static void write_counts(FILE *out, enum kind kind)
{
	fprintf(out, "\"%s\": [", kind_names[kind]);
	for (unsigned phase = 0; phase < MAX_PHASES; phase++) {
		fprintf(out, "%s\n  [", phase ? "," : "");
		for (unsigned vcpu = 0; vcpu < vcpu_count; vcpu++) {
			fprintf(out, "%s{", vcpu ? ", " : "");
			for (unsigned domain = 0; domain < DOMAINS; domain++)
				fprintf(out, "%s\"%s\": %" PRIu64, domain ? ", " : "", domain_names[domain],
					counts[phase][vcpu][domain][kind]);
			fprintf(out, "}");
		}
		fprintf(out, "]");
	}
	fprintf(out, "\n], ");
}

static void write_turns(FILE *out)
{
	fprintf(out, "\"turns\": [");
	for (unsigned phase = 0; phase < MAX_PHASES; phase++) {
		fprintf(out, "%s\n  [", phase ? "," : "");
		for (unsigned vcpu = 0; vcpu < vcpu_count; vcpu++) {
			fprintf(out, "%s{\"begun\": %" PRIu64 ", \"idle\": %" PRIu64, vcpu ? ", " : "",
				turns_begun[phase][vcpu], turns_idle[phase][vcpu]);
			for (enum kind kind = ALL; kind < KINDS; kind++)
				fprintf(out, ", \"%s\": %" PRIu64, idle_names[kind], idle[phase][vcpu][kind]);
			fprintf(out, "}");
		}
		fprintf(out, "]");
	}
	fprintf(out, "\n]");
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *unused)
{
	(void)id;
	(void)unused;
	counts[at_phase][at_vcpu][at_domain][ALL] += (uint64_t)(icount_get_raw() - since);
	FILE *out = fopen(out_path, "w");
	if (out == NULL) {
		perror(out_path);
		return;
	}
	fprintf(out, "{\"schema\": 1, ");
	for (enum kind kind = ALL; kind < KINDS; kind++)
		write_counts(out, kind);
	write_turns(out);
	fprintf(out, "}\n");
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

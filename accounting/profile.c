// SPDX-License-Identifier: GPL-2.0-or-later
// Profiles the measured phase of a deterministic guest: its instructions by place and call stack, by vCPU and privilege domain, without changing what it does. guest.h says what vCPUs,
// domains and phases are.
//
// Nothing is sampled. At every block, what QEMU counted since the one before is charged to that one
// and to the call stack on which it ran, so that the sums are those of count.c, to the instruction. In
// the end each block's count is spread over its instructions, which it has executed equally often, as
// inlined functions begin and end anywhere in it.
//
// Call stacks are kept, not unwound: Linux and Debian's programs have no frame pointers, and unwinding
// by tables (ORC for Linux, .eh_frame for programs) would need all of them in here, at every block.
// Instead a `call` pushes its own place beside the stack pointer under which its return address lies,
// and a `ret` drops what lies at its stack pointer or below. Comparing stack pointers makes this
// robust: frames that were left without a `ret` are dropped by the next `call` or `ret` above them,
// a `call` that faulted and is repeated is pushed once, and the `ret` with which a retpoline jumps
// drops just the thunk's frame.
//
// Such a stack is kept for each stack of the guest: in Linux, for each aligned 16 KiB, which is what a
// task has; elsewhere, for each thread, told by page table and FS base. What Linux does for a program
// hangs below that program's frames, and what it does on an interrupt stack below the frames that
// moved there. Tasks that are older than the snapshot are seen from their next call on.
//
// Places: in Linux, the address. In programs, a page and an offset into it, where a page is what its
// 4096 bytes are: programs share the translated blocks of a library though each maps it elsewhere, and
// by its content a page is found again in the file it was mapped from. Pages are numbered by their
// order in the file of pages.
//
// A program that polls marks its turns (guest.h). What idle turns execute outside Linux is no place's,
// but counted by vCPU alone, as count.c does: a turn's counts are kept aside until it is known which it is.
//
// Arguments: out=FILE, JSON: `nodes`, pairs of a parent (0: none) and the place of a call, numbered
// from 1; `cells`, fives of a vCPU, a domain, a node, a place and instructions; `idle`, pairs of a vCPU and
// the instructions of its idle turns.
// pages=FILE: the pages themselves.

#include "guest.h"

#include <inttypes.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { PAGE = 4096, STACK_BITS = 14, MEASURED = 2 };

struct block {
	uint64_t number;
	unsigned instructions;
	enum domain domain;
	uint64_t places[]; // of each instruction
};

// What a frame is in the tree of calls: where it was called, in which frame.
struct node {
	uint64_t place;
	uint32_t parent;
};

struct frame {
	uint64_t pointer; // the stack pointer while the function's return address is on top
	uint32_t node;
};

struct stack {
	uint64_t key[2];
	uint32_t base; // the node below which its first frame hangs
	size_t depth, room;
	struct frame *frames;
};

struct vcpu {
	struct stack *stack;
	struct stack entry; // while Linux has been entered and has not called anything yet
	enum domain domain;
	uint32_t node;
	const struct block *block;
};

// Of a block, by its number, while counting; of an instruction, by its place, in the end.
struct cell {
	uint64_t place, count;
	uint32_t node;
	uint16_t vcpu, domain;
};

// A turn that has begun: what it has executed outside Linux, until it is known to be busy.
struct turn {
	struct cell *cells;
	size_t count, room;
	bool open, busy, measured; // measured: it began in that phase
};

static char *out_path, *pages_path;
static struct qemu_plugin_register *stack_pointer, *page_table, *thread;
static struct vcpu state[MAX_VCPUS];
static struct turn turns[MAX_VCPUS];
static uint64_t idle[MAX_VCPUS];
static GHashTable *stacks;

// Where execution is, and QEMU's count when it came there.
static struct CPUState *at_cpu;
static unsigned at_vcpu, at_phase;
static int64_t since;

// --- tables -----------------------------------------------------------------------------------

static uint64_t mix(uint64_t a, uint64_t b)
{
	a = (a ^ b * 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93;
	return a ^ a >> 32;
}

// The calls: nodes[0] is none. Their table holds numbers of nodes, 0 where it is free.
static struct node *nodes;
static uint32_t *node_table, node_count = 1;
static size_t node_room = 1 << 12;

static uint32_t *node_slot(uint32_t parent, uint64_t place)
{
	size_t mask = 2 * node_room - 1, at = mix(place, parent) & mask;
	while (node_table[at] && (nodes[node_table[at]].place != place || nodes[node_table[at]].parent != parent))
		at = (at + 1) & mask;
	return &node_table[at];
}

static void grow_nodes(void)
{
	node_room *= 2;
	nodes = g_renew(struct node, nodes, node_room);
	g_free(node_table);
	node_table = g_new0(uint32_t, 2 * node_room);
	for (uint32_t node = 1; node < node_count; node++)
		*node_slot(nodes[node].parent, nodes[node].place) = node;
}

static uint32_t child(uint32_t parent, uint64_t place)
{
	uint32_t *slot = node_slot(parent, place);
	if (*slot)
		return *slot;
	if (node_count == node_room) {
		grow_nodes();
		slot = node_slot(parent, place);
	}
	nodes[node_count] = (struct node){.place = place, .parent = parent};
	return *slot = node_count++;
}

// What was counted. A free cell's count is 0.
static struct cell *cells;
static size_t cell_count, cell_room = 1 << 14;

static struct cell *cell_slot(const struct cell *wanted)
{
	size_t mask = cell_room - 1, at = mix(wanted->place, (uint64_t)wanted->vcpu << 32 | wanted->node) & mask;
	for (;; at = (at + 1) & mask) {
		struct cell *cell = &cells[at];
		if (cell->count == 0 || (cell->place == wanted->place && cell->node == wanted->node &&
					 cell->vcpu == wanted->vcpu && cell->domain == wanted->domain))
			return cell;
	}
}

static void add(const struct cell *what)
{
	struct cell *slot = cell_slot(what);
	if (slot->count != 0) {
		slot->count += what->count;
		return;
	}
	*slot = *what;
	if (++cell_count < cell_room / 2)
		return;
	struct cell *before = cells;
	size_t room = cell_room;
	cell_room *= 2;
	cells = g_new0(struct cell, cell_room);
	for (size_t at = 0; at < room; at++)
		if (before[at].count != 0)
			*cell_slot(&before[at]) = before[at];
	g_free(before);
}

// Blocks, by their numbers. Never freed: QEMU does not tell when it drops one.
static GPtrArray *blocks;

// From counts of blocks to those of their instructions. What has left a block before its end, as by a fault, is no whole
// number of times all of it: the rest is of its first instructions.
static void spread_blocks(void)
{
	struct cell *counted = cells;
	size_t room = cell_room;
	cells = g_new0(struct cell, cell_room);
	cell_count = 0;
	for (size_t at = 0; at < room; at++) {
		struct cell cell = counted[at];
		if (cell.count == 0)
			continue;
		const struct block *block = blocks->pdata[cell.place];
		uint64_t times = cell.count / block->instructions, rest = cell.count % block->instructions;
		for (unsigned index = 0; index < block->instructions; index++) {
			cell.place = block->places[index];
			cell.count = times + (index < rest);
			if (cell.count != 0)
				add(&cell);
		}
	}
	g_free(counted);
}

// Pages of programs, told apart by their bytes: a table of their numbers.
static GPtrArray *pages;
static GHashTable *page_numbers;

static guint page_hash(gconstpointer page)
{
	uint64_t hash = 0, word;
	for (size_t at = 0; at < PAGE; at += sizeof(word)) {
		memcpy(&word, (const char *)page + at, sizeof(word));
		hash = mix(hash, word);
	}
	return (guint)hash;
}

static gboolean page_equal(gconstpointer one, gconstpointer other)
{
	return memcmp(one, other, PAGE) == 0;
}

static uint64_t page_number(const void *page)
{
	gpointer number;
	if (g_hash_table_lookup_extended(page_numbers, page, NULL, &number))
		return GPOINTER_TO_SIZE(number);
	size_t next = pages->len;
	void *copy = g_memdup2(page, PAGE);
	g_ptr_array_add(pages, copy);
	g_hash_table_insert(page_numbers, copy, GSIZE_TO_POINTER(next));
	return next;
}

// The place of an instruction that is being translated.
static uint64_t place_of(const struct qemu_plugin_insn *instruction, enum domain domain)
{
	if (domain == KERNEL)
		return qemu_plugin_insn_vaddr(instruction);
	uintptr_t address = (uintptr_t)qemu_plugin_insn_haddr(instruction);
	// Code in a device, such as a ROM that firmware has not copied yet.
	if (address == 0)
		die("an instruction is not in memory");
	return page_number((const void *)(address & ~(uintptr_t)(PAGE - 1))) * PAGE + address % PAGE;
}

// --- call stacks ------------------------------------------------------------------------------

static guint stack_hash(gconstpointer stack)
{
	const uint64_t *key = stack;
	return (guint)mix(key[0], key[1]);
}

static gboolean stack_equal(gconstpointer one, gconstpointer other)
{
	return memcmp(one, other, sizeof(((struct stack *)NULL)->key)) == 0;
}

static struct stack *find_stack(uint64_t first, uint64_t second)
{
	const uint64_t key[2] = {first, second};
	struct stack *found = g_hash_table_lookup(stacks, key);
	if (found == NULL) {
		found = g_new0(struct stack, 1);
		memcpy(found->key, key, sizeof(key));
		g_hash_table_insert(stacks, found->key, found);
	}
	return found;
}

static uint32_t top(const struct stack *stack)
{
	return stack->depth ? stack->frames[stack->depth - 1].node : stack->base;
}

// Drop the frames whose return address lies at `pointer` or below.
static void drop(struct stack *stack, uint64_t pointer)
{
	while (stack->depth && stack->frames[stack->depth - 1].pointer <= pointer)
		stack->depth--;
}

static void push(struct stack *stack, uint64_t pointer, uint64_t place)
{
	uint32_t node = child(top(stack), place);
	if (stack->depth == stack->room) {
		stack->room = stack->room ? 2 * stack->room : 32;
		stack->frames = g_renew(struct frame, stack->frames, stack->room);
	}
	stack->frames[stack->depth++] = (struct frame){.pointer = pointer, .node = node};
}

// Linux's stack at a stack pointer. A program's is chosen when the program is entered.
static struct stack *stack_at(const struct vcpu *vcpu, uint64_t pointer)
{
	uint64_t key = pointer >> STACK_BITS;
	if (vcpu->domain != KERNEL || vcpu->stack->key[0] == key)
		return vcpu->stack;
	return find_stack(key, 0);
}

static void on_call(unsigned translator, void *place)
{
	(void)translator;
	struct vcpu *vcpu = &state[at_vcpu];
	uint64_t pointer = read_register(stack_pointer) - 8;
	struct stack *stack = stack_at(vcpu, pointer);
	drop(stack, pointer);
	// Whoever moves to an empty stack and calls something from there, calls it from where it was.
	if (stack != vcpu->stack && stack->depth == 0)
		stack->base = top(vcpu->stack);
	vcpu->stack = stack;
	push(stack, pointer, (uintptr_t)place);
}

// Linux also goes from one task to another by `ret`.
static void on_return(unsigned translator, void *unused)
{
	(void)translator;
	(void)unused;
	struct vcpu *vcpu = &state[at_vcpu];
	uint64_t pointer = read_register(stack_pointer);
	vcpu->stack = stack_at(vcpu, pointer);
	drop(vcpu->stack, pointer);
}

static void change_domain(struct vcpu *vcpu, enum domain domain)
{
	if (domain == KERNEL) {
		vcpu->entry.base = vcpu->stack ? child(vcpu->node, vcpu->block->places[0]) : 0;
		vcpu->stack = &vcpu->entry;
	} else {
		// Without the bits that tell Linux's from the program's, and one CPU's from another's.
		uint64_t table = read_register(page_table) >> 13;
		vcpu->stack = find_stack(table << 2 | domain, read_register(thread));
	}
	vcpu->domain = domain;
}

// --- counting ---------------------------------------------------------------------------------

static void keep_aside(struct turn *turn, const struct cell *cell)
{
	if (turn->count == turn->room) {
		turn->room = turn->room ? 2 * turn->room : 64;
		turn->cells = g_renew(struct cell, turn->cells, turn->room);
	}
	turn->cells[turn->count++] = *cell;
}

static void charge(int64_t now)
{
	const struct vcpu *vcpu = &state[at_vcpu];
	struct turn *turn = &turns[at_vcpu];
	// What was executed before a snapshot is not ours to count.
	if (at_cpu != NULL && at_phase == MEASURED && now != since) {
		const struct cell cell = {
			.place = vcpu->block->number,
			.count = (uint64_t)(now - since),
			.node = vcpu->node,
			.vcpu = (uint16_t)at_vcpu,
			.domain = (uint16_t)vcpu->domain,
		};
		if (turn->open && !turn->busy && vcpu->domain != KERNEL)
			keep_aside(turn, &cell);
		else
			add(&cell);
	}
	since = now;
}

// The turn of a vCPU is known to have been idle, or not to have been.
static void settle(unsigned vcpu, bool was_idle)
{
	struct turn *turn = &turns[vcpu];
	for (size_t at = 0; at < turn->count; at++)
		if (was_idle)
			idle[vcpu] += turn->cells[at].count;
		else
			add(&turn->cells[at]);
	turn->count = 0;
}

static void on_block(unsigned translator, void *data)
{
	(void)translator;
	const struct block *block = data;
	charge(executed() - (int64_t)block->instructions);
	if (current_cpu != at_cpu) {
		at_cpu = current_cpu;
		at_vcpu = index_of(at_cpu);
	}
	struct vcpu *vcpu = &state[at_vcpu];
	if (vcpu->stack == NULL || vcpu->domain != block->domain)
		change_domain(vcpu, block->domain);
	vcpu->node = top(vcpu->stack);
	vcpu->block = block;
}

// As in count.c.
static void on_marker(unsigned translator, void *phase)
{
	(void)translator;
	charge(executed());
	at_phase = (unsigned)(uintptr_t)phase;
}

// A turn counts as idle as a whole or not at all: not when a phase began or ended in it.
static void on_turn_begins(unsigned translator, void *unused)
{
	(void)translator;
	(void)unused;
	struct turn *turn = &turns[at_vcpu];
	charge(executed());
	settle(at_vcpu, !turn->busy && turn->measured && at_phase == MEASURED);
	turn->open = true;
	turn->busy = false;
	turn->measured = at_phase == MEASURED;
}

static void on_turn_busy(unsigned translator, void *unused)
{
	(void)translator;
	(void)unused;
	turns[at_vcpu].busy = true;
	settle(at_vcpu, false);
}

// --- translation ------------------------------------------------------------------------------

static bool is_prefix(uint8_t byte)
{
	static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3};
	return byte >> 4 == 4 || memchr(prefixes, byte, sizeof(prefixes)) != NULL;
}

// Only the near forms: the far ones and `iret` go between domains.
static void watch_calls(struct qemu_plugin_insn *instruction, uint64_t place)
{
	uint8_t code[LONGEST_INSTRUCTION];
	size_t size = qemu_plugin_insn_data(instruction, code, sizeof(code)), at = 0;
	while (at + 1 < size && is_prefix(code[at]))
		at++;
	bool is_indirect = code[at] == 0xff && at + 1 < size && (code[at + 1] >> 3 & 7) == 2;
	if (code[at] == 0xe8 || is_indirect)
		qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_call, QEMU_PLUGIN_CB_R_REGS,
						       (void *)(uintptr_t)place);
	else if (code[at] == 0xc2 || code[at] == 0xc3)
		qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_return, QEMU_PLUGIN_CB_R_REGS, NULL);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *translated)
{
	(void)id;
	size_t instructions = qemu_plugin_tb_n_insns(translated);
	struct block *block = g_malloc(sizeof(*block) + instructions * sizeof(block->places[0]));
	block->number = blocks->len;
	g_ptr_array_add(blocks, block);
	block->domain = domain_of(translated);
	block->instructions = (unsigned)instructions;
	qemu_plugin_register_vcpu_tb_exec_cb(translated, on_block, QEMU_PLUGIN_CB_R_REGS, block);
	for (size_t index = 0; index < instructions; index++) {
		struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(translated, index);
		block->places[index] = place_of(instruction, block->domain);
		int mark = marker(instruction);
		if (mark >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(instruction,
							       mark == TURN_BEGINS ? on_turn_begins
							       : mark == TURN_BUSY ? on_turn_busy
										   : on_marker,
							       QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)mark);
		watch_calls(instruction, block->places[index]);
	}
}

static void on_vcpu(qemu_plugin_id_t id, unsigned index)
{
	(void)id;
	know_vcpu(index);
	if (stack_pointer != NULL)
		return;
	stack_pointer = find_register("rsp");
	page_table = find_register("cr3");
	thread = find_register("fs_base");
}

// --- the end ----------------------------------------------------------------------------------

static FILE *open_for_writing(const char *path)
{
	FILE *file = fopen(path, "w");
	if (file == NULL)
		perror(path);
	return file;
}

static void write_pages(void)
{
	FILE *out = open_for_writing(pages_path);
	if (out == NULL)
		return;
	for (size_t page = 0; page < pages->len; page++)
		fwrite(pages->pdata[page], PAGE, 1, out);
	if (fclose(out) != 0)
		perror(pages_path);
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *unused)
{
	(void)id;
	(void)unused;
	charge(icount_get_raw());
	for (unsigned vcpu = 0; vcpu < vcpu_count; vcpu++)
		settle(vcpu, false);
	spread_blocks();
	write_pages();
	FILE *out = open_for_writing(out_path);
	if (out == NULL)
		return;
	fprintf(out, "{\"schema\": 1, \"nodes\": [");
	for (uint32_t node = 1; node < node_count; node++)
		fprintf(out, "%s\n%" PRIu32 ", %" PRIu64, node > 1 ? "," : "", nodes[node].parent, nodes[node].place);
	fprintf(out, "],\n\"cells\": [");
	const char *separator = "";
	for (size_t at = 0; at < cell_room; at++) {
		const struct cell *cell = &cells[at];
		if (cell->count == 0)
			continue;
		fprintf(out, "%s\n%u, %u, %" PRIu32 ", %" PRIu64 ", %" PRIu64, separator, cell->vcpu, cell->domain,
			cell->node, cell->place, cell->count);
		separator = ",";
	}
	fprintf(out, "],\n\"idle\": [");
	for (unsigned vcpu = 0; vcpu < vcpu_count; vcpu++)
		fprintf(out, "%s%u, %" PRIu64, vcpu ? ", " : "", vcpu, idle[vcpu]);
	fprintf(out, "]}\n");
	if (fclose(out) != 0)
		perror(out_path);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	if (!is_supported(info) || (out_path = argument("out", argc, argv)) == NULL ||
	    (pages_path = argument("pages", argc, argv)) == NULL)
		return -1;
	nodes = g_new(struct node, node_room);
	node_table = g_new0(uint32_t, 2 * node_room);
	cells = g_new0(struct cell, cell_room);
	blocks = g_ptr_array_new();
	pages = g_ptr_array_new();
	page_numbers = g_hash_table_new(page_hash, page_equal);
	stacks = g_hash_table_new(stack_hash, stack_equal);
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
// What locked.h says of instructions, in the words of a disassembler.

#include "locked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 15, NEITHER = 0, BOTH = LOCKED | BARRIER };

struct row {
	unsigned atomics;
	const char *code; // bytes in hexadecimal
	const char *text;
};

static const struct row rows[] = {
	// A LOCK prefix, among others, and before an opcode of any length
	{LOCKED, "f0 ff 07", "lock incl (%rdi)"},
	{LOCKED, "f0 48 ff 07", "lock incq (%rdi)"},
	{LOCKED, "f0 0f b1 37", "lock cmpxchg %esi,(%rdi)"},
	{LOCKED, "f0 48 0f b1 37", "lock cmpxchg %rsi,(%rdi)"},
	{LOCKED, "f0 48 0f c7 0f", "lock cmpxchg16b (%rdi)"},
	{LOCKED, "f0 0f c1 07", "lock xadd %eax,(%rdi)"},
	{LOCKED, "66 f0 0f c1 07", "lock xadd %ax,(%rdi), LOCK after 66"},
	{LOCKED, "f0 66 0f c1 07", "lock xadd %ax,(%rdi), LOCK before 66"},
	{LOCKED, "f2 f0 ff 07", "xacquire lock incl (%rdi)"},
	{LOCKED, "f0 f3 ff 07", "xrelease lock incl (%rdi)"},
	{LOCKED, "f0 64 ff 04 25 10 00 00 00", "lock incl %fs:16"},
	{LOCKED, "65 67 f0 44 0f b1 0f", "lock cmpxchg %r9d,%gs:(%edi)"},
	{LOCKED, "48 f0 ff 07", "lock incl (%rdi), after a REX that does not count"},
	{LOCKED, "f0 0f ba 2f 03", "lock btsl $3,(%rdi)"},
	// XCHG is locked by itself, with memory
	{LOCKED, "87 07", "xchg %eax,(%rdi)"},
	{LOCKED, "48 87 07", "xchg %rax,(%rdi)"},
	{LOCKED, "66 87 07", "xchg %ax,(%rdi)"},
	{LOCKED, "86 47 01", "xchg %al,1(%rdi)"},
	{LOCKED, "f0 87 07", "lock xchg %eax,(%rdi)"},
	{LOCKED, "f3 87 07", "xrelease xchg %eax,(%rdi)"},
	{LOCKED, "87 04 24", "xchg %eax,(%rsp)"},
	{LOCKED, "87 05 f0 00 00 00", "xchg %eax,240(%rip)"},
	{NEITHER, "87 d8", "xchg %ebx,%eax"},
	{NEITHER, "48 87 d8", "xchg %rbx,%rax"},
	{NEITHER, "86 f0", "xchg %dh,%al"},
	{NEITHER, "66 90", "xchg %ax,%ax"},
	{NEITHER, "48 93", "xchg %rbx,%rax, the short form"},
	// Fences
	{BOTH, "f0 48 83 0c 24 00", "lock orq $0,(%rsp)"},
	{BOTH, "f0 83 0c 24 00", "lock orl $0,(%rsp)"},
	{BOTH, "f0 83 44 24 fc 00", "lock addl $0,-4(%rsp), as Linux has it"},
	{BOTH, "f0 83 44 24 80 00", "lock addl $0,-128(%rsp), as DPDK has it"},
	{BOTH, "f0 83 84 24 00 ff ff ff 00", "lock addl $0,-256(%rsp)"},
	{BOTH, "f0 80 0c 24 00", "lock orb $0,(%rsp)"},
	{BOTH, "f0 81 0c 24 00 00 00 00", "lock orl $0,(%rsp), the long form"},
	{BOTH, "66 f0 81 0c 24 00 00", "lock orw $0,(%rsp), the long form"},
	{BOTH, "66 f0 48 81 0c 24 00 00 00 00", "lock orq $0,(%rsp), where 66 does not count"},
	{BOTH, "41 f0 83 0c 24 00", "lock orl $0,(%rsp), after a REX that does not count"},
	{BARRIER, "0f ae f0", "mfence"},
	// What changes the stack, is not on it, or not by the own pointer alone
	{LOCKED, "f0 83 0c 24 01", "lock orl $1,(%rsp)"},
	{LOCKED, "f0 81 0c 24 00 00 00 01", "lock orl $0x1000000,(%rsp)"},
	{LOCKED, "f0 83 24 24 00", "lock andl $0,(%rsp)"},
	{LOCKED, "f0 83 0f 00", "lock orl $0,(%rdi)"},
	{LOCKED, "f0 83 4d 00 00", "lock orl $0,0(%rbp)"},
	{LOCKED, "f0 83 4f 24 00", "lock orl $0,36(%rdi), whose distance looks like rsp"},
	{LOCKED, "f0 41 83 0c 24 00", "lock orl $0,(%r12)"},
	{LOCKED, "f0 83 0c 0c 00", "lock orl $0,(%rsp,%rcx)"},
	{LOCKED, "f0 42 83 0c 24 00", "lock orl $0,(%rsp,%r12)"},
	{LOCKED, "64 f0 83 0c 24 00", "lock orl $0,%fs:(%rsp)"},
	{LOCKED, "f0 01 04 24", "lock addl %eax,(%rsp)"},
	// Neither
	{NEITHER, "83 0c 24 00", "orl $0,(%rsp)"},
	{NEITHER, "0f b1 37", "cmpxchg %esi,(%rdi), not locked"},
	{NEITHER, "0f c1 07", "xadd %eax,(%rdi), not locked"},
	{NEITHER, "0f ae e8", "lfence"},
	{NEITHER, "0f ae f8", "sfence"},
	{NEITHER, "0f ae 37", "xsaveopt (%rdi)"},
	{NEITHER, "f3 0f ae f0", "umonitor %rax"},
	{NEITHER, "66 0f ae f0", "tpause %eax"},
	{NEITHER, "f2 0f ae f0", "umwait %eax"},
	{NEITHER, "90", "nop"},
	{NEITHER, "f3 90", "pause"},
	{NEITHER, "0f 1f 80 00 01 42 52", "a mark of base/phase.h"},
	// Bytes like a LOCK prefix, or like XCHG, elsewhere
	{NEITHER, "b8 f0 00 00 00", "mov $0xf0,%eax"},
	{NEITHER, "04 f0", "add $0xf0,%al"},
	{NEITHER, "83 c0 f0", "add $-16,%eax"},
	{NEITHER, "8b 47 f0", "mov -16(%rdi),%eax"},
	{NEITHER, "e9 f0 ff 07 00", "jmp"},
	{NEITHER, "48 b8 f0 ff 07 f0 ff 07 f0 ff", "movabs"},
	{NEITHER, "0f 87 07 00 00 00", "ja"},
	{NEITHER, "c5 f0 58 c2", "vaddps %xmm2,%xmm1,%xmm0"},
	{NEITHER, "c5 f0 c6 c2 f0", "vshufps $0xf0,%xmm2,%xmm1,%xmm0"},
	{NEITHER, "c4 e2 f0 f2 07", "andn (%rdi),%rcx,%rax"},
	{NEITHER, "62 f1 74 48 58 07", "vaddps (%rdi),%zmm1,%zmm0"},
	{NEITHER, "62 f1 75 48 fe 87 00 f0 87 07", "vpaddd 0x787f000(%rdi),%zmm1,%zmm0"},
	// Not all of an instruction
	{NEITHER, "", "nothing"},
	{NEITHER, "f0", "a prefix"},
	{NEITHER, "66 f0 48", "prefixes"},
	{NEITHER, "87", "xchg with what?"},
	{NEITHER, "0f ae", "mfence, or another"},
	{NEITHER, "0f", "the first byte of many"},
	{LOCKED, "f0 83", "lock, and no operand"},
	{LOCKED, "f0 83 0c", "lock orl, and half an operand"},
	{LOCKED, "f0 83 0c 24", "lock orl, (%rsp), without what"},
	{LOCKED, "f0 81 0c 24 00 00 00", "the same, of which a byte is there not"},
	{LOCKED, "f0 83 44 24", "lock addl, without distance"},
};

// At the very end of a piece of memory, for the sanitizers to see what is read beyond.
static unsigned told(const struct row *row)
{
	uint8_t bytes[LONGEST];
	size_t size = 0;
	const char *at = row->code;
	for (char *end; *at != '\0' && size < sizeof(bytes); at = end)
		bytes[size++] = (uint8_t)strtoul(at, &end, 16);
	uint8_t *memory = malloc(LONGEST);
	if (memory == NULL)
		abort();
	uint8_t *code = memory + LONGEST - size;
	memcpy(code, bytes, size);
	unsigned atomics = atomics_of(code, size);
	free(memory);
	return atomics;
}

int main(void)
{
	unsigned wrong = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned atomics = told(&rows[i]);
		if (atomics == rows[i].atomics)
			continue;
		wrong++;
		fprintf(stderr, "%s (%s): %u, not %u\n", rows[i].text, rows[i].code, atomics, rows[i].atomics);
	}
	printf("%zu instructions, %u of them wrong\n", sizeof(rows) / sizeof(rows[0]), wrong);
	return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

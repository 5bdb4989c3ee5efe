// SPDX-License-Identifier: GPL-2.0-or-later
// Which instructions are atomic, told from their bytes: 64-bit code of x86. Uses nothing of QEMU's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What an instruction is, as a set. A locked one that changes nothing but orders all others is both.
//   LOCKED   reads, changes and writes memory as one step: it has a LOCK prefix, or it is an XCHG with
//            memory, which needs none
//   BARRIER  a locked ADD or OR of 0 to the own stack, which is how compilers, DPDK and Linux write a
//            full fence; or MFENCE, which is not locked
enum { LOCKED = 1, BARRIER = 2 };

enum {
	XCHG_BYTE = 0x86,
	XCHG_WORD = 0x87,
	GROUP1_BYTE = 0x80, // ADD, OR and six others with an immediate
	GROUP1_WORD = 0x81,
	GROUP1_SHORT = 0x83, // the same as a word, of which the immediate is one byte
	GROUP1_ADD = 0,
	GROUP1_OR = 1,
	REGISTER = 3, // mod of a ModRM byte: the operand is no memory
	HAS_SIB = 4,  // r/m of a ModRM byte otherwise
	RSP = 4,
	NO_INDEX = 4,
	REX_B = 1,
	REX_X = 2,
	REX_W = 8,
};

struct prefixes {
	size_t size;
	uint8_t rex; // 0: none that counts
	bool lock, repeat, operand, segment;
};

// Prefixes stand in any order, and of those called REX only one right before the opcode counts. VEX and EVEX are
// opcodes here: what follows them is no prefix, and nothing that they encode can be locked.
static inline struct prefixes prefixes_of(const uint8_t *code, size_t size)
{
	struct prefixes found = {.size = 0};
	for (; found.size < size; found.size++) {
		uint8_t byte = code[found.size];
		if ((byte & 0xf0) == 0x40) {
			found.rex = byte;
			continue;
		}
		if (byte == 0xf0)
			found.lock = true;
		else if (byte == 0xf2 || byte == 0xf3)
			found.repeat = true;
		else if (byte == 0x66)
			found.operand = true;
		else if (byte == 0x64 || byte == 0x65)
			found.segment = true; // FS, GS; the others mean nothing
		else if (byte != 0x67 && byte != 0x2e && byte != 0x36 && byte != 0x3e && byte != 0x26)
			return found;
		found.rex = 0;
	}
	return found;
}

// Whether an instruction with these prefixes adds 0 to, or sets no bit of, what lies at the stack pointer and a distance.
// code: from the opcode on, to the very end.
static inline bool leaves_stack_alone(struct prefixes prefixes, const uint8_t *code, size_t size)
{
	if (size < 4 || (code[0] != GROUP1_BYTE && code[0] != GROUP1_WORD && code[0] != GROUP1_SHORT))
		return false;
	uint8_t mod = code[1] >> 6, operation = code[1] >> 3 & 7, rm = code[1] & 7;
	uint8_t index = code[2] >> 3 & 7, base = code[2] & 7;
	if ((operation != GROUP1_ADD && operation != GROUP1_OR) || mod == REGISTER || rm != HAS_SIB)
		return false;
	if (base != RSP || index != NO_INDEX || prefixes.rex & (REX_B | REX_X) || prefixes.segment)
		return false;
	size_t distance = mod == 0 ? 0 : mod == 1 ? 1 : 4;
	size_t immediate = code[0] != GROUP1_WORD ? 1 : prefixes.operand && !(prefixes.rex & REX_W) ? 2 : 4;
	if (size != 3 + distance + immediate)
		return false;
	for (size_t at = 3 + distance; at < size; at++)
		if (code[at] != 0)
			return false;
	return true;
}

// LOCKED and BARRIER, of one instruction with all its bytes; 0: neither.
static inline unsigned atomics_of(const uint8_t *code, size_t size)
{
	struct prefixes prefixes = prefixes_of(code, size);
	const uint8_t *opcode = code + prefixes.size;
	size_t left = size - prefixes.size;
	// A LOCK prefix without an opcode is not all of an instruction.
	if (left == 0)
		return 0;
	if (left >= 2 && (opcode[0] == XCHG_BYTE || opcode[0] == XCHG_WORD) && opcode[1] >> 6 != REGISTER)
		return LOCKED;
	if (prefixes.lock)
		return leaves_stack_alone(prefixes, opcode, left) ? LOCKED | BARRIER : LOCKED;
	bool is_mfence = left == 3 && opcode[0] == 0x0f && opcode[1] == 0xae && (opcode[2] & 0xf8) == 0xf0;
	// With these prefixes it is UMONITOR, UMWAIT or TPAUSE.
	return is_mfence && !prefixes.repeat && !prefixes.operand ? BARRIER : 0;
}

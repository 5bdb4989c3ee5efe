// SPDX-License-Identifier: Apache-2.0
/*
 * Marks the phases of an experiment for whoever counts the machine's instructions from outside. A mark is one
 * instruction without any effect, so it stays in every build; only the accounting plugin of a guest on virtual time
 * (accounting/count.c) looks for it. It counts for the whole machine, so one thread marks for all. /
 */
#pragma once

enum rb_phase {
	RB_PHASE_SETUP, /* never marked: what was before the first mark */
	RB_PHASE_WARMUP,
	RB_PHASE_MEASURED,
	RB_PHASE_RUNDOWN,
};

/* `nopl 0x5242xxxx(%rax)`: "RB" and the phase in the displacement, which nothing reads. */
#define rb_phase_begin(phase) \
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 0x52420000 + %c0" : : "i"(phase) : "memory")

/*
 * A thread that polls marks the turns of its loop: each at its beginning, and, before the next one begins, that it has
 * found something to do. What the turns without this mark execute is idling, and counted apart. /
 */
#define rb_turn_begins() __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 0x52420100" : : : "memory")
#define rb_turn_busy()	 __asm__ volatile(".byte 0x0f, 0x1f, 0x80; .long 0x52420101" : : : "memory")

// SPDX-License-Identifier: Apache-2.0
/* The guard `none`, private: a thread's state as none.S and none.c see it. The GS base points to it. */
#pragma once

/* Offsets in struct rb_guard_thread. The call comes first: its address is the thread's. */
#define NONE_CALL_NUMBER 0
#define NONE_CALL_A	 8
#define NONE_CALL_B	 16
#define NONE_CALL_C	 24
#define NONE_SELF	 32
#define NONE_APP_FS	 40
#define NONE_APP_RSP	 48
#define NONE_APP_MXCSR	 56
#define NONE_APP_FCW	 60
#define NONE_DATA_FS	 64
#define NONE_DATA_RSP	 72
#define NONE_DATA_MXCSR	 80
#define NONE_DATA_FCW	 84
#define NONE_FRAME	 88
#define NONE_REGISTERS	 144

/* The registers that a called function keeps, and then the return address. */
#define NONE_FRAME_WORDS  7
#define NONE_FRAME_RETURN 6

#ifndef __ASSEMBLER__
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guard/guard.h"

struct rb_guard_thread {
	struct rb_guard_call call;
	struct rb_guard_thread *self;
	uint64_t app_fs;  /* FS base of the application, while the dataplane runs or not */
	uint64_t app_rsp; /* its stack pointer at the gate: a frame as below is there */
	uint32_t app_mxcsr;
	uint32_t app_fcw;
	uint64_t data_fs; /* the same of the dataplane */
	uint64_t data_rsp;
	uint32_t data_mxcsr;
	uint32_t data_fcw;
	/* Stands in for the application's stack when there is none to go back to: at the start, and after the end. */
	uint64_t frame[NONE_FRAME_WORDS];
	struct rb_guard_registers registers; /* at the start */

	const struct rb_guard_handlers *handlers;
	void *user;
	pid_t native; /* the thread's number; 0: not attached */
	void *signal_stack;
	stack_t previous_signal_stack;
};

_Static_assert(offsetof(struct rb_guard_thread, call.number) == NONE_CALL_NUMBER, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, call.argument[0]) == NONE_CALL_A, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, call.argument[1]) == NONE_CALL_B, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, call.argument[2]) == NONE_CALL_C, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, self) == NONE_SELF, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, app_fs) == NONE_APP_FS, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, app_rsp) == NONE_APP_RSP, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, app_mxcsr) == NONE_APP_MXCSR, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, app_fcw) == NONE_APP_FCW, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, data_fs) == NONE_DATA_FS, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, data_rsp) == NONE_DATA_RSP, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, data_mxcsr) == NONE_DATA_MXCSR, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, data_fcw) == NONE_DATA_FCW, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, frame) == NONE_FRAME, "none.S");
_Static_assert(offsetof(struct rb_guard_thread, registers) == NONE_REGISTERS, "none.S");

/* ---- none.S: each with the instructions, and with system calls in their place ---- */

const struct rb_guard_call *rb_none_enter(struct rb_guard_thread *thread, int64_t result);
const struct rb_guard_call *rb_none_enter_slow(struct rb_guard_thread *thread, int64_t result);
int64_t rb_none_gate(uint64_t call, uint64_t a, uint64_t b, uint64_t c);
int64_t rb_none_gate_slow(uint64_t call, uint64_t a, uint64_t b, uint64_t c);
/* Return addresses of frames: begins with `registers`; ends the thread. Not to be called. */
void rb_none_begin(void);
void rb_none_ended(void);
void rb_none_ended_slow(void);
/* Goes back to the caller of enter() with NULL. */
_Noreturn void rb_none_leave(struct rb_guard_thread *thread);
/* Signal handlers: change to the dataplane's FS base, and back. */
void rb_none_signal(int signo, siginfo_t *info, void *context);
void rb_none_signal_slow(int signo, siginfo_t *info, void *context);

/* Where the crossings are: neither here nor there. */
extern const char rb_none_crossing_begin[], rb_none_crossing_end[];

/* ---- none.c ---- */

/* `thread` is NULL on other threads than the application's; `fs` was set before. Returns what FS base to go on with. */
uint64_t rb_none_handle(int signo, siginfo_t *info, ucontext_t *context, struct rb_guard_thread *thread, uint64_t fs);
#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Protection: how a thread gets from the dataplane into the application and back. One ops table per kind; `none` runs
 * both in one privilege level, `ring` will run them in guest ring 0 and ring 3.
 *
 * The dataplane is the caller. enter() runs the application on the calling thread, where it left off, and returns with
 * the application's next call of the gate (abi/page.h). What the application asks of Linux meanwhile, its ordinary
 * system calls, goes to the handlers given at creation, on this thread, and does not return from enter().
 *
 * A thread of the application is one rb_guard_thread, used by one native thread, which has a stack and a TLS of the
 * dataplane beside those of the application.
 *
 * Life of a thread: init() once per process, thread_create(), attach() on the native thread, enter() until it returns
 * NULL, detach() there, thread_destroy().
 */
#pragma once

#include <stdint.h>

/* A call of the gate. */
struct rb_guard_call {
	uint64_t number; /* enum rb_gate_call, or any other value: unchecked */
	uint64_t argument[3];
};

/* The application's registers at a system call or an exception. rip is the instruction after the system call. */
struct rb_guard_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags;
	uint32_t mxcsr; /* the control words of floating point */
	uint32_t fcw;
};

/*
 * What the dataplane does on the application's behalf: on the application's thread, with the dataplane's TLS and a stack
 * of the dataplane of about 250 KiB. Each may end the thread (thread_exit()).
 */
struct rb_guard_handlers {
	/* A system call: number and arguments by the kernel's convention. Returns what the application gets in rax. */
	int64_t (*syscall)(void *user, const struct rb_guard_registers *registers);
	/* An exception of the application: the signal Linux has for it, and the address it concerns. Must end the thread. */
	void (*fault)(void *user, const struct rb_guard_registers *registers, int signo, uint64_t address)
		__attribute__((noreturn));
	/* interrupt() has found the thread in the application. */
	void (*interrupted)(void *user);
};

/* Where and how an application's thread begins. All addresses are the application's. */
struct rb_guard_start {
	uint64_t entry; /* instruction */
	uint64_t stack; /* stack pointer */
	uint64_t tls;	/* FS base, 0: none yet */
	/* rax at the entry; all other registers are those of `like`, or what Linux gives to a new program */
	uint64_t result;
	const struct rb_guard_registers *like; /* borrowed until thread_create() returns; or NULL */
};

struct rb_guard_thread;

struct rb_guard_ops {
	const char *name;
	/* 0; or -errno and `*why`, a sentence that says what is missing and what mends it */
	int (*probe)(const char **why);
	/* Sets up what is the process's, and probes before. May be called again. Errors as probe(). */
	int (*init)(const char **why);
	/* Makes the state of one thread, which has not begun. `handlers` is borrowed. 0 or -errno (-ENOMEM, …) */
	int (*thread_create)(const struct rb_guard_start *start, const struct rb_guard_handlers *handlers, void *user,
			     struct rb_guard_thread **thread);
	/* NULL is allowed. */
	void (*thread_destroy)(struct rb_guard_thread *thread);
	/* Binds the thread to the calling native thread. 0 or -errno */
	int (*attach)(struct rb_guard_thread *thread);
	/* Undoes attach(), on the same native thread. */
	void (*detach)(struct rb_guard_thread *thread);
	/*
	 * Runs the application until its next call of the gate, which is valid until the next enter(). `result` is what
	 * the previous call returns to it (ignored the first time). NULL: the thread has ended (thread_exit()), now or
	 * before.
	 */
	const struct rb_guard_call *(*enter)(struct rb_guard_thread *thread, int64_t result);
	/* From one of the handlers, on its thread: enter() returns NULL instead of going back. */
	void (*thread_exit)(struct rb_guard_thread *thread) __attribute__((noreturn));
	/* The application's FS base, which its arch_prctl() sets; from the syscall handler. */
	void (*set_tls)(struct rb_guard_thread *thread, uint64_t tls);
	/*
	 * From any thread, between attach() and detach(): a system call that the thread waits in returns -EINTR, or, if it
	 * runs the application, interrupted() is called. May come too early and have no effect: repeat it.
	 */
	void (*interrupt)(struct rb_guard_thread *thread);
	/* What the page tells the application to call. */
	int64_t (*gate)(uint64_t call, uint64_t a, uint64_t b, uint64_t c);
};

/* Needs FSGSBASE: instructions that set the FS base. */
extern const struct rb_guard_ops rb_guard_none;
/* The same with a system call for each change of the FS base. */
extern const struct rb_guard_ops rb_guard_none_slow;

/* By name: "none" is the faster of the two that works here. NULL: there is none of that name. */
const struct rb_guard_ops *rb_guard_find(const char *name);

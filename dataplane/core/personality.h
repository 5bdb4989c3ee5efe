// SPDX-License-Identifier: Apache-2.0
/*
 * Which system calls an application may make, and what becomes of them: a table (personality_linux.c) that says for each
 * number of Linux whether the call is forwarded to Linux, answered here, or refused, and which of its arguments are
 * checked how. What is not in the table is refused.
 *
 * Forwarded calls block like those of any process and are interrupted when the application ends. Pointers of them must lie
 * in the application's memory. What has pointers in it (paths, arrays of buffers) is copied before it is looked at, and
 * the copy goes to Linux.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "guard/guard.h"

struct rb_app_thread;

enum {
	RB_CALLS_MAX = 512, /* numbers of x86-64 are below */
	RB_CALL_ARGUMENTS = 6,
	RB_CALL_CHECKS = 5,
	RB_CALL_PATHS = 2,
};

/* The state of an application's system calls. */
struct rb_personality {
	_Atomic uint64_t counts[RB_CALLS_MAX + 1]; /* by number; the last: all others */
	atomic_bool told[RB_CALLS_MAX + 1];	   /* that it was refused */
};

struct rb_call_request {
	struct rb_app_thread *thread;
	const struct rb_guard_registers *registers;
	uint64_t argument[RB_CALL_ARGUMENTS];
};

/* Answers a call: what the application gets in rax. May end the thread. */
typedef int64_t (*rb_call_local)(const struct rb_call_request *request);

enum rb_check_kind {
	RB_CHECK_NONE,
	RB_CHECK_FD,	/* one of the application's */
	RB_CHECK_DIRFD, /* or AT_FDCWD */
	RB_CHECK_BYTES, /* pointer to `size` bytes */
	RB_CHECK_ARRAY, /* pointer to as many elements of `size` bytes as argument `count` says */
	RB_CHECK_PATH,	/* pointer to a string */
	RB_CHECK_IOVEC, /* pointer to as many struct iovec as argument `count` says, and what they point to */
	RB_CHECK_ZERO,	/* must be 0: what else it can be is not supported */
	RB_CHECK_SELF,	/* process or thread number: 0 or one of the application's */
};

struct rb_check {
	uint8_t kind;	  /* enum rb_check_kind */
	uint8_t argument; /* which, from 0 */
	uint8_t count;	  /* which argument says how many */
	bool optional;	  /* may be NULL */
	uint32_t size;
};

struct rb_call {
	const char *name;
	rb_call_local local; /* NULL: forwarded, or refused if `error` is set */
	int16_t error;	     /* what is returned if refused, a positive errno */
	bool quiet;	     /* refused as a matter of course: programs ask and do without */
	bool opens;	     /* forwarded: the result is a new descriptor of the application */
	struct rb_check checks[RB_CALL_CHECKS];
};

/* For a number below RB_CALLS_MAX; name is NULL for one that the table does not have. */
const struct rb_call *rb_personality_find(uint64_t number);

/* A system call of the application; see rb_guard_handlers. */
int64_t rb_personality_call(struct rb_app_thread *thread, const struct rb_guard_registers *registers);

/* The kernel's answer to a call with these arguments: a value or -errno. */
int64_t rb_linux_call(uint64_t number, const uint64_t argument[RB_CALL_ARGUMENTS]);

/* ---- answered here: calls_*.c ---- */

int64_t rb_call_brk(const struct rb_call_request *request);
int64_t rb_call_mmap(const struct rb_call_request *request);
int64_t rb_call_munmap(const struct rb_call_request *request);
int64_t rb_call_mprotect(const struct rb_call_request *request);
int64_t rb_call_mremap(const struct rb_call_request *request);
int64_t rb_call_madvise(const struct rb_call_request *request);

int64_t rb_call_open(const struct rb_call_request *request);
int64_t rb_call_openat(const struct rb_call_request *request);
int64_t rb_call_creat(const struct rb_call_request *request);
int64_t rb_call_close(const struct rb_call_request *request);
int64_t rb_call_dup2(const struct rb_call_request *request);
int64_t rb_call_dup3(const struct rb_call_request *request);
int64_t rb_call_pipe(const struct rb_call_request *request);
int64_t rb_call_pipe2(const struct rb_call_request *request);
int64_t rb_call_fcntl(const struct rb_call_request *request);
int64_t rb_call_ioctl(const struct rb_call_request *request);

int64_t rb_call_arch_prctl(const struct rb_call_request *request);
int64_t rb_call_prctl(const struct rb_call_request *request);
int64_t rb_call_clone(const struct rb_call_request *request);
int64_t rb_call_clone3(const struct rb_call_request *request);
int64_t rb_call_exit(const struct rb_call_request *request);
int64_t rb_call_exit_group(const struct rb_call_request *request);
int64_t rb_call_set_tid_address(const struct rb_call_request *request);
int64_t rb_call_futex(const struct rb_call_request *request);
int64_t rb_call_prlimit64(const struct rb_call_request *request);
int64_t rb_call_getrlimit(const struct rb_call_request *request);

int64_t rb_call_rt_sigaction(const struct rb_call_request *request);
int64_t rb_call_rt_sigprocmask(const struct rb_call_request *request);
int64_t rb_call_rt_sigpending(const struct rb_call_request *request);
int64_t rb_call_rt_sigtimedwait(const struct rb_call_request *request);
int64_t rb_call_kill(const struct rb_call_request *request);
int64_t rb_call_tkill(const struct rb_call_request *request);
int64_t rb_call_tgkill(const struct rb_call_request *request);

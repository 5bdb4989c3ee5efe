// SPDX-License-Identifier: Apache-2.0
/*
 * The guard `none`: application and dataplane in one privilege level and one address space. It separates stacks, TLS and
 * system calls, and protects nothing: what the application must not touch it can touch.
 *
 * System calls of the application arrive as SIGSYS (Syscall User Dispatch, Linux 5.11): the kernel lets only those pass
 * whose instruction lies above bit 46, where the dataplane, its libraries and the vdso are. That is decided by address,
 * so crossings have nothing to switch. Whose code a signal has interrupted is told by the FS base.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "guard/defs.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF	     0
#define PR_SYS_DISPATCH_ON	     1
#endif

/* Of the dataplane: everything from here on. The application's region lies below. */
#define DATAPLANE_BASE (UINT64_C(1) << 46)

enum {
	DISPATCHED = 2, /* si_code of a dispatched system call: SYS_USER_DISPATCH, which not every C library names */
	HWCAP2_FSGSBASE = 1 << 1,
	SIGNAL_STACK_BYTES = 256 * 1024,
	PAGE_BYTES = 4096,
	RFLAGS_START = 0x202,	   /* interrupts on, and a bit that is always set */
	RFLAGS_KEPT = 0xcd5 | 0x2, /* arithmetic and direction: nothing that traces or changes privileges */
	MXCSR_START = 0x1f80,
	FCW_START = 0x37f,
};

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
enum { FAULT_SIGNALS = sizeof(fault_signals) / sizeof(fault_signals[0]) };

typedef void (*signal_entry)(int signo, siginfo_t *info, void *context);

/* The process's. */
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous[FAULT_SIGNALS];

/* The C library's own are below SIGRTMIN; DPDK takes none. */
static int interrupt_signal(void)
{
	return SIGRTMIN + 7;
}

/* ---- what is needed ---- */

static bool is_dataplane(uint64_t address)
{
	return address >= DATAPLANE_BASE;
}

static int probe_slow(const char **why)
{
	int here;
	if (!is_dataplane((uintptr_t)probe_slow) || !is_dataplane((uintptr_t)getpid) ||
	    !is_dataplane((uintptr_t)&here) || !is_dataplane(getauxval(AT_SYSINFO_EHDR))) {
		*why = "the dataplane must lie above 2^46, and this program or its libraries do not: link it with -pie, and run "
		       "it without a debugger or setarch that fixes addresses";
		return -EADDRNOTAVAIL;
	}
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) != 0) {
		*why = "the kernel has no Syscall User Dispatch: Linux 5.11 or later is needed, with "
		       "CONFIG_GENERIC_ENTRY (x86-64 has it)";
		return -ENOTSUP;
	}
	return 0;
}

static int probe_fast(const char **why)
{
	if ((getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) == 0) {
		*why = "the processor or the kernel has no FSGSBASE: use the guard none_slow, or Linux 5.9 or later without "
		       "nofsgsbase";
		return -ENOTSUP;
	}
	return probe_slow(why);
}

static bool is_ours(const struct sigaction *action)
{
	return action->sa_sigaction == rb_none_signal || action->sa_sigaction == rb_none_signal_slow;
}

static int install_one(int signo, signal_entry entry, struct sigaction *before)
{
	/* Without SA_RESTART: an interruption is to be noticed. Without masks: a thread may leave a handler for good. */
	struct sigaction action = {.sa_sigaction = entry, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER}, old;
	if (sigaction(signo, &action, &old) != 0)
		return -errno;
	if (before != NULL && !is_ours(&old))
		*before = old;
	return 0;
}

static int init(signal_entry entry, int (*probe)(const char **why), const char **why)
{
	int result = probe(why);
	if (result != 0)
		return result;
	*why = "cannot install signal handlers";
	pthread_mutex_lock(&installing);
	/* Each time: somebody else may have taken them since. */
	for (int i = 0; result == 0 && i < FAULT_SIGNALS; i++)
		result = install_one(fault_signals[i], entry, &previous[i]);
	if (result == 0)
		result = install_one(interrupt_signal(), entry, NULL);
	pthread_mutex_unlock(&installing);
	return result;
}

static int init_fast(const char **why)
{
	return init(rb_none_signal, probe_fast, why);
}

static int init_slow(const char **why)
{
	return init(rb_none_signal_slow, probe_slow, why);
}

/* ---- a thread's life ---- */

static void thread_destroy(struct rb_guard_thread *thread)
{
	if (thread == NULL)
		return;
	RB_ASSERT_EQ(thread->native, 0);
	free(thread);
}

static int thread_create(const struct rb_guard_start *start, const struct rb_guard_handlers *handlers, void *user,
			 struct rb_guard_thread **result)
{
	struct rb_guard_thread *thread = calloc(1, sizeof(*thread));
	if (thread == NULL)
		return -ENOMEM;
	thread->self = thread;
	thread->handlers = handlers;
	thread->user = user;
	if (start->like != NULL)
		thread->registers = *start->like;
	else
		thread->registers =
			(struct rb_guard_registers){.rflags = RFLAGS_START, .mxcsr = MXCSR_START, .fcw = FCW_START};
	thread->registers.rax = start->result;
	thread->registers.rip = start->entry;
	thread->registers.rsp = start->stack;
	thread->registers.rflags = (thread->registers.rflags & RFLAGS_KEPT) | RFLAGS_START;
	thread->app_mxcsr = thread->registers.mxcsr;
	thread->app_fcw = thread->registers.fcw;
	thread->app_fs = start->tls;
	thread->frame[NONE_FRAME_RETURN] = (uintptr_t)rb_none_begin;
	thread->app_rsp = (uintptr_t)thread->frame;
	*result = thread;
	return 0;
}

static int attach_signal_stack(struct rb_guard_thread *thread)
{
	void *memory = mmap(NULL, SIGNAL_STACK_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	stack_t stack = {.ss_sp = (char *)memory + PAGE_BYTES, .ss_size = SIGNAL_STACK_BYTES};
	if (mprotect(memory, PAGE_BYTES, PROT_NONE) != 0 || sigaltstack(&stack, &thread->previous_signal_stack) != 0) {
		int error = -errno;
		munmap(memory, SIGNAL_STACK_BYTES + PAGE_BYTES);
		return error;
	}
	thread->signal_stack = memory;
	return 0;
}

static void detach_signal_stack(struct rb_guard_thread *thread)
{
	int result = sigaltstack(&thread->previous_signal_stack, NULL);
	RB_ASSERT_EQ(result, 0);
	munmap(thread->signal_stack, SIGNAL_STACK_BYTES + PAGE_BYTES);
}

static int attach(struct rb_guard_thread *thread)
{
	RB_ASSERT_EQ(thread->native, 0);
	int result = attach_signal_stack(thread);
	if (result != 0)
		return result;
	uint16_t fcw;
	__asm__ volatile("fnstcw %0" : "=m"(fcw));
	thread->data_fcw = fcw;
	thread->data_mxcsr = __builtin_ia32_stmxcsr();
	if (syscall(SYS_arch_prctl, ARCH_GET_FS, &thread->data_fs) != 0 ||
	    syscall(SYS_arch_prctl, ARCH_SET_GS, thread) != 0 ||
	    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, DATAPLANE_BASE, DATAPLANE_BASE, NULL) != 0) {
		result = -errno;
		syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
		detach_signal_stack(thread);
		return result;
	}
	thread->native = gettid();
	return 0;
}

static void detach(struct rb_guard_thread *thread)
{
	RB_ASSERT_EQ(thread->native, gettid());
	prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
	detach_signal_stack(thread);
	thread->native = 0;
}

static _Noreturn void thread_exit(struct rb_guard_thread *thread, void (*ended)(void))
{
	/* What enter() goes back to from now on. */
	thread->frame[NONE_FRAME_RETURN] = (uintptr_t)ended;
	thread->app_rsp = (uintptr_t)thread->frame;
	rb_none_leave(thread);
}

__attribute__((noreturn)) static void thread_exit_fast(struct rb_guard_thread *thread)
{
	thread_exit(thread, rb_none_ended);
}

__attribute__((noreturn)) static void thread_exit_slow(struct rb_guard_thread *thread)
{
	thread_exit(thread, rb_none_ended_slow);
}

static void set_tls(struct rb_guard_thread *thread, uint64_t tls)
{
	thread->app_fs = tls;
}

static void interrupt(struct rb_guard_thread *thread)
{
	syscall(SYS_tgkill, getpid(), thread->native, interrupt_signal());
}

/* ---- signals ---- */

static void get_registers(const ucontext_t *context, struct rb_guard_registers *registers)
{
	const greg_t *from = context->uc_mcontext.gregs;
	*registers = (struct rb_guard_registers){
		.rax = (uint64_t)from[REG_RAX],
		.rbx = (uint64_t)from[REG_RBX],
		.rcx = (uint64_t)from[REG_RCX],
		.rdx = (uint64_t)from[REG_RDX],
		.rsi = (uint64_t)from[REG_RSI],
		.rdi = (uint64_t)from[REG_RDI],
		.rbp = (uint64_t)from[REG_RBP],
		.rsp = (uint64_t)from[REG_RSP],
		.r8 = (uint64_t)from[REG_R8],
		.r9 = (uint64_t)from[REG_R9],
		.r10 = (uint64_t)from[REG_R10],
		.r11 = (uint64_t)from[REG_R11],
		.r12 = (uint64_t)from[REG_R12],
		.r13 = (uint64_t)from[REG_R13],
		.r14 = (uint64_t)from[REG_R14],
		.r15 = (uint64_t)from[REG_R15],
		.rip = (uint64_t)from[REG_RIP],
		.rflags = (uint64_t)from[REG_EFL],
		.mxcsr = context->uc_mcontext.fpregs->mxcsr,
		.fcw = context->uc_mcontext.fpregs->cwd,
	};
}

/* A bug of the dataplane: what would have happened without these handlers. */
static void give_up(int signo, const siginfo_t *info)
{
	for (int i = 0; i < FAULT_SIGNALS; i++) {
		if (fault_signals[i] == signo)
			sigaction(signo, &previous[i], NULL);
	}
	if (info->si_code <= 0 || signo == SIGSYS)
		raise(signo); /* sent by somebody; what the program does itself, it does again */
}

static void dispatch(struct rb_guard_thread *thread, ucontext_t *context)
{
	struct rb_guard_registers registers;
	get_registers(context, &registers);
	/* The number of the call is in rax: the kernel has put it back. */
	context->uc_mcontext.gregs[REG_RAX] = thread->handlers->syscall(thread->user, &registers);
}

uint64_t rb_none_handle(int signo, siginfo_t *info, ucontext_t *context, struct rb_guard_thread *thread, uint64_t fs)
{
	uint64_t rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
	bool crossing = rip >= (uintptr_t)rb_none_crossing_begin && rip < (uintptr_t)rb_none_crossing_end;
	bool in_application = thread != NULL && !crossing && fs != thread->data_fs;
	if (signo == interrupt_signal()) {
		if (in_application)
			thread->handlers->interrupted(thread->user);
		return fs;
	}
	if (signo == SIGSYS && info->si_code == DISPATCHED && thread != NULL) {
		dispatch(thread, context);
		return thread->app_fs;
	}
	/* Crossings touch nothing that may be wrong but the application's stack. */
	if (thread != NULL && (crossing || in_application) && info->si_code > 0 && signo != SIGSYS) {
		struct rb_guard_registers registers;
		get_registers(context, &registers);
		thread->handlers->fault(thread->user, &registers, signo, (uintptr_t)info->si_addr);
	}
	give_up(signo, info);
	return fs;
}

const struct rb_guard_ops rb_guard_none = {
	.name = "none",
	.probe = probe_fast,
	.init = init_fast,
	.thread_create = thread_create,
	.thread_destroy = thread_destroy,
	.attach = attach,
	.detach = detach,
	.enter = rb_none_enter,
	.thread_exit = thread_exit_fast,
	.set_tls = set_tls,
	.interrupt = interrupt,
	.gate = rb_none_gate,
};

const struct rb_guard_ops rb_guard_none_slow = {
	.name = "none_slow",
	.probe = probe_slow,
	.init = init_slow,
	.thread_create = thread_create,
	.thread_destroy = thread_destroy,
	.attach = attach,
	.detach = detach,
	.enter = rb_none_enter_slow,
	.thread_exit = thread_exit_slow,
	.set_tls = set_tls,
	.interrupt = interrupt,
	.gate = rb_none_gate_slow,
};

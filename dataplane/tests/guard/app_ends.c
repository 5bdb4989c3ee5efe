// SPDX-License-Identifier: Apache-2.0
/* Probes that end the application in ways of their own. */
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/guard/app_probe.h"

static void return_status(void)
{
	exit(42);
}

static void end_by_abort(void)
{
	abort();
}

static void end_by_signal(void)
{
	raise(SIGTERM);
	exit(1); /* not reached */
}

__attribute__((noinline)) static void write_null(void)
{
	volatile char *volatile nowhere = NULL;
	*nowhere = 1; // NOLINT(clang-analyzer-core.NullDereference): that is the point
}

static void call_null(void)
{
	void (*volatile nowhere)(void) = NULL;
	nowhere();
}

static void write_text(void)
{
	char *text = (char *)(uintptr_t)write_null;
	*(volatile char *)text = 1;
}

static void write_page(void)
{
	((volatile struct rb_page *)(uintptr_t)page)->cores = 1;
}

static void illegal(void)
{
	__asm__ volatile("ud2");
}

static void divide(void)
{
	/* Compilers know quicker ways to divide 1 by something. */
	__asm__ volatile("xor %%ecx, %%ecx\n\t"
			 "mov $1, %%eax\n\t"
			 "cltd\n\t"
			 "idiv %%ecx"
			 :
			 :
			 : "eax", "ecx", "edx", "cc");
}

static void trap(void)
{
	__asm__ volatile("int3");
}

__attribute__((noinline)) static int overflow(volatile char *before) // NOLINT(misc-no-recursion)
{
	volatile char frame[4096];
	frame[0] = before[0];
	return frame[0] == 0 ? 0 : overflow(frame) + frame[0];
}

static void stack_overflow(void)
{
	char first = 1;
	overflow(&first);
}

/* The gate called with a stack that is none. */
static void gate_without_stack(void)
{
	__asm__ volatile("mov $8192, %%rsp\n\t"
			 "jmp *%0"
			 :
			 : "r"(page->gate));
}

const struct probe probes_ends[] = {
	{"return_status", return_status},
	{"end_by_abort", end_by_abort},
	{"end_by_signal", end_by_signal},
	{"write_null", write_null},
	{"call_null", call_null},
	{"write_text", write_text},
	{"write_page", write_page},
	{"illegal", illegal},
	{"divide", divide},
	{"trap", trap},
	{"stack_overflow", stack_overflow},
	{"gate_without_stack", gate_without_stack},
	{NULL, NULL},
};

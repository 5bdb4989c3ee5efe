// SPDX-License-Identifier: Apache-2.0
/* Probes of the crossing and of what a program finds at its start. */
#include <elf.h>
#include <errno.h>
#include <fenv.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#include "tests/guard/app_probe.h"

enum { ROUNDS = 10000, KEPT = 6 };

/*
 * Calls the gate, `entry`, with patterns in the registers that a function keeps; what is in them afterwards goes to
 * `after`.
 */
__attribute__((naked, noinline)) static int64_t gate_with(__attribute__((unused)) const uint64_t before[KEPT],
							  __attribute__((unused)) uint64_t after[KEPT],
							  __attribute__((unused)) const void *entry)
{
	__asm__("push %rbx\n\t"
		"push %rbp\n\t"
		"push %r12\n\t"
		"push %r13\n\t"
		"push %r14\n\t"
		"push %r15\n\t"
		"push %rsi\n\t"
		"mov %rdx, %rax\n\t"
		"mov 0(%rdi), %rbx\n\t"
		"mov 8(%rdi), %rbp\n\t"
		"mov 16(%rdi), %r12\n\t"
		"mov 24(%rdi), %r13\n\t"
		"mov 32(%rdi), %r14\n\t"
		"mov 40(%rdi), %r15\n\t"
		"mov $1000, %edi\n\t" /* PROBE_ADD */
		"mov $1, %esi\n\t"
		"mov $2, %edx\n\t"
		"mov $3, %ecx\n\t"
		"call *%rax\n\t"
		"pop %rcx\n\t"
		"mov %rbx, 0(%rcx)\n\t"
		"mov %rbp, 8(%rcx)\n\t"
		"mov %r12, 16(%rcx)\n\t"
		"mov %r13, 24(%rcx)\n\t"
		"mov %r14, 32(%rcx)\n\t"
		"mov %r15, 40(%rcx)\n\t"
		"pop %r15\n\t"
		"pop %r14\n\t"
		"pop %r13\n\t"
		"pop %r12\n\t"
		"pop %rbp\n\t"
		"pop %rbx\n\t"
		"ret");
}

_Static_assert(PROBE_ADD == 1000, "gate_with()");

static void registers(void)
{
	uint64_t before[KEPT], after[KEPT];
	for (uint64_t i = 0; i < KEPT; i++)
		before[i] = 0x0123456789abcdef * (i + 1);
	for (int round = 0; round < ROUNDS; round++) {
		memset(after, 0, sizeof(after));
		CHECK(gate_with(before, after, (const void *)(uintptr_t)page->gate) == 6);
		CHECK(memcmp(before, after, sizeof(after)) == 0);
	}
}

static void results(void)
{
	for (uint64_t i = 0; i < ROUNDS; i++)
		CHECK(gate(PROBE_ADD, i, 2 * i, UINT64_MAX) == (int64_t)(3 * i - 1));
}

static void nested(void)
{
	for (int64_t i = 0; i < 100; i++) {
		CHECK(gate(PROBE_NEST, 0, 0, 0) == 0);
		for (int64_t call = 1; call <= i; call++)
			CHECK(gate(PROBE_ADD, 0, 0, 0) == call);
		CHECK(gate(PROBE_UNNEST, 0, 0, 0) == i);
	}
}

/* Each side has rounding modes of its own, in both units. */
static void rounding(void)
{
	CHECK(fegetround() == FE_TONEAREST);
	CHECK(gate(PROBE_ROUNDING, FE_UPWARD, 0, 0) == FE_TONEAREST);
	CHECK(fegetround() == FE_TONEAREST);
	CHECK(fesetround(FE_DOWNWARD) == 0);
	for (int i = 0; i < 10; i++) {
		volatile double one = 1, minus_one = -1, three = 3;
		volatile long double wide_one = 1, wide_minus_one = -1, wide_three = 3;
		CHECK(gate(PROBE_ADD, 1, 1, 1) == 3);
		CHECK(fegetround() == FE_DOWNWARD);
		volatile double sum = one / three + minus_one / three;				     /* SSE */
		volatile long double wide_sum = wide_one / wide_three + wide_minus_one / wide_three; /* x87 */
		CHECK(sum < 0 && wide_sum < 0);
	}
}

static void errors(void)
{
	errno = 77;
	gate(PROBE_ERRNO, 55, 0, 0);
	CHECK(errno == 77);
	CHECK(gate(PROBE_ERRNO, 11, 0, 0) == 55);
	CHECK_ERRNO(close(-1), EBADF);
	CHECK(gate(PROBE_ERRNO, 0, 0, 0) == 11);
}

/* The auxiliary vector, arguments and environment. */
static void start(void)
{
	const Elf64_Phdr *headers = (const Elf64_Phdr *)(uintptr_t)getauxval(AT_PHDR); // NOLINT: an address
	CHECK(strcmp(arguments[2], "an argument") == 0 && arguments[3][0] == '\0' && arguments[4] == NULL);
	CHECK(strcmp(getenv("PROBE"), "yes") == 0);
	CHECK(getenv("HOME") == NULL);
	CHECK(strcmp(getenv("GLIBC_TUNABLES"), "glibc.malloc.arena_max=1") == 0);
	CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_SECURE) == 0 && getauxval(AT_RANDOM) != 0);
	CHECK(getauxval(AT_PHNUM) > 0 && headers->p_type != 0);
	CHECK(strstr((const char *)(uintptr_t)getauxval(AT_EXECFN), "probe") != NULL); // NOLINT
	CHECK((uintptr_t)start >= RB_REGION_BASE && (uintptr_t)start < RB_REGION_END);
	CHECK((uintptr_t)headers >= RB_REGION_BASE && (uintptr_t)headers < RB_REGION_END);
	CHECK((uintptr_t)&headers >= RB_REGION_BASE && (uintptr_t)&headers < RB_REGION_END);
	CHECK(page->region_base == RB_REGION_BASE && page->region_end == RB_REGION_END);
	CHECK(page->cores == 3 && strcmp(page->stack, "test") == 0);
	struct timespec now;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0 && now.tv_sec > 0);
}

static void print(void)
{
	printf("a line to a pipe, %d\n", 42);
	CHECK(fflush(stdout) == 0);
}

const struct probe probes_crossing[] = {
	{"registers", registers}, {"results", results}, {"nested", nested}, {"rounding", rounding},
	{"errors", errors},	  {"start", start},	{"print", print},   {NULL, NULL},
};

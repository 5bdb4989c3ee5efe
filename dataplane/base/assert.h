// SPDX-License-Identifier: Apache-2.0
/*
 * Assertions in three tiers:
 *   RB_BUILD_ASSERT  checked by the compiler
 *   RB_DEBUG_ASSERT  checked unless NDEBUG (hot paths)
 *   RB_ASSERT        always checked
 * The comparing forms RB_ASSERT_EQ, _NE, _LT, _LE, _GT, _GE (and RB_DEBUG_ASSERT_*) print both values. A
 * failed assertion prints one line on standard error and aborts. They are for broken invariants of this
 * program, never for bad input or failed system calls.
 */
#pragma once

#include <stdint.h>

#define RB_BUILD_ASSERT(condition, text) _Static_assert(condition, text)

_Noreturn void rb_assert_failed(const char *file, int line, const char *expression) __attribute__((cold));
_Noreturn void rb_assert_compare_failed(const char *file, int line, const char *expression, uint64_t left,
					uint64_t right) __attribute__((cold));

#define RB_ASSERT(condition)                                              \
	do {                                                              \
		if (__builtin_expect(!(condition), 0))                    \
			rb_assert_failed(__FILE__, __LINE__, #condition); \
	} while (0)

/* Integers of any width and signedness, or pointers cast to uintptr_t; evaluated once. */
#define RB_ASSERT_COMPARE(left, op, right)                                                                        \
	do {                                                                                                      \
		__typeof__(left) rb_left = (left);                                                                \
		__typeof__(right) rb_right = (right);                                                             \
		if (__builtin_expect(!(rb_left op rb_right), 0))                                                  \
			rb_assert_compare_failed(__FILE__, __LINE__, #left " " #op " " #right, (uint64_t)rb_left, \
						 (uint64_t)rb_right);                                             \
	} while (0)

#define RB_ASSERT_EQ(left, right) RB_ASSERT_COMPARE(left, ==, right)
#define RB_ASSERT_NE(left, right) RB_ASSERT_COMPARE(left, !=, right)
#define RB_ASSERT_LT(left, right) RB_ASSERT_COMPARE(left, <, right)
#define RB_ASSERT_LE(left, right) RB_ASSERT_COMPARE(left, <=, right)
#define RB_ASSERT_GT(left, right) RB_ASSERT_COMPARE(left, >, right)
#define RB_ASSERT_GE(left, right) RB_ASSERT_COMPARE(left, >=, right)

/* Still type-checked, and its operands count as used, when compiled out. */
#ifdef NDEBUG
#define RB_DEBUG_ASSERT(condition)		 ((void)sizeof(!(condition)))
#define RB_DEBUG_ASSERT_COMPARE(left, op, right) ((void)sizeof((left)op(right)))
#else
#define RB_DEBUG_ASSERT(condition)		 RB_ASSERT(condition)
#define RB_DEBUG_ASSERT_COMPARE(left, op, right) RB_ASSERT_COMPARE(left, op, right)
#endif

#define RB_DEBUG_ASSERT_EQ(left, right) RB_DEBUG_ASSERT_COMPARE(left, ==, right)
#define RB_DEBUG_ASSERT_NE(left, right) RB_DEBUG_ASSERT_COMPARE(left, !=, right)
#define RB_DEBUG_ASSERT_LT(left, right) RB_DEBUG_ASSERT_COMPARE(left, <, right)
#define RB_DEBUG_ASSERT_LE(left, right) RB_DEBUG_ASSERT_COMPARE(left, <=, right)
#define RB_DEBUG_ASSERT_GT(left, right) RB_DEBUG_ASSERT_COMPARE(left, >, right)
#define RB_DEBUG_ASSERT_GE(left, right) RB_DEBUG_ASSERT_COMPARE(left, >=, right)

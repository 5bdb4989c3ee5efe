// SPDX-License-Identifier: Apache-2.0
/*
 * Log lines on standard error: "<program>: <level>: text". Each call is one write, so lines of threads do
 * not mix. Nothing on the data path logs unless through RB_LOG_ONCE or RB_LOG_RATELIMITED.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum rb_log_level { RB_LOG_ERROR, RB_LOG_WARNING, RB_LOG_INFO, RB_LOG_DEBUG };

/* Program name (borrowed, shown first) and the highest level that is printed. Call before starting threads. */
void rb_log_init(const char *program, enum rb_log_level level);

/* Names of the levels in order, NULL-terminated: usable as the choices of an option. */
extern const char *const rb_log_level_names[];

void rb_log(enum rb_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* True at most once per `interval_ns` for the given state; thread-safe. */
bool rb_log_permit(_Atomic uint64_t *last_ns, uint64_t interval_ns);

/* First time only, per place in the source. */
#define RB_LOG_ONCE(level, ...)                                                             \
	do {                                                                                \
		static atomic_flag rb_log_done = ATOMIC_FLAG_INIT;                          \
		if (!atomic_flag_test_and_set_explicit(&rb_log_done, memory_order_relaxed)) \
			rb_log(level, __VA_ARGS__);                                         \
	} while (0)

/* At most once per second, per place in the source. */
#define RB_LOG_RATELIMITED(level, ...)                                    \
	do {                                                              \
		static _Atomic uint64_t rb_log_last_ns;                   \
		if (rb_log_permit(&rb_log_last_ns, UINT64_C(1000000000))) \
			rb_log(level, __VA_ARGS__);                       \
	} while (0)

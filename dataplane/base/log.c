// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINE_MAX_BYTES = 1024 };

const char *const rb_log_level_names[] = {"error", "warning", "info", "debug", NULL};

static const char *program_name = "ringbed";
static enum rb_log_level highest_level = RB_LOG_INFO;

void rb_log_init(const char *program, enum rb_log_level level)
{
	program_name = program;
	highest_level = level;
}

void rb_log(enum rb_log_level level, const char *format, ...)
{
	if (level > highest_level)
		return;
	char line[LINE_MAX_BYTES];
	int length = snprintf(line, sizeof(line), "%s: %s: ", program_name, rb_log_level_names[level]);
	if (length < 0 || (size_t)length >= sizeof(line))
		return;
	va_list arguments;
	va_start(arguments, format);
	int text = vsnprintf(line + length, sizeof(line) - (size_t)length, format, arguments);
	va_end(arguments);
	if (text < 0)
		return;
	length += text;
	if ((size_t)length >= sizeof(line))
		length = (int)sizeof(line) - 1; /* cut */
	line[length] = '\n';
	/* A lost log line has nowhere to be reported. */
	ssize_t written = write(STDERR_FILENO, line, (size_t)length + 1);
	(void)written;
}

bool rb_log_permit(_Atomic uint64_t *last_ns, uint64_t interval_ns)
{
	uint64_t now = rb_clock_now(rb_clock_monotonic());
	uint64_t last = atomic_load_explicit(last_ns, memory_order_relaxed);
	if (last != 0 && now - last < interval_ns)
		return false;
	return atomic_compare_exchange_strong_explicit(last_ns, &last, now, memory_order_relaxed, memory_order_relaxed);
}

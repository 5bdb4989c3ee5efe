// SPDX-License-Identifier: Apache-2.0
/*
 * An application for tests: argv[1] names what it tries out. Exits with 0 if all was as expected; otherwise it says which
 * line was not, and exits with 1. Each file has a table of what it can try.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "abi/page.h"
#include "tests/guard/probe.h"

struct probe {
	const char *name;
	void (*run)(void);
};

extern const struct probe probes_crossing[], probes_memory[], probes_calls[], probes_threads[], probes_ends[];

extern const struct rb_page *page;
extern char **arguments;

static inline int64_t gate(uint64_t call, uint64_t a, uint64_t b, uint64_t c)
{
	return page->gate(call, a, b, c);
}

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

/* The call fails with this errno. */
#define CHECK_ERRNO(call, error)         \
	do {                             \
		errno = 0;               \
		CHECK((call) == -1);     \
		CHECK(errno == (error)); \
	} while (0)

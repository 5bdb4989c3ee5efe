// SPDX-License-Identifier: Apache-2.0
/* What a program finds on its stack when it begins: arguments, environment, and the auxiliary vector (System V ABI). */
#pragma once

#include <stdint.h>

#include "core/memory.h"

enum { RB_STACK_RANDOM_BYTES = 16 };

struct rb_stack_content {
	const char *path;	 /* of the program */
	const char *const *argv; /* NULL-terminated */
	const char *const *envp; /* NULL-terminated */
	uint64_t entry;		 /* of the program itself */
	uint64_t headers;	 /* its program headers in memory */
	uint64_t header_count;
	uint64_t interpreter; /* where that is; 0: none */
	uint64_t page;	      /* the ABI page */
	uint8_t random[RB_STACK_RANDOM_BYTES];
};

/* Fills the stack that ends at `end`, of `bytes`. 0, with the stack pointer in *pointer; -E2BIG: no room; -ENOMEM */
int rb_stack_fill(struct rb_memory *memory, uint64_t end, uint64_t bytes, const struct rb_stack_content *content,
		  uint64_t *pointer);

// SPDX-License-Identifier: Apache-2.0
/* The pieces of a SENDV, wherever they lie, as its decoder must judge them. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "abi/abi.h"

static inline bool list_is_outside(const void *base, uint64_t length, const void *memory, const void *end)
{
	const uint64_t at = (uintptr_t)base, from = (uintptr_t)memory, to = (uintptr_t)end;
	return at < from || at > to || length > to - at;
}

static inline struct rb_sg list_entry(const struct rb_command *command, uint64_t number)
{
	struct rb_sg sg = command->sendv.one;
	if (command->sendv.count != 1)
		memcpy(&sg, (const uint8_t *)command->sendv.sg + number * sizeof(sg), sizeof(sg));
	return sg;
}

/* Why it must be refused by an application that has the memory up to `end`; 0: it is right. */
static inline int list_status(const struct rb_command *command, const void *memory, const void *end)
{
	const uint64_t count = command->sendv.count;
	if (count == 0 || count > RB_SENDV_ENTRIES_MAX)
		return -EINVAL;
	if (count > 1 && list_is_outside(command->sendv.sg, count * sizeof(struct rb_sg), memory, end))
		return -EFAULT;
	for (uint64_t i = 0; i < count; i++) {
		const struct rb_sg sg = list_entry(command, i);
		if (sg.length == 0 || sg.length > UINT32_MAX)
			return -EINVAL;
		if (list_is_outside(sg.base, sg.length, memory, end))
			return -EFAULT;
	}
	return 0;
}

/* Of one that is right. */
static inline uint64_t list_bytes(const struct rb_command *command)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < command->sendv.count; i++)
		bytes += list_entry(command, i).length;
	return bytes;
}

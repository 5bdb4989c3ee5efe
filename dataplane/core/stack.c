// SPDX-License-Identifier: Apache-2.0
#include "core/stack.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "abi/page.h"

/*
 * Built here as it will stand there: strings at the end, the words before them. Words are filled upwards, strings
 * downwards.
 */
struct builder {
	uint8_t *bytes;
	uint64_t size, strings; /* offset of the lowest string */
	uint64_t base;		/* where bytes[0] will be */
	uint64_t *words;
	uint64_t count;
};

enum { AUXV_WORDS = 2 * 24, ALIGN = 16 };

static uint64_t count_strings(const char *const *strings, uint64_t *bytes)
{
	uint64_t count = 0;
	for (; strings[count] != NULL; count++)
		*bytes += strlen(strings[count]) + 1;
	return count;
}

static uint64_t put_bytes(struct builder *builder, const void *from, uint64_t bytes)
{
	builder->strings -= bytes;
	memcpy(builder->bytes + builder->strings, from, bytes);
	return builder->base + builder->strings;
}

static uint64_t put_string(struct builder *builder, const char *text)
{
	return put_bytes(builder, text, strlen(text) + 1);
}

static void put_word(struct builder *builder, uint64_t word)
{
	builder->words[builder->count++] = word;
}

static void put_strings(struct builder *builder, const char *const *strings)
{
	for (; *strings != NULL; strings++)
		put_word(builder, put_string(builder, *strings));
	put_word(builder, 0);
}

static void put_pair(struct builder *builder, uint64_t type, uint64_t value)
{
	put_word(builder, type);
	put_word(builder, value);
}

static void put_auxiliary(struct builder *builder, const struct rb_stack_content *content)
{
	/* As this process has got them from the kernel, which they are about. */
	static const uint64_t inherited[] = {AT_HWCAP, AT_HWCAP2, AT_CLKTCK, AT_SYSINFO_EHDR, AT_UID,
					     AT_EUID,  AT_GID,	  AT_EGID,   AT_MINSIGSTKSZ};
	const char *platform = (const char *)getauxval(AT_PLATFORM);
	for (unsigned i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++)
		put_pair(builder, inherited[i], getauxval(inherited[i]));
	put_pair(builder, AT_PAGESZ, RB_MEMORY_PAGE);
	put_pair(builder, AT_PHDR, content->headers);
	put_pair(builder, AT_PHENT, sizeof(Elf64_Phdr));
	put_pair(builder, AT_PHNUM, content->header_count);
	put_pair(builder, AT_BASE, content->interpreter);
	put_pair(builder, AT_FLAGS, 0);
	put_pair(builder, AT_ENTRY, content->entry);
	put_pair(builder, AT_SECURE, 0);
	put_pair(builder, AT_RANDOM, put_bytes(builder, content->random, RB_STACK_RANDOM_BYTES));
	put_pair(builder, AT_EXECFN, put_string(builder, content->path));
	put_pair(builder, AT_PLATFORM, put_string(builder, platform != NULL ? platform : "x86_64"));
	put_pair(builder, RB_AUXV_PAGE, content->page);
	put_pair(builder, AT_NULL, 0);
}

int rb_stack_fill(struct rb_memory *memory, uint64_t end, uint64_t bytes, const struct rb_stack_content *content,
		  uint64_t *pointer)
{
	uint64_t text = strlen(content->path) + 1 + RB_STACK_RANDOM_BYTES + 64; /* 64: the platform's name */
	uint64_t argc = count_strings(content->argv, &text), envc = count_strings(content->envp, &text);
	uint64_t words = (1 + argc + 1 + envc + 1 + AUXV_WORDS + 1) & ~UINT64_C(1);
	struct builder builder = {.size = words * sizeof(uint64_t) + ((text + ALIGN - 1) & ~(uint64_t)(ALIGN - 1))};
	if (builder.size > bytes / 2) /* the program wants some, too */
		return -E2BIG;
	builder.bytes = calloc(1, builder.size);
	if (builder.bytes == NULL)
		return -ENOMEM;
	builder.words = (uint64_t *)(void *)builder.bytes;
	builder.strings = builder.size;
	builder.base = (end & ~(uint64_t)(ALIGN - 1)) - builder.size;
	put_word(&builder, argc);
	put_strings(&builder, content->argv);
	put_strings(&builder, content->envp);
	put_auxiliary(&builder, content);
	*pointer = builder.base;
	int result = rb_memory_copy_out(memory, builder.base, builder.bytes, builder.size);
	free(builder.bytes);
	return result;
}

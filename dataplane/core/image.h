// SPDX-License-Identifier: Apache-2.0
/*
 * Application images: ELF files for x86-64 that can lie anywhere (static-PIE, or PIE with an interpreter). The parser
 * looks at a buffer and maps nothing; it believes no field of the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/memory.h"
#include "core/why.h"

enum {
	RB_IMAGE_SEGMENTS_MAX = 16,
	RB_IMAGE_INTERPRETER_MAX = 256,
};

/* All addresses are relative to where the image is put. */
struct rb_image_segment {
	uint64_t address, memory_bytes; /* not rounded */
	uint64_t offset, file_bytes;	/* in the file */
	int protection;			/* PROT_ bits, not writable and executable at once */
};

struct rb_image {
	uint64_t entry;
	uint64_t bytes;	  /* pages of all segments: the image is [0, bytes) */
	uint64_t align;	  /* the largest of its segments: a power of two, at most 2 MiB */
	uint64_t headers; /* the program headers in memory */
	uint16_t header_count;
	uint16_t segment_count;
	struct rb_image_segment segments[RB_IMAGE_SEGMENTS_MAX]; /* ascending; no two share a page */
	char interpreter[RB_IMAGE_INTERPRETER_MAX];		 /* a path, or "" */
};

/* 0; or -ENOEXEC, and `why` says what is wrong with the file and, if it was linked the wrong way, what is the right one. */
int rb_image_parse(const uint8_t *file, size_t size, struct rb_image *image, char why[RB_WHY_MAX]);

/*
 * Copies the image of `file` into the application's memory, at the lowest address (`first`: the heap grows behind it) or
 * anywhere. 0, with where it is in *base; or -errno and `why`.
 */
int rb_image_load(const struct rb_image *image, const uint8_t *file, struct rb_memory *memory, bool first,
		  uint64_t *base, char why[RB_WHY_MAX]);

/* The function that contains the relative address, as the file's symbols say, or NULL; *offset is into it. */
const char *rb_image_symbol(const uint8_t *file, size_t size, uint64_t address, uint64_t *offset);

/* Reads a whole file, to be freed with free(). 0 or -errno, and `why`. */
int rb_image_read(const char *path, uint8_t **file, size_t *size, char why[RB_WHY_MAX]);

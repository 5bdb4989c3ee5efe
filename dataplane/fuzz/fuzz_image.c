// SPDX-License-Identifier: Apache-2.0
/*
 * The parser of application images. Promises: no crash; an accepted image keeps all that loading relies on; a refused one
 * says why. The look-up of symbols, with any address: a name that ends, or none.
 */
#include "fuzz/target.h"

#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "core/image.h"

static void check_segment(const struct rb_image *image, unsigned index, size_t size)
{
	const struct rb_image_segment *segment = &image->segments[index];
	const uint64_t mask = ~(uint64_t)(RB_MEMORY_PAGE - 1);
	RB_ASSERT_GT(segment->memory_bytes, 0U);
	RB_ASSERT_LE(segment->file_bytes, segment->memory_bytes);
	RB_ASSERT(segment->offset <= size && segment->file_bytes <= size - segment->offset);
	RB_ASSERT(segment->address < image->bytes && segment->memory_bytes <= image->bytes - segment->address);
	RB_ASSERT_NE(segment->protection & (PROT_WRITE | PROT_EXEC), PROT_WRITE | PROT_EXEC);
	if (index == 0)
		return;
	const struct rb_image_segment *before = segment - 1;
	RB_ASSERT_GT(segment->address & mask, (before->address + before->memory_bytes - 1) & mask);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rb_image image;
	char why[RB_WHY_MAX] = "";
	uint64_t offset = 0;
	int result = rb_image_parse(data, size, &image, why);
	if (result == 0) {
		RB_ASSERT(image.segment_count > 0 && image.segment_count <= RB_IMAGE_SEGMENTS_MAX);
		RB_ASSERT(image.bytes % RB_MEMORY_PAGE == 0 && image.entry < image.bytes);
		RB_ASSERT_LT(image.headers, image.bytes);
		RB_ASSERT_LT(strnlen(image.interpreter, sizeof(image.interpreter)), sizeof(image.interpreter));
		RB_ASSERT((image.align & (image.align - 1)) == 0 && image.align <= UINT64_C(2) << 20);
		for (unsigned i = 0; i < image.segment_count; i++)
			check_segment(&image, i, size);
	} else {
		RB_ASSERT_GT(strlen(why), 0U);
	}
	const uint64_t addresses[] = {0, image.entry, 0x1000, UINT64_MAX};
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		const char *name = rb_image_symbol(data, size, addresses[i], &offset);
		RB_ASSERT(name == NULL ||
			  ((const uint8_t *)name >= data && (const uint8_t *)name + strlen(name) < data + size));
	}
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Images made by hand, each with one thing wrong; and loading a good one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the above and setjmp.h */
#include <setjmp.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/image.h"

#define PAGE	   UINT64_C(4096)
#define FILE_BYTES (4 * PAGE)

enum { HEADERS = 4 };

enum { TEXT, DATA, STACK, FREE };

struct file {
	union {
		uint8_t bytes[FILE_BYTES];
		struct {
			Elf64_Ehdr header;
			Elf64_Phdr program[HEADERS];
		};
	};
};

static void make(struct file *file)
{
	memset(file, 0, sizeof(*file));
	memset(file->bytes + PAGE, 0x11, PAGE);
	memset(file->bytes + 2 * PAGE, 0x22, PAGE);
	memcpy(file->header.e_ident, ELFMAG, SELFMAG);
	file->header.e_ident[EI_CLASS] = ELFCLASS64;
	file->header.e_ident[EI_DATA] = ELFDATA2LSB;
	file->header.e_ident[EI_VERSION] = EV_CURRENT;
	file->header.e_type = ET_DYN;
	file->header.e_machine = EM_X86_64;
	file->header.e_version = EV_CURRENT;
	file->header.e_phoff = sizeof(Elf64_Ehdr);
	file->header.e_phentsize = sizeof(Elf64_Phdr);
	file->header.e_phnum = HEADERS;
	file->header.e_entry = PAGE + 8;
	file->program[TEXT] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 2 * PAGE, .p_memsz = 2 * PAGE, .p_align = PAGE};
	file->program[DATA] = (Elf64_Phdr){.p_type = PT_LOAD,
					   .p_flags = PF_R | PF_W,
					   .p_offset = 2 * PAGE + 16,
					   .p_vaddr = 3 * PAGE + 16,
					   .p_filesz = 100,
					   .p_memsz = 2 * PAGE,
					   .p_align = PAGE};
	file->program[STACK] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
}

static void test_good(void **state)
{
	struct file file;
	struct rb_image image;
	char why[RB_WHY_MAX];
	(void)state;
	make(&file);
	assert_int_equal(rb_image_parse(file.bytes, FILE_BYTES, &image, why), 0);
	assert_int_equal(image.entry, PAGE + 8);
	assert_int_equal(image.bytes, 6 * PAGE);
	assert_int_equal(image.headers, sizeof(Elf64_Ehdr));
	assert_int_equal(image.header_count, HEADERS);
	assert_int_equal(image.segment_count, 2);
	assert_int_equal(image.segments[0].protection, PROT_READ | PROT_EXEC);
	assert_int_equal(image.segments[1].protection, PROT_READ | PROT_WRITE);
	assert_string_equal(image.interpreter, "");
}

static void refuse(const struct file *file, size_t size, const char *text)
{
	struct rb_image image;
	char why[RB_WHY_MAX] = "";
	assert_int_equal(rb_image_parse(file->bytes, size, &image, why), -ENOEXEC);
	if (strstr(why, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, why);
}

/* Refused with one field changed. */
#define REFUSE(text, field, value)               \
	do {                                     \
		make(&file);                     \
		file.field = (value);            \
		refuse(&file, FILE_BYTES, text); \
	} while (0)

static void test_bad_header(void **state)
{
	struct file file;
	(void)state;
	REFUSE("not an ELF", header.e_ident[0], 'x');
	REFUSE("x86-64", header.e_ident[EI_CLASS], ELFCLASS32);
	REFUSE("x86-64", header.e_ident[EI_DATA], ELFDATA2MSB);
	REFUSE("x86-64", header.e_machine, EM_AARCH64);
	REFUSE("version", header.e_version, 2);
	REFUSE("version", header.e_ident[EI_VERSION], 0);
	REFUSE("link it with -static-pie", header.e_type, ET_EXEC);
	REFUSE("neither a program", header.e_type, ET_REL);
	REFUSE("program headers of", header.e_phentsize, 32);
	REFUSE("0 program headers", header.e_phnum, 0);
	REFUSE("65535 program headers", header.e_phnum, 65535);
	REFUSE("outside of the file", header.e_phoff, FILE_BYTES - 8);
	REFUSE("outside of the file", header.e_phoff, UINT64_MAX - 8);
	REFUSE("its entry", header.e_entry, 2 * PAGE);
	REFUSE("its entry", header.e_entry, 3 * PAGE + 16); /* data */
	REFUSE("its entry", header.e_entry, UINT64_MAX);
	make(&file);
	refuse(&file, 0, "not an ELF");
	refuse(&file, sizeof(Elf64_Ehdr) - 1, "not an ELF");
	refuse(&file, sizeof(Elf64_Ehdr) + 1, "is it cut off");
}

static void test_bad_segments(void **state)
{
	struct file file;
	(void)state;
	REFUSE("is it cut off", program[DATA].p_offset, FILE_BYTES);
	REFUSE("is it cut off", program[DATA].p_offset, UINT64_MAX - 8);
	REFUSE("is it cut off", program[DATA].p_filesz, UINT64_MAX);
	REFUSE("more bytes in the file", program[DATA].p_memsz, 99);
	REFUSE("too large", program[DATA].p_memsz, UINT64_MAX);
	REFUSE("too large", program[DATA].p_vaddr, UINT64_MAX - PAGE + 17);
	REFUSE("alignment", program[DATA].p_align, 3);
	REFUSE("alignment", program[DATA].p_vaddr, 3 * PAGE);
	REFUSE("writable and executable", program[TEXT].p_flags, PF_R | PF_W | PF_X);
	REFUSE("share a page", program[DATA].p_vaddr, PAGE + 16);
	REFUSE("executable stack", program[STACK].p_flags, PF_R | PF_W | PF_X);
	REFUSE("in no segment", program[TEXT].p_filesz, 100);
	REFUSE("absolute path", program[FREE], ((Elf64_Phdr){.p_type = PT_INTERP, .p_offset = PAGE, .p_filesz = 8}));
	REFUSE("absolute path", program[FREE], ((Elf64_Phdr){.p_type = PT_INTERP, .p_offset = PAGE, .p_filesz = 0}));
	REFUSE("absolute path", program[FREE],
	       ((Elf64_Phdr){.p_type = PT_INTERP, .p_offset = PAGE, .p_filesz = UINT64_MAX}));
	make(&file);
	file.program[TEXT].p_align = file.program[DATA].p_align = (uint64_t)4 << 20;
	file.program[DATA].p_offset = 16;
	file.program[DATA].p_vaddr = ((uint64_t)4 << 20) + 16;
	refuse(&file, FILE_BYTES, "more than 2 MiB");
}

static void test_interpreter(void **state)
{
	struct file file;
	struct rb_image image;
	char why[RB_WHY_MAX];
	(void)state;
	make(&file);
	memcpy(file.bytes + PAGE, "/lib/ld.so", 11);
	file.program[FREE] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = PAGE, .p_filesz = 11};
	assert_int_equal(rb_image_parse(file.bytes, FILE_BYTES, &image, why), 0);
	assert_string_equal(image.interpreter, "/lib/ld.so");
	file.program[STACK] = file.program[FREE];
	refuse(&file, FILE_BYTES, "more than one interpreter");
}

static void test_load(void **state)
{
	struct file file;
	struct rb_image image;
	struct rb_region region;
	struct rb_memory memory;
	uint64_t base;
	char why[RB_WHY_MAX];
	(void)state;
	make(&file);
	assert_int_equal(rb_image_parse(file.bytes, FILE_BYTES, &image, why), 0);
	assert_int_equal(rb_region_create(&region, 20 * PAGE, RB_REGION_PLAIN, why), 0);
	assert_int_equal(rb_memory_init(&memory, &region), 0);
	assert_int_equal(rb_image_load(&image, file.bytes, &memory, true, &base, why), 0);
	assert_int_equal(base, RB_REGION_MEMORY);
	assert_memory_equal(region.memory, file.bytes, 2 * PAGE);
	assert_memory_equal(region.memory + 3 * PAGE + 16, file.bytes + 2 * PAGE + 16, 100);
	assert_int_equal(region.memory[3 * PAGE + 15], 0);
	assert_int_equal(region.memory[3 * PAGE + 116], 0);
	assert_int_equal(rb_memory_hold(&memory, base, 1), -EFAULT);		/* text cannot be written */
	assert_int_equal(rb_memory_hold(&memory, base + 2 * PAGE, 1), -EFAULT); /* nor what is between */
	assert_int_equal(rb_memory_hold(&memory, base + 3 * PAGE, 3 * PAGE), 0);
	assert_int_equal(rb_memory_hold(&memory, base + 6 * PAGE, 1), -EFAULT);
	rb_memory_release(&memory, base + 3 * PAGE, 3 * PAGE);
	assert_int_equal(rb_image_load(&image, file.bytes, &memory, false, &base, why), 0);
	assert_int_equal(base, RB_REGION_MEMORY + 14 * PAGE);
	image.align = (uint64_t)2 << 20;
	assert_int_equal(rb_image_load(&image, file.bytes, &memory, false, &base, why), -ENOEXEC);
	image.bytes = 30 * PAGE;
	assert_int_equal(rb_image_load(&image, file.bytes, &memory, true, &base, why), -ENOMEM);
	rb_memory_destroy(&memory);
	rb_region_destroy(&region);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	     cmocka_unit_test(test_bad_header),
		cmocka_unit_test(test_bad_segments), cmocka_unit_test(test_interpreter),
		cmocka_unit_test(test_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

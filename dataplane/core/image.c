// SPDX-License-Identifier: Apache-2.0
#include "core/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define FILE_BYTES_MAX	(UINT64_C(1) << 30)
#define IMAGE_BYTES_MAX (UINT64_C(1) << 34)
#define ALIGN_MAX	(UINT64_C(2) << 20)

enum { HEADERS_MAX = 64 };

#define HOW_TO_LINK "link it with -static-pie (and compile all of it with -fPIE or -fPIC)"

static bool in_file(uint64_t offset, uint64_t bytes, size_t size)
{
	return offset <= size && bytes <= size - offset;
}

/* ---- the file's header ---- */

static int check_kind(const Elf64_Ehdr *header, char why[RB_WHY_MAX])
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return rb_refuse(why, -ENOEXEC, "not an ELF file");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return rb_refuse(why, -ENOEXEC, "not a program for x86-64");
	if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
		return rb_refuse(why, -ENOEXEC, "an unknown version of ELF");
	if (header->e_type == ET_EXEC)
		return rb_refuse(why, -ENOEXEC,
				 "linked to a fixed address, and must be able to lie anywhere: " HOW_TO_LINK);
	if (header->e_type != ET_DYN)
		return rb_refuse(why, -ENOEXEC, "neither a program nor a library (ELF type %u)", header->e_type);
	return 0;
}

static int check_headers(const Elf64_Ehdr *header, size_t size, char why[RB_WHY_MAX])
{
	if (header->e_phentsize != sizeof(Elf64_Phdr))
		return rb_refuse(why, -ENOEXEC, "program headers of %u bytes instead of %zu", header->e_phentsize,
				 sizeof(Elf64_Phdr));
	if (header->e_phnum == 0 || header->e_phnum > HEADERS_MAX)
		return rb_refuse(why, -ENOEXEC, "%u program headers: 1 to %d are possible", header->e_phnum,
				 HEADERS_MAX);
	if (!in_file(header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr), size))
		return rb_refuse(why, -ENOEXEC, "the program headers lie outside of the file: is it cut off?");
	return 0;
}

/* ---- program headers ---- */

static int take_interpreter(struct rb_image *image, const uint8_t *file, size_t size, const Elf64_Phdr *header,
			    char why[RB_WHY_MAX])
{
	if (!in_file(header->p_offset, header->p_filesz, size) || header->p_filesz < 2 ||
	    header->p_filesz > RB_IMAGE_INTERPRETER_MAX || file[header->p_offset + header->p_filesz - 1] != '\0' ||
	    file[header->p_offset] != '/')
		return rb_refuse(why, -ENOEXEC, "the name of the interpreter is not an absolute path");
	if (image->interpreter[0] != '\0')
		return rb_refuse(why, -ENOEXEC, "more than one interpreter");
	memcpy(image->interpreter, file + header->p_offset, header->p_filesz);
	return 0;
}

static int check_segment(const Elf64_Phdr *header, size_t size, char why[RB_WHY_MAX])
{
	uint64_t align = header->p_align;
	if (!in_file(header->p_offset, header->p_filesz, size))
		return rb_refuse(why, -ENOEXEC, "a segment lies outside of the file: is it cut off?");
	if (header->p_filesz > header->p_memsz)
		return rb_refuse(why, -ENOEXEC, "a segment has more bytes in the file than in memory");
	if (header->p_memsz > IMAGE_BYTES_MAX || header->p_vaddr > IMAGE_BYTES_MAX)
		return rb_refuse(why, -ENOEXEC, "a segment at 0x%" PRIx64 " of 0x%" PRIx64 " bytes is too large",
				 header->p_vaddr, header->p_memsz);
	/* The kernel and the linker agree on this; the block's pages need no more. */
	if (align > 1 && ((align & (align - 1)) != 0 || (header->p_vaddr - header->p_offset) % align != 0))
		return rb_refuse(why, -ENOEXEC, "a segment's address and place in the file do not fit its alignment");
	if (align > ALIGN_MAX)
		return rb_refuse(why, -ENOEXEC, "a segment's alignment of 0x%" PRIx64 " is more than 2 MiB", align);
	if ((header->p_flags & PF_W) != 0 && (header->p_flags & PF_X) != 0)
		return rb_refuse(why, -ENOEXEC, "a segment is writable and executable at once");
	return 0;
}

static uint64_t page_end(uint64_t address)
{
	return (address + RB_MEMORY_PAGE - 1) & ~(uint64_t)(RB_MEMORY_PAGE - 1);
}

static int take_segment(struct rb_image *image, size_t size, const Elf64_Phdr *header, char why[RB_WHY_MAX])
{
	int result = check_segment(header, size, why);
	if (result != 0 || header->p_memsz == 0)
		return result;
	if (image->segment_count == RB_IMAGE_SEGMENTS_MAX)
		return rb_refuse(why, -ENOEXEC, "more than %d segments", RB_IMAGE_SEGMENTS_MAX);
	if ((header->p_vaddr & ~(uint64_t)(RB_MEMORY_PAGE - 1)) < image->bytes)
		return rb_refuse(why, -ENOEXEC, "segments share a page, or are out of order");
	image->segments[image->segment_count++] = (struct rb_image_segment){
		.address = header->p_vaddr,
		.memory_bytes = header->p_memsz,
		.offset = header->p_offset,
		.file_bytes = header->p_filesz,
		.protection = (header->p_flags & PF_R ? PROT_READ : 0) | (header->p_flags & PF_W ? PROT_WRITE : 0) |
			      (header->p_flags & PF_X ? PROT_EXEC : 0),
	};
	image->bytes = page_end(header->p_vaddr + header->p_memsz);
	if (header->p_align > image->align)
		image->align = header->p_align;
	return 0;
}

static int take_header(struct rb_image *image, const uint8_t *file, size_t size, const Elf64_Phdr *header,
		       char why[RB_WHY_MAX])
{
	switch (header->p_type) {
	case PT_LOAD:
		return take_segment(image, size, header, why);
	case PT_INTERP:
		return take_interpreter(image, file, size, header, why);
	case PT_GNU_STACK:
		return header->p_flags & PF_X
			       ? rb_refuse(why, -ENOEXEC, "wants an executable stack: link with -z noexecstack")
			       : 0;
	default:
		return 0; /* for the program's own libc */
	}
}

/* The segment whose part in the file contains the range of the file. */
static const struct rb_image_segment *segment_of_file(const struct rb_image *image, uint64_t offset, uint64_t bytes)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct rb_image_segment *segment = &image->segments[i];
		if (offset >= segment->offset && offset - segment->offset <= segment->file_bytes &&
		    bytes <= segment->file_bytes - (offset - segment->offset))
			return segment;
	}
	return NULL;
}

static int check_entry(const struct rb_image *image, char why[RB_WHY_MAX])
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct rb_image_segment *segment = &image->segments[i];
		if (image->entry >= segment->address && image->entry - segment->address < segment->memory_bytes &&
		    (segment->protection & PROT_EXEC) != 0)
			return 0;
	}
	return rb_refuse(why, -ENOEXEC, "its entry is not in a segment that can be executed");
}

int rb_image_parse(const uint8_t *file, size_t size, struct rb_image *image, char why[RB_WHY_MAX])
{
	Elf64_Ehdr header;
	*image = (struct rb_image){0};
	if (size < sizeof(header))
		return rb_refuse(why, -ENOEXEC, "not an ELF file");
	memcpy(&header, file, sizeof(header));
	int result = check_kind(&header, why);
	if (result == 0)
		result = check_headers(&header, size, why);
	for (unsigned i = 0; result == 0 && i < header.e_phnum; i++) {
		Elf64_Phdr program;
		memcpy(&program, file + header.e_phoff + i * sizeof(program), sizeof(program));
		result = take_header(image, file, size, &program, why);
	}
	if (result != 0)
		return result;
	uint64_t table = header.e_phnum * sizeof(Elf64_Phdr);
	const struct rb_image_segment *segment = segment_of_file(image, header.e_phoff, table);
	if (segment == NULL)
		return rb_refuse(why, -ENOEXEC,
				 "the program headers are in no segment, where the program looks for them");
	image->headers = segment->address + (header.e_phoff - segment->offset);
	image->header_count = header.e_phnum;
	image->entry = header.e_entry;
	return check_entry(image, why);
}

/* ---- into memory ---- */

static int place_segment(const struct rb_image_segment *segment, const uint8_t *file, struct rb_memory *memory,
			 uint64_t base)
{
	uint64_t start = base + (segment->address & ~(uint64_t)(RB_MEMORY_PAGE - 1));
	uint64_t end = base + page_end(segment->address + segment->memory_bytes);
	int result = rb_memory_copy_out(memory, base + segment->address, file + segment->offset, segment->file_bytes);
	RB_ASSERT_EQ(result, 0); /* all of it has just been mapped */
	return rb_memory_protect(memory, start, end - start, segment->protection);
}

int rb_image_load(const struct rb_image *image, const uint8_t *file, struct rb_memory *memory, bool first,
		  uint64_t *base, char why[RB_WHY_MAX])
{
	/* The block begins at a multiple of all that is possible; other places are multiples of a page. */
	if (!first && image->align > RB_MEMORY_PAGE)
		return rb_refuse(why, -ENOEXEC, "wants an alignment of 0x%" PRIx64, image->align);
	int result = first ? rb_memory_map_first(memory, image->bytes, base)
			   : rb_memory_map(memory, RB_MEMORY_ANYWHERE, image->bytes, PROT_READ | PROT_WRITE, base);
	if (result != 0)
		return rb_refuse(why, result,
				 "%" PRIu64 " KiB do not fit in the application's memory of %" PRIu64 " KiB",
				 image->bytes >> 10, (memory->end - memory->start) >> 10);
	uint64_t after = 0; /* of the previous segment: what lies between two is not for use */
	for (unsigned i = 0; result == 0 && i < image->segment_count; i++) {
		const struct rb_image_segment *segment = &image->segments[i];
		uint64_t start = segment->address & ~(uint64_t)(RB_MEMORY_PAGE - 1);
		if (start > after)
			result = rb_memory_protect(memory, *base + after, start - after, PROT_NONE);
		if (result == 0)
			result = place_segment(segment, file, memory, *base);
		after = page_end(segment->address + segment->memory_bytes);
	}
	return result == 0 ? 0 : rb_refuse(why, result, "cannot protect its segments: %s", strerror(-result));
}

int rb_image_read(const char *path, uint8_t **file, size_t *size, char why[RB_WHY_MAX])
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC), result = 0;
	*file = NULL;
	if (fd < 0 || fstat(fd, &status) != 0)
		result = -errno;
	else if (!S_ISREG(status.st_mode))
		result = -EACCES;
	else if ((uint64_t)status.st_size > FILE_BYTES_MAX)
		result = -EFBIG;
	else if ((*file = malloc((size_t)status.st_size + 1)) == NULL)
		result = -ENOMEM;
	for (*size = 0; result == 0 && *size < (size_t)status.st_size;) {
		ssize_t part = read(fd, *file + *size, (size_t)status.st_size - *size);
		if (part <= 0)
			result = part < 0 ? -errno : -EIO;
		else
			*size += (size_t)part;
	}
	if (fd >= 0)
		close(fd);
	if (result == 0)
		return 0;
	free(*file);
	return rb_refuse(why, result, "cannot read it: %s", strerror(-result));
}

/* ---- symbols ---- */

struct symbols {
	const uint8_t *file;
	size_t size;
	Elf64_Shdr table, strings;
};

static bool section(const struct symbols *symbols, const Elf64_Ehdr *header, unsigned index, Elf64_Shdr *section)
{
	if (index >= header->e_shnum)
		return false;
	memcpy(section, symbols->file + header->e_shoff + index * sizeof(*section), sizeof(*section));
	return section->sh_type == SHT_NOBITS || in_file(section->sh_offset, section->sh_size, symbols->size);
}

static bool find_table(struct symbols *symbols, uint32_t type)
{
	Elf64_Ehdr header;
	if (symbols->size < sizeof(header))
		return false;
	memcpy(&header, symbols->file, sizeof(header));
	if (header.e_shentsize != sizeof(Elf64_Shdr) ||
	    !in_file(header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr), symbols->size))
		return false;
	for (unsigned i = 0; i < header.e_shnum; i++) {
		if (section(symbols, &header, i, &symbols->table) && symbols->table.sh_type == type)
			return section(symbols, &header, symbols->table.sh_link, &symbols->strings) &&
			       symbols->strings.sh_type == SHT_STRTAB;
	}
	return false;
}

static const char *symbol_name(const struct symbols *symbols, uint32_t name)
{
	if (name >= symbols->strings.sh_size)
		return NULL;
	const char *text = (const char *)symbols->file + symbols->strings.sh_offset + name;
	return memchr(text, '\0', symbols->strings.sh_size - name) != NULL ? text : NULL;
}

static const char *find_symbol(const struct symbols *symbols, uint64_t address, uint64_t *offset)
{
	for (uint64_t at = 0; symbols->table.sh_size - at >= sizeof(Elf64_Sym); at += sizeof(Elf64_Sym)) {
		Elf64_Sym symbol;
		memcpy(&symbol, symbols->file + symbols->table.sh_offset + at, sizeof(symbol));
		if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || address < symbol.st_value ||
		    address - symbol.st_value >= symbol.st_size)
			continue;
		*offset = address - symbol.st_value;
		return symbol_name(symbols, symbol.st_name);
	}
	return NULL;
}

const char *rb_image_symbol(const uint8_t *file, size_t size, uint64_t address, uint64_t *offset)
{
	static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};
	struct symbols symbols = {.file = file, .size = size};
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const char *name = find_table(&symbols, types[i]) ? find_symbol(&symbols, address, offset) : NULL;
		if (name != NULL)
			return name;
	}
	return NULL;
}

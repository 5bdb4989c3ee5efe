// SPDX-License-Identifier: Apache-2.0
/* Probes of system calls that change the memory. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/guard/app_probe.h"

#define PAGE ((size_t)4096)

enum { RW = PROT_READ | PROT_WRITE, ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS };

static unsigned char *map(size_t bytes)
{
	void *address = mmap(NULL, bytes, RW, ANONYMOUS, -1, 0);
	CHECK(address != MAP_FAILED);
	return address;
}

static bool all_zero(const unsigned char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/* Anonymous maps: zeroed, also where another one was; in the region. */
static void maps(void)
{
	unsigned char *first = map(8 * PAGE);
	CHECK((uintptr_t)first >= RB_REGION_BASE && (uintptr_t)first < RB_REGION_END);
	CHECK(gate(PROBE_RANGE, (uintptr_t)first, 8 * PAGE, 0) == 1);
	CHECK(all_zero(first, 8 * PAGE));
	memset(first, 0xff, 8 * PAGE);
	CHECK(munmap(first + 2 * PAGE, 2 * PAGE) == 0);
	unsigned char *second = map(2 * PAGE);
	CHECK(second == first + 2 * PAGE); /* the highest place that fits */
	CHECK(all_zero(second, 2 * PAGE));
	CHECK(first[0] == 0xff && first[8 * PAGE - 1] == 0xff);
	CHECK(mmap(first, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == first);
	CHECK(all_zero(first, PAGE) && first[PAGE] == 0xff);
	CHECK(munmap(first, 8 * PAGE) == 0 && munmap(first, 8 * PAGE) == 0);
	CHECK(mmap(first, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == first);
	errno = 0;
	CHECK(mmap(first, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	CHECK(mmap(NULL, (size_t)1 << 40, RW, ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

/* Nothing outside of the region. */
static void outside(void)
{
	char *dataplane = (char *)(uintptr_t)page->gate;
	dataplane -= (uintptr_t)dataplane % PAGE;
	errno = 0;
	CHECK(mmap(dataplane, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap((void *)RB_REGION_BASE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK_ERRNO(munmap(dataplane, PAGE), EINVAL);
	CHECK_ERRNO(mprotect(dataplane, PAGE, RW), ENOMEM);
	CHECK_ERRNO(madvise(dataplane, PAGE, MADV_DONTNEED), ENOMEM);
	CHECK(mremap(dataplane, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	CHECK(gate(PROBE_RANGE, (uintptr_t)dataplane, 1, 0) == 0);
	CHECK(gate(PROBE_RANGE, (uintptr_t)&dataplane, UINT64_MAX, 0) == 0);
	CHECK(gate(PROBE_ADD, 1, 2, 3) == 6);
}

static void protections(void)
{
	unsigned char *bytes = map(3 * PAGE);
	bytes[PAGE] = 0xc3; /* ret */
	errno = 0;
	CHECK(mmap(NULL, PAGE, RW | PROT_EXEC, ANONYMOUS, -1, 0) == MAP_FAILED && errno == EACCES);
	CHECK_ERRNO(mprotect(bytes, PAGE, RW | PROT_EXEC), EACCES);
	CHECK_ERRNO(mprotect(bytes + 1, PAGE, RW), EINVAL);
	CHECK(mprotect(bytes + PAGE, PAGE, PROT_READ | PROT_EXEC) == 0);
	void (*function)(void);
	unsigned char *code = bytes + PAGE;
	memcpy(&function, &code, sizeof(code));
	function();
	CHECK(mprotect(bytes + PAGE, PAGE, RW) == 0);
	bytes[PAGE] = 0;
	CHECK(munmap(bytes, PAGE) == 0);
	CHECK_ERRNO(mprotect(bytes, PAGE, RW), ENOMEM);
	CHECK(mprotect(bytes + PAGE, PAGE, PROT_NONE) == 0);
	CHECK(mprotect(bytes + PAGE, PAGE, RW) == 0 && bytes[PAGE] == 0);
}

static void moves(void)
{
	unsigned char *bytes = map(4 * PAGE);
	memset(bytes, 7, 4 * PAGE);
	unsigned char *moved = mremap(bytes, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED && moved != bytes);
	CHECK(moved[0] == 7 && moved[4 * PAGE - 1] == 7 && all_zero(moved + 4 * PAGE, 60 * PAGE));
	CHECK(mremap(moved, 64 * PAGE, 2 * PAGE, 0) == moved);
	CHECK(mremap(moved, 2 * PAGE, 3 * PAGE, 0) == moved);
	CHECK(moved[2 * PAGE - 1] == 7 && all_zero(moved + 2 * PAGE, PAGE));
	CHECK(madvise(moved, PAGE, MADV_DONTNEED) == 0);
	CHECK(all_zero(moved, PAGE) && moved[PAGE] == 7);
}

/* malloc() in small, large and growing pieces, and the break. */
static void heap(void)
{
	enum { PIECES = 2000 };
	static char *pieces[PIECES];
	char *before = sbrk(0), *large = malloc(PAGE);
	for (int i = 0; i < PIECES; i++) {
		pieces[i] = malloc((size_t)i * 3 + 1);
		memset(pieces[i], i & 0xff, (size_t)i * 3 + 1);
	}
	for (int i = 0; i < PIECES; i++) {
		CHECK((unsigned char)pieces[i][(size_t)i * 3] == (i & 0xff));
		free(pieces[i]);
	}
	for (size_t size = PAGE; size < (size_t)8 << 20; size *= 2) {
		char *grown = realloc(large, 2 * size);
		CHECK(grown != NULL);
		large = grown;
		memset(large + size, 1, size);
	}
	free(large);
	malloc_trim(0);
	CHECK(sbrk(0) >= (void *)before);
	CHECK(sbrk((intptr_t)(16 * PAGE)) != (void *)-1);
	CHECK(all_zero((unsigned char *)sbrk(0) - 15 * PAGE, 15 * PAGE));
	CHECK(sbrk(-(intptr_t)(16 * PAGE)) != (void *)-1);
	errno = 0;
	CHECK(sbrk((intptr_t)1 << 40) == (void *)-1 && errno == ENOMEM);
}

static void file_maps(void)
{
	char name[] = "/tmp/rb-probe-XXXXXX", text[2 * PAGE];
	int fd = mkstemp(name);
	CHECK(fd >= 0 && unlink(name) == 0);
	for (size_t i = 0; i < 2 * PAGE; i++)
		text[i] = (char)(i / 7);
	CHECK(write(fd, text, 2 * PAGE - 100) == (ssize_t)(2 * PAGE - 100));
	char *file = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(file != MAP_FAILED && memcmp(file, text, 2 * PAGE - 100) == 0);
	CHECK(all_zero((unsigned char *)file + 2 * PAGE - 100, 100));
	char *second = mmap(file, PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, (off_t)PAGE);
	CHECK(second == file && memcmp(file, text + PAGE, PAGE - 100) == 0);
	file[0] = 99; /* a copy */
	CHECK(pread(fd, text, 1, (off_t)PAGE) == 1 && text[0] != 99);
	errno = 0;
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, (int)gate(PROBE_FD, 0, 0, 0), 0) == MAP_FAILED && errno == EBADF);
	CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 1) == MAP_FAILED && errno == EINVAL);
}

/* What the dataplane writes to cannot be taken away. */
static void holds(void)
{
	unsigned char *bytes = map(3 * PAGE);
	CHECK(gate(PROBE_HOLD, (uintptr_t)bytes + PAGE + 100, PAGE - 100, 0) == 0);
	CHECK(gate(PROBE_HOLD, (uintptr_t)bytes + PAGE, 8, 0) == 0);
	CHECK_ERRNO(mprotect(bytes, 3 * PAGE, PROT_READ), EBUSY);
	CHECK_ERRNO(munmap(bytes, 3 * PAGE), EBUSY);
	CHECK(mmap(bytes, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EBUSY);
	CHECK(mremap(bytes, 3 * PAGE, 64 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EBUSY);
	CHECK(mremap(bytes, 3 * PAGE, PAGE, 0) == MAP_FAILED && errno == EBUSY);
	CHECK(mprotect(bytes, PAGE, PROT_READ) == 0 && munmap(bytes + 2 * PAGE, PAGE) == 0);
	bytes[PAGE] = 1;
	gate(PROBE_RELEASE, (uintptr_t)bytes + PAGE, 8, 0);
	CHECK_ERRNO(munmap(bytes + PAGE, PAGE), EBUSY);
	gate(PROBE_RELEASE, (uintptr_t)bytes + PAGE + 100, PAGE - 100, 0);
	CHECK(munmap(bytes + PAGE, PAGE) == 0);
	CHECK(gate(PROBE_HOLD, (uintptr_t)bytes, PAGE, 0) == -EFAULT);	   /* read-only */
	CHECK(gate(PROBE_HOLD, (uintptr_t)bytes + PAGE, 1, 0) == -EFAULT); /* not mapped */
	CHECK(gate(PROBE_HOLD, (uintptr_t)holds, 1, 0) == -EFAULT);	   /* code */
	CHECK(gate(PROBE_HOLD, (uintptr_t)page, 1, 0) == -EFAULT);	   /* the ABI page */
	CHECK(gate(PROBE_HOLD, (uintptr_t)&bytes, UINT64_MAX - 9, 0) == -EFAULT);
}

static void limits(void)
{
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur == 1 << 20);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= 4096);
	CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
}

const struct probe probes_memory[] = {
	{"maps", maps},	  {"outside", outside},	    {"protections", protections}, {"moves", moves}, {"heap", heap},
	{"holds", holds}, {"file_maps", file_maps}, {"limits", limits},		  {NULL, NULL},
};

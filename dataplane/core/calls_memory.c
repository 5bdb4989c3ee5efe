// SPDX-License-Identifier: Apache-2.0
/* System calls that change the application's memory. */
#include <errno.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/app_defs.h"

static struct rb_memory *memory_of(const struct rb_call_request *request)
{
	return &request->thread->app->memory;
}

int64_t rb_call_brk(const struct rb_call_request *request)
{
	return (int64_t)rb_memory_break(memory_of(request), request->argument[0]);
}

/* Reads the file in; behind its end there are zeros. */
static int read_file(int fd, uint64_t address, uint64_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		/* NOLINTNEXTLINE(performance-no-int-to-ptr): the application's address */
		ssize_t part = pread(fd, (void *)(uintptr_t)address, bytes, (off_t)offset);
		if (part == 0)
			break;
		if (part < 0)
			return errno == EISDIR ? -ENODEV : -errno;
		address += (uint64_t)part;
		offset += (uint64_t)part;
		bytes -= (uint64_t)part;
	}
	return 0;
}

static int64_t map_file(const struct rb_call_request *request, enum rb_memory_place place, int protection)
{
	struct rb_memory *memory = memory_of(request);
	uint64_t address = request->argument[0], bytes = request->argument[1];
	if (!rb_fds_has(&request->thread->app->fds, (uint32_t)request->argument[4]))
		return -EBADF;
	if ((protection & PROT_WRITE) != 0 && (protection & PROT_EXEC) != 0)
		return -EACCES;
	int result = rb_memory_map(memory, place, bytes, PROT_READ | PROT_WRITE, &address);
	if (result != 0)
		return result;
	result = read_file((int)request->argument[4], address, bytes, request->argument[5]);
	if (result == 0)
		result = rb_memory_protect(memory, address, bytes, protection);
	if (result == 0)
		return (int64_t)address;
	rb_memory_unmap(memory, address, bytes);
	return result;
}

int64_t rb_call_mmap(const struct rb_call_request *request)
{
	uint64_t address = request->argument[0], flags = request->argument[3];
	int protection = (int)request->argument[2];
	enum rb_memory_place place = flags & MAP_FIXED_NOREPLACE ? RB_MEMORY_NOREPLACE
				     : flags & MAP_FIXED	 ? RB_MEMORY_FIXED
								 : RB_MEMORY_ANYWHERE;
	/* A file that is mapped is a copy, so it cannot be shared. */
	if ((flags & MAP_TYPE) != MAP_PRIVATE && ((flags & MAP_TYPE) != MAP_SHARED || !(flags & MAP_ANONYMOUS)))
		return (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE ? -EACCES
												     : -EINVAL;
	if ((flags & (MAP_HUGETLB | MAP_GROWSDOWN)) != 0)
		return -EINVAL;
	if (request->argument[5] % RB_MEMORY_PAGE != 0)
		return -EINVAL;
	if ((flags & MAP_ANONYMOUS) == 0)
		return map_file(request, place, protection);
	int result = rb_memory_map(memory_of(request), place, request->argument[1], protection, &address);
	return result != 0 ? result : (int64_t)address;
}

int64_t rb_call_munmap(const struct rb_call_request *request)
{
	return rb_memory_unmap(memory_of(request), request->argument[0], request->argument[1]);
}

int64_t rb_call_mprotect(const struct rb_call_request *request)
{
	if (request->argument[1] == 0)
		return 0;
	return rb_memory_protect(memory_of(request), request->argument[0], request->argument[1],
				 (int)request->argument[2]);
}

int64_t rb_call_mremap(const struct rb_call_request *request)
{
	uint64_t address = request->argument[0], flags = request->argument[3];
	if ((flags & ~(uint64_t)MREMAP_MAYMOVE) != 0)
		return -EINVAL;
	int result = rb_memory_remap(memory_of(request), &address, request->argument[1], request->argument[2],
				     flags == MREMAP_MAYMOVE);
	return result != 0 ? result : (int64_t)address;
}

int64_t rb_call_madvise(const struct rb_call_request *request)
{
	return rb_memory_advise(memory_of(request), request->argument[0], request->argument[1],
				(int)request->argument[2]);
}

// SPDX-License-Identifier: Apache-2.0
/* Carries out what the table of a personality says. */
#include "core/personality.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

#include "base/log.h"
#include "core/app_defs.h"

/* What Linux gets instead of what the application pointed to. */
struct copies {
	char path[RB_CALL_PATHS][PATH_MAX];
	struct iovec iovec[IOV_MAX];
	unsigned paths;
};

int64_t rb_linux_call(uint64_t number, const uint64_t argument[RB_CALL_ARGUMENTS])
{
	register uint64_t r10 __asm__("r10") = argument[3];
	register uint64_t r8 __asm__("r8") = argument[4];
	register uint64_t r9 __asm__("r9") = argument[5];
	int64_t result;
	/* Not syscall(): that would tell the error to the dataplane's errno. */
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(argument[0]), "S"(argument[1]), "d"(argument[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* ---- arguments ---- */

static int check_array(const struct rb_memory *memory, uint64_t address, uint64_t count, uint64_t size)
{
	uint64_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes) || !rb_memory_contains(memory, address, bytes))
		return -EFAULT;
	return 0;
}

static int check_iovec(const struct rb_memory *memory, uint64_t *address, uint64_t count, struct copies *copies)
{
	if (count > IOV_MAX)
		return -EINVAL;
	if (rb_memory_copy_in(memory, copies->iovec, *address, count * sizeof(struct iovec)) != 0)
		return -EFAULT;
	for (uint64_t i = 0; i < count; i++) {
		const struct iovec *piece = &copies->iovec[i];
		if (piece->iov_len > 0 && !rb_memory_contains(memory, (uintptr_t)piece->iov_base, piece->iov_len))
			return -EFAULT;
	}
	*address = (uintptr_t)copies->iovec;
	return 0;
}

static int check_path(const struct rb_memory *memory, uint64_t *address, struct copies *copies)
{
	char *path = copies->path[copies->paths++];
	int64_t length = rb_memory_copy_string(memory, path, *address, PATH_MAX);
	*address = (uintptr_t)path;
	return length < 0 ? (int)length : 0;
}

/* 0 or -errno. Puts copies in the place of what must not change any more. */
static int check(const struct rb_call_request *request, const struct rb_check *check, uint64_t *argument,
		 struct copies *copies)
{
	struct rb_app *app = request->thread->app;
	uint64_t *value = &argument[check->argument];
	if (check->optional && *value == 0)
		return 0;
	switch ((enum rb_check_kind)check->kind) {
	case RB_CHECK_NONE:
		return 0;
	case RB_CHECK_DIRFD:
		if ((int)*value == AT_FDCWD)
			return 0;
		return rb_fds_has(&app->fds, (uint32_t)*value) ? 0 : -EBADF;
	case RB_CHECK_FD:
		return rb_fds_has(&app->fds, (uint32_t)*value) ? 0 : -EBADF;
	case RB_CHECK_BYTES:
		return check_array(&app->memory, *value, 1, check->size);
	case RB_CHECK_ARRAY:
		return check_array(&app->memory, *value, argument[check->count], check->size);
	case RB_CHECK_PATH:
		return check_path(&app->memory, value, copies);
	case RB_CHECK_IOVEC:
		return check_iovec(&app->memory, value, argument[check->count], copies);
	case RB_CHECK_ZERO:
		return *value == 0 ? 0 : -EPERM;
	case RB_CHECK_SELF:
		return *value == 0 || rb_app_has_thread(app, *value) ? 0 : -EPERM;
	}
	return -EPERM;
}

/* ---- the call ---- */

static int64_t forward(const struct rb_call *call, uint64_t number, const struct rb_call_request *request)
{
	struct copies copies;
	uint64_t argument[RB_CALL_ARGUMENTS];
	copies.paths = 0;
	memcpy(argument, request->argument, sizeof(argument));
	for (unsigned i = 0; i < RB_CALL_CHECKS && call->checks[i].kind != RB_CHECK_NONE; i++) {
		int result = check(request, &call->checks[i], argument, &copies);
		if (result != 0)
			return result;
	}
	int64_t result = rb_linux_call(number, argument);
	return call->opens && result >= 0 ? rb_fds_add(&request->thread->app->fds, (int)result) : result;
}

static int64_t refuse(struct rb_app *app, const struct rb_call *call, uint64_t number)
{
	uint64_t slot = number < RB_CALLS_MAX ? number : RB_CALLS_MAX;
	if (!call->quiet && !atomic_exchange(&app->personality.told[slot], true))
		rb_log(RB_LOG_WARNING, "%s: system call %llu%s%s%s refused", app->config.path,
		       (unsigned long long)number, call->name != NULL ? " (" : "", call->name != NULL ? call->name : "",
		       call->name != NULL ? ")" : "");
	return -call->error;
}

int64_t rb_personality_call(struct rb_app_thread *thread, const struct rb_guard_registers *registers)
{
	uint64_t number = registers->rax;
	const struct rb_call *call = rb_personality_find(number);
	struct rb_call_request request = {
		.thread = thread,
		.registers = registers,
		.argument = {registers->rdi, registers->rsi, registers->rdx, registers->r10, registers->r8,
			     registers->r9},
	};
	_Atomic uint64_t *count = &thread->app->personality.counts[number < RB_CALLS_MAX ? number : RB_CALLS_MAX];
	atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
	if (call->local != NULL)
		return call->local(&request);
	return call->error != 0 ? refuse(thread->app, call, number) : forward(call, number, &request);
}

// SPDX-License-Identifier: Apache-2.0
/* System calls that concern threads and the process. */
#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/app_defs.h"

/* What makes a thread. */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
/* What a thread may have besides. CLONE_DETACHED has no meaning any more. */
#define THREAD_OPTIONS                                                                                    \
	(CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | \
	 CLONE_DETACHED)

int64_t rb_call_arch_prctl(const struct rb_call_request *request)
{
	struct rb_app_thread *thread = request->thread;
	uint64_t value = request->argument[1];
	switch (request->argument[0]) {
	case ARCH_SET_FS:
		/* A base that is no address at all would be a fault of the dataplane. */
		if (!rb_memory_contains(&thread->app->memory, value, sizeof(uint64_t)))
			return -EPERM;
		thread->tls = value;
		thread->app->config.guard->set_tls(thread->guard, value);
		return 0;
	case ARCH_GET_FS:
		return rb_memory_copy_out(&thread->app->memory, value, &thread->tls, sizeof(thread->tls));
	default:
		return -EINVAL; /* GS is the guard's; shadow stacks: the program does without */
	}
}

int64_t rb_call_prctl(const struct rb_call_request *request)
{
	enum { NAME_BYTES = 16 };
	switch ((int)request->argument[0]) {
	case PR_SET_NAME:
	case PR_GET_NAME:
		if (!rb_memory_contains(&request->thread->app->memory, request->argument[1], NAME_BYTES))
			return -EFAULT;
		return rb_linux_call(SYS_prctl, request->argument);
	case PR_SET_TIMERSLACK:
	case PR_GET_TIMERSLACK:
		return rb_linux_call(SYS_prctl, request->argument);
	default:
		return -EINVAL;
	}
}

/* ---- new threads ---- */

static int64_t clone_thread(const struct rb_call_request *request, const struct clone_args *args)
{
	struct rb_app_thread *thread = request->thread;
	const struct rb_memory *memory = &thread->app->memory;
	uint64_t tls = args->flags & CLONE_SETTLS ? args->tls : thread->tls;
	if ((args->flags & THREAD_FLAGS) != THREAD_FLAGS)
		return -EPERM; /* another process: there is one only */
	if ((args->flags & ~(uint64_t)(THREAD_FLAGS | THREAD_OPTIONS)) != 0 || args->exit_signal != 0)
		return -EINVAL;
	if (args->stack == 0 || !rb_memory_contains(memory, args->stack, args->stack_size) ||
	    !rb_memory_contains(memory, tls, sizeof(uint64_t)))
		return -EINVAL;
	const struct rb_app_spawn spawn = {
		.start = {.entry = request->registers->rip,
			  .stack = args->stack + args->stack_size,
			  .tls = tls,
			  .like = request->registers},
		.parent_tid = args->flags & CLONE_PARENT_SETTID ? args->parent_tid : 0,
		.child_tid = args->flags & CLONE_CHILD_SETTID ? args->child_tid : 0,
		.clear_tid = args->flags & CLONE_CHILD_CLEARTID ? args->child_tid : 0,
		.mask = thread->mask,
	};
	return rb_app_thread_spawn(thread->app, &spawn);
}

int64_t rb_call_clone3(const struct rb_call_request *request)
{
	enum { SIZE_OF_FIRST_VERSION = 64 };
	struct clone_args args = {0};
	uint64_t size = request->argument[1];
	if (size < SIZE_OF_FIRST_VERSION || size > sizeof(args))
		return -E2BIG;
	if (rb_memory_copy_in(&request->thread->app->memory, &args, request->argument[0], size) != 0)
		return -EFAULT;
	return args.set_tid_size != 0 || args.cgroup != 0 ? -EPERM : clone_thread(request, &args);
}

int64_t rb_call_clone(const struct rb_call_request *request)
{
	enum { SIGNAL = 0xff };
	const struct clone_args args = {
		.flags = (uint32_t)request->argument[0] & ~(uint64_t)SIGNAL,
		.exit_signal = request->argument[0] & SIGNAL,
		.stack = request->argument[1],
		.parent_tid = request->argument[2],
		.child_tid = request->argument[3],
		.tls = request->argument[4],
	};
	return clone_thread(request, &args);
}

/* ---- the end ---- */

int64_t rb_call_exit(const struct rb_call_request *request)
{
	struct rb_app_thread *thread = request->thread;
	thread->status = (int)(request->argument[0] & 0xff);
	thread->app->config.guard->thread_exit(thread->guard);
}

int64_t rb_call_exit_group(const struct rb_call_request *request)
{
	struct rb_app_thread *thread = request->thread;
	rb_app_end(thread->app, (int)(request->argument[0] & 0xff));
	thread->app->config.guard->thread_exit(thread->guard);
}

int64_t rb_call_set_tid_address(const struct rb_call_request *request)
{
	request->thread->clear_tid = request->argument[0]; /* checked when it is used */
	return request->thread->tid;
}

/* ---- waiting for each other ---- */

int64_t rb_call_futex(const struct rb_call_request *request)
{
	const struct rb_memory *memory = &request->thread->app->memory;
	const uint64_t *argument = request->argument;
	bool second = false, timeout = false;
	switch (argument[1] & FUTEX_CMD_MASK) {
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
	case FUTEX_UNLOCK_PI:
	case FUTEX_TRYLOCK_PI:
		break;
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		timeout = true;
		break;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_CMP_REQUEUE_PI:
	case FUTEX_WAKE_OP:
		second = true; /* the fourth argument is a number */
		break;
	case FUTEX_WAIT_REQUEUE_PI:
		second = timeout = true;
		break;
	default:
		return -ENOSYS;
	}
	if (!rb_memory_contains(memory, argument[0], sizeof(uint32_t)) ||
	    (timeout && argument[3] != 0 && !rb_memory_contains(memory, argument[3], sizeof(struct timespec))) ||
	    (second && !rb_memory_contains(memory, argument[4], sizeof(uint32_t))))
		return -EFAULT;
	return rb_linux_call(SYS_futex, argument);
}

/* ---- limits ---- */

static int64_t get_limit(const struct rb_call_request *request, uint64_t resource, uint64_t address)
{
	struct rlimit limit;
	if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
		return -errno;
	/* What libc gives to further threads by default. */
	if (resource == RLIMIT_STACK)
		limit.rlim_cur = limit.rlim_max = request->thread->app->config.stack_bytes;
	if (resource == RLIMIT_NOFILE && limit.rlim_cur > RB_FDS_MAX)
		limit.rlim_cur = limit.rlim_max = RB_FDS_MAX;
	return rb_memory_copy_out(&request->thread->app->memory, address, &limit, sizeof(limit));
}

int64_t rb_call_prlimit64(const struct rb_call_request *request)
{
	if ((request->argument[0] != 0 && request->argument[0] != (uint64_t)getpid()) || request->argument[2] != 0)
		return -EPERM;
	return request->argument[3] == 0 ? 0 : get_limit(request, request->argument[1], request->argument[3]);
}

int64_t rb_call_getrlimit(const struct rb_call_request *request)
{
	return get_limit(request, request->argument[0], request->argument[1]);
}

// SPDX-License-Identifier: Apache-2.0
/* System calls that make, close and configure descriptors. */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/app_defs.h"

/* ---- opening ---- */

/* Devices that are no more than a source or sink of bytes: memory's (1), and terminals (4, 5, 136 to 143). */
static bool harmless_device(dev_t device)
{
	unsigned group = major(device), which = minor(device);
	if (group == 1)
		return which == 3 || which == 5 || which == 7 || which == 8 || which == 9;
	return group == 4 || group == 5 || (group >= 136 && group <= 143);
}

/* Through /proc a process can be read and written, and the machine changed. */
static int check_proc(int fd, int flags)
{
	char link[64], path[PATH_MAX];
	if ((flags & O_ACCMODE) != O_RDONLY)
		return -EPERM;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return -errno;
	path[length] = '\0';
	const char *name = strrchr(path, '/');
	return name != NULL && (strcmp(name, "/mem") == 0 || strcmp(name, "/kcore") == 0) ? -EPERM : 0;
}

/*
 * What the application has opened, whatever its name was. -EPERM: a device, the process itself, the dataplane's huge
 * pages.
 */
static int check_opened(int fd, int flags)
{
	struct stat status;
	struct statfs system;
	if (fstat(fd, &status) != 0 || fstatfs(fd, &system) != 0)
		return -errno;
	if (S_ISBLK(status.st_mode) || (S_ISCHR(status.st_mode) && !harmless_device(status.st_rdev)))
		return -EPERM;
	if (system.f_type == PROC_SUPER_MAGIC)
		return check_proc(fd, flags);
	return system.f_type == HUGETLBFS_MAGIC ? -EPERM : 0;
}

static int64_t open_path(const struct rb_call_request *request, uint64_t directory, uint64_t path, uint64_t flags,
			 uint64_t mode)
{
	struct rb_app *app = request->thread->app;
	char name[PATH_MAX];
	/* O_SYNC has O_DSYNC in it, O_TMPFILE has O_DIRECTORY; and the kernel's O_LARGEFILE is 0 in the C library. */
	const uint64_t known = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
			       O_DIRECT | O_NOFOLLOW | O_CLOEXEC | O_PATH | O_TMPFILE | 0100000;
	/* Links of /proc/self/fd lead to files of the dataplane, whatever the path looks like. */
	struct open_how how = {.flags = flags & known, .resolve = RESOLVE_NO_MAGICLINKS};
	if ((flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0)
		how.mode = mode & 07777;
	int64_t length = rb_memory_copy_string(&app->memory, name, path, sizeof(name));
	if (length < 0)
		return length;
	if ((int)directory != AT_FDCWD && !rb_fds_has(&app->fds, (uint32_t)directory))
		return -EBADF;
	const uint64_t argument[RB_CALL_ARGUMENTS] = {directory, (uintptr_t)name, (uintptr_t)&how, sizeof(how)};
	int64_t fd = rb_linux_call(SYS_openat2, argument);
	if (fd < 0)
		return fd;
	int result = check_opened((int)fd, (int)flags);
	if (result == 0)
		return rb_fds_add(&app->fds, (int)fd);
	close((int)fd);
	return result;
}

int64_t rb_call_open(const struct rb_call_request *request)
{
	return open_path(request, (uint64_t)AT_FDCWD, request->argument[0], request->argument[1], request->argument[2]);
}

int64_t rb_call_openat(const struct rb_call_request *request)
{
	return open_path(request, request->argument[0], request->argument[1], request->argument[2],
			 request->argument[3]);
}

int64_t rb_call_creat(const struct rb_call_request *request)
{
	return open_path(request, (uint64_t)AT_FDCWD, request->argument[0], O_CREAT | O_WRONLY | O_TRUNC,
			 request->argument[1]);
}

int64_t rb_call_close(const struct rb_call_request *request)
{
	return rb_fds_close(&request->thread->app->fds, (uint32_t)request->argument[0]);
}

/* ---- copies and pairs ---- */

static int64_t duplicate(const struct rb_call_request *request, int flags)
{
	const struct rb_fds *fds = &request->thread->app->fds;
	uint32_t from = (uint32_t)request->argument[0], to = (uint32_t)request->argument[1];
	/* A number that is not the application's may be the dataplane's, now or in an instant. */
	if (!rb_fds_has(fds, from) || !rb_fds_has(fds, to))
		return -EBADF;
	int result = dup3((int)from, (int)to, flags);
	return result < 0 ? -errno : result;
}

int64_t rb_call_dup2(const struct rb_call_request *request)
{
	if ((uint32_t)request->argument[0] == (uint32_t)request->argument[1])
		return rb_fds_has(&request->thread->app->fds, (uint32_t)request->argument[0])
			       ? (int64_t)(uint32_t)request->argument[0]
			       : -EBADF;
	return duplicate(request, 0);
}

int64_t rb_call_dup3(const struct rb_call_request *request)
{
	return duplicate(request, (int)request->argument[2]);
}

static int64_t make_pipe(const struct rb_call_request *request, int flags)
{
	struct rb_app *app = request->thread->app;
	int ends[2];
	if (pipe2(ends, flags) != 0)
		return -errno;
	int64_t first = rb_fds_add(&app->fds, ends[0]), second = rb_fds_add(&app->fds, ends[1]);
	int64_t result = first < 0 ? first : second < 0 ? second : 0;
	if (result == 0)
		result = rb_memory_copy_out(&app->memory, request->argument[0], ends, sizeof(ends));
	if (result == 0)
		return 0;
	rb_fds_close(&app->fds, (uint64_t)ends[0]);
	rb_fds_close(&app->fds, (uint64_t)ends[1]);
	return result;
}

int64_t rb_call_pipe(const struct rb_call_request *request)
{
	return make_pipe(request, 0);
}

int64_t rb_call_pipe2(const struct rb_call_request *request)
{
	return make_pipe(request, (int)request->argument[1]);
}

/* ---- settings ---- */

int64_t rb_call_fcntl(const struct rb_call_request *request)
{
	struct rb_fds *fds = &request->thread->app->fds;
	if (!rb_fds_has(fds, (uint32_t)request->argument[0]))
		return -EBADF;
	int64_t result;
	switch ((int)request->argument[1]) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		result = rb_linux_call(SYS_fcntl, request->argument);
		return result < 0 ? result : rb_fds_add(fds, (int)result);
	case F_GETFD:
	case F_SETFD:
	case F_GETFL:
	case F_SETFL:
		return rb_linux_call(SYS_fcntl, request->argument);
	default:
		return -EINVAL; /* locks, signals: not supported */
	}
}

/* What stdio asks, and programs that write to terminals. */
int64_t rb_call_ioctl(const struct rb_call_request *request)
{
	struct rb_app *app = request->thread->app;
	size_t bytes;
	if (!rb_fds_has(&app->fds, (uint32_t)request->argument[0]))
		return -EBADF;
	switch (request->argument[1]) {
	case TCGETS:
		bytes = sizeof(struct termios);
		break;
	case TCGETS2:
		bytes = sizeof(struct termios2);
		break;
	case TIOCGWINSZ:
		bytes = sizeof(struct winsize);
		break;
	case FIONREAD:
		bytes = sizeof(int);
		break;
	default:
		return -EPERM;
	}
	if (!rb_memory_contains(&app->memory, request->argument[2], bytes))
		return -EFAULT;
	return rb_linux_call(SYS_ioctl, request->argument);
}

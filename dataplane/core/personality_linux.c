// SPDX-License-Identifier: Apache-2.0
/*
 * The personality of native applications: Linux for all that is not the network, in one process that has no children and
 * no signal handlers.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

#include "core/personality.h"

#define NOTHING		    {.kind = RB_CHECK_NONE}
#define FD(i)		    {.kind = RB_CHECK_FD, .argument = (i)}
#define DIRFD(i)	    {.kind = RB_CHECK_DIRFD, .argument = (i)}
#define BYTES(i, n)	    {.kind = RB_CHECK_BYTES, .argument = (i), .size = (n)}
#define MAYBE(i, n)	    {.kind = RB_CHECK_BYTES, .argument = (i), .size = (n), .optional = true}
#define ARRAY(i, n, count_) {.kind = RB_CHECK_ARRAY, .argument = (i), .size = (n), .count = (count_)}
#define BUFFER(i, count_)   ARRAY(i, 1, count_)
#define PATH(i)		    {.kind = RB_CHECK_PATH, .argument = (i)}
#define IOVEC(i, count_)    {.kind = RB_CHECK_IOVEC, .argument = (i), .count = (count_)}
#define ZERO(i)		    {.kind = RB_CHECK_ZERO, .argument = (i)}
#define SELF(i)		    {.kind = RB_CHECK_SELF, .argument = (i)}

#define FORWARD(call)	   [SYS_##call] = {.name = #call}
#define CHECKED(call, ...) [SYS_##call] = {.name = #call, .checks = {__VA_ARGS__}}
#define OPENS(call, ...)   [SYS_##call] = {.name = #call, .opens = true, .checks = {__VA_ARGS__}}
#define LOCAL(call)	   [SYS_##call] = {.name = #call, .local = rb_call_##call}
#define REFUSE(call)	   [SYS_##call] = {.name = #call, .error = EPERM}
#define ABSENT(call)	   [SYS_##call] = {.name = #call, .error = ENOSYS, .quiet = true}

enum {
	TIME = sizeof(struct timespec),
	STAT = sizeof(struct stat),
};

static const struct rb_call calls[RB_CALLS_MAX] = {
	/* ---- memory: inside the region only ---- */
	LOCAL(brk),
	LOCAL(mmap),
	LOCAL(munmap),
	LOCAL(mprotect),
	LOCAL(mremap),
	LOCAL(madvise),

	/* ---- threads and the process ---- */
	LOCAL(arch_prctl),
	LOCAL(prctl),
	LOCAL(clone),
	LOCAL(clone3),
	LOCAL(exit),
	LOCAL(exit_group),
	LOCAL(set_tid_address),
	LOCAL(futex),
	LOCAL(prlimit64),
	LOCAL(getrlimit),
	FORWARD(getpid),
	FORWARD(getppid),
	FORWARD(gettid),
	FORWARD(getuid),
	FORWARD(geteuid),
	FORWARD(getgid),
	FORWARD(getegid),
	FORWARD(sched_yield),
	CHECKED(sched_setaffinity, SELF(0), BUFFER(2, 1)),
	CHECKED(sched_getaffinity, SELF(0), BUFFER(2, 1)),
	CHECKED(getcpu, MAYBE(0, sizeof(unsigned)), MAYBE(1, sizeof(unsigned)), ZERO(2)),
	CHECKED(getrusage, BYTES(1, sizeof(struct rusage))),
	CHECKED(times, MAYBE(0, sizeof(struct tms))),
	CHECKED(uname, BYTES(0, sizeof(struct utsname))),
	CHECKED(sysinfo, BYTES(0, sizeof(struct sysinfo))),
	CHECKED(getrandom, BUFFER(0, 1)),
	ABSENT(rseq),		 /* the kernel keeps one area per thread, which the dataplane has */
	ABSENT(set_robust_list), /* the same */
	ABSENT(get_robust_list),
	ABSENT(membarrier),
	ABSENT(futex_waitv),
	ABSENT(map_shadow_stack),

	/* ---- time ---- */
	CHECKED(clock_gettime, BYTES(1, TIME)),
	CHECKED(clock_getres, MAYBE(1, TIME)),
	CHECKED(clock_nanosleep, BYTES(2, TIME), MAYBE(3, TIME)),
	CHECKED(nanosleep, BYTES(0, TIME), MAYBE(1, TIME)),
	CHECKED(gettimeofday, MAYBE(0, 16), MAYBE(1, 8)),
	CHECKED(time, MAYBE(0, 8)),

	/* ---- signals: those that the dataplane passes on ---- */
	LOCAL(rt_sigaction),
	LOCAL(rt_sigprocmask),
	LOCAL(rt_sigpending),
	LOCAL(rt_sigtimedwait),
	LOCAL(kill),
	LOCAL(tkill),
	LOCAL(tgkill),
	REFUSE(sigaltstack), /* there are no handlers that could run on one */
	REFUSE(rt_sigreturn),
	REFUSE(rt_sigsuspend),
	REFUSE(rt_sigqueueinfo),
	REFUSE(rt_tgsigqueueinfo),
	REFUSE(pause),
	REFUSE(alarm),
	REFUSE(setitimer),
	REFUSE(timer_create),
	REFUSE(signalfd4),

	/* ---- descriptors: the application's own ---- */
	LOCAL(open),
	LOCAL(openat),
	LOCAL(creat),
	LOCAL(close),
	LOCAL(dup2),
	LOCAL(dup3),
	LOCAL(pipe),
	LOCAL(pipe2),
	LOCAL(fcntl),
	LOCAL(ioctl),
	OPENS(dup, FD(0)),
	OPENS(eventfd2, NOTHING),
	OPENS(eventfd, NOTHING),
	OPENS(timerfd_create, NOTHING),
	OPENS(epoll_create1, NOTHING),
	OPENS(epoll_create, NOTHING),
	CHECKED(read, FD(0), BUFFER(1, 2)),
	CHECKED(write, FD(0), BUFFER(1, 2)),
	CHECKED(pread64, FD(0), BUFFER(1, 2)),
	CHECKED(pwrite64, FD(0), BUFFER(1, 2)),
	CHECKED(readv, FD(0), IOVEC(1, 2)),
	CHECKED(writev, FD(0), IOVEC(1, 2)),
	CHECKED(preadv, FD(0), IOVEC(1, 2)),
	CHECKED(pwritev, FD(0), IOVEC(1, 2)),
	CHECKED(lseek, FD(0)),
	CHECKED(fsync, FD(0)),
	CHECKED(fdatasync, FD(0)),
	CHECKED(ftruncate, FD(0)),
	CHECKED(fallocate, FD(0)),
	CHECKED(fadvise64, FD(0)),
	CHECKED(flock, FD(0)),
	CHECKED(fstat, FD(0), BYTES(1, STAT)),
	CHECKED(fstatfs, FD(0), BYTES(1, sizeof(struct statfs))),
	CHECKED(getdents64, FD(0), BUFFER(1, 2)),
	CHECKED(timerfd_settime, FD(0), BYTES(2, 2 * TIME), MAYBE(3, 2 * TIME)),
	CHECKED(timerfd_gettime, FD(0), BYTES(1, 2 * TIME)),
	CHECKED(poll, ARRAY(0, sizeof(struct pollfd), 1)),
	/* their masks would change the signals that the native thread takes */
	CHECKED(ppoll, ARRAY(0, sizeof(struct pollfd), 1), MAYBE(2, TIME), ZERO(3)),
	CHECKED(epoll_ctl, FD(0), FD(2), MAYBE(3, sizeof(struct epoll_event))),
	CHECKED(epoll_wait, FD(0), ARRAY(1, sizeof(struct epoll_event), 2)),
	CHECKED(epoll_pwait, FD(0), ARRAY(1, sizeof(struct epoll_event), 2), ZERO(4)),
	CHECKED(epoll_pwait2, FD(0), ARRAY(1, sizeof(struct epoll_event), 2), MAYBE(3, TIME), ZERO(4)),
	ABSENT(openat2),

	/* ---- names ---- */
	CHECKED(stat, PATH(0), BYTES(1, STAT)),
	CHECKED(lstat, PATH(0), BYTES(1, STAT)),
	CHECKED(newfstatat, DIRFD(0), PATH(1), BYTES(2, STAT)),
	CHECKED(statx, DIRFD(0), PATH(1), BYTES(4, sizeof(struct statx))),
	CHECKED(statfs, PATH(0), BYTES(1, sizeof(struct statfs))),
	CHECKED(access, PATH(0)),
	CHECKED(faccessat, DIRFD(0), PATH(1)),
	CHECKED(faccessat2, DIRFD(0), PATH(1)),
	CHECKED(readlink, PATH(0), BUFFER(1, 2)),
	CHECKED(readlinkat, DIRFD(0), PATH(1), BUFFER(2, 3)),
	CHECKED(getcwd, BUFFER(0, 1)),
	CHECKED(mkdir, PATH(0)),
	CHECKED(mkdirat, DIRFD(0), PATH(1)),
	CHECKED(rmdir, PATH(0)),
	CHECKED(unlink, PATH(0)),
	CHECKED(unlinkat, DIRFD(0), PATH(1)),
	CHECKED(rename, PATH(0), PATH(1)),
	CHECKED(renameat, DIRFD(0), PATH(1), DIRFD(2), PATH(3)),
	CHECKED(renameat2, DIRFD(0), PATH(1), DIRFD(2), PATH(3)),

	/* ---- never: the network is the dataplane's, the process and the machine are not the application's ---- */
	REFUSE(socket),
	REFUSE(socketpair),
	REFUSE(connect),
	REFUSE(accept),
	REFUSE(accept4),
	REFUSE(bind),
	REFUSE(listen),
	REFUSE(getsockname),
	REFUSE(getpeername),
	REFUSE(setsockopt),
	REFUSE(getsockopt),
	REFUSE(sendto),
	REFUSE(recvfrom),
	REFUSE(sendmsg),
	REFUSE(recvmsg),
	REFUSE(sendmmsg),
	REFUSE(recvmmsg),
	REFUSE(shutdown),
	REFUSE(execve),
	REFUSE(execveat),
	REFUSE(fork),
	REFUSE(vfork),
	REFUSE(wait4),
	REFUSE(waitid),
	REFUSE(ptrace),
	REFUSE(process_vm_readv),
	REFUSE(process_vm_writev),
	REFUSE(process_madvise),
	REFUSE(pidfd_open),
	REFUSE(pidfd_getfd),
	REFUSE(io_uring_setup),
	REFUSE(io_uring_enter),
	REFUSE(io_uring_register),
	REFUSE(io_setup),
	REFUSE(userfaultfd),
	REFUSE(memfd_create),
	REFUSE(shmget),
	REFUSE(shmat),
	REFUSE(bpf),
	REFUSE(perf_event_open),
	REFUSE(seccomp),
	REFUSE(unshare),
	REFUSE(setns),
	REFUSE(mount),
	REFUSE(umount2),
	REFUSE(pivot_root),
	REFUSE(chroot),
	REFUSE(chdir),
	REFUSE(fchdir),
	REFUSE(setuid),
	REFUSE(setgid),
	REFUSE(capset),
	REFUSE(setrlimit),
	REFUSE(sched_setscheduler),
	REFUSE(kexec_load),
	REFUSE(kexec_file_load),
	REFUSE(init_module),
	REFUSE(finit_module),
	REFUSE(delete_module),
	REFUSE(reboot),
	REFUSE(iopl),
	REFUSE(ioperm),
	REFUSE(modify_ldt),
	REFUSE(swapon),
	REFUSE(swapoff),
	REFUSE(splice),
	REFUSE(vmsplice),
	REFUSE(mlockall),
};

const struct rb_call *rb_personality_find(uint64_t number)
{
	static const struct rb_call unknown = {.error = EPERM};
	return number < RB_CALLS_MAX && calls[number].name != NULL ? &calls[number] : &unknown;
}

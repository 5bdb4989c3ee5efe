// SPDX-License-Identifier: Apache-2.0
/* Probes of what is forwarded, what is refused, and what is checked before. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guard/app_probe.h"

#define DATAPLANE ((char *)(uintptr_t)page->gate)

/* Not known to the compiler, which would say what is wrong with them. */
static char *volatile null_page = (char *)8, *volatile abi_page = (char *)RB_REGION_BASE;
static volatile size_t too_long = (size_t)1 << 46, too_many = 100000;

static void refused(void)
{
	char *const none[] = {NULL};
	struct sockaddr_in address = {.sin_family = AF_INET};
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, 0), EPERM);
	CHECK_ERRNO(connect(0, (struct sockaddr *)&address, sizeof(address)), EPERM);
	CHECK_ERRNO(fork(), EPERM);
	CHECK_ERRNO(syscall(SYS_vfork), EPERM);
	CHECK_ERRNO(execve("/bin/true", none, none), EPERM);
	CHECK_ERRNO(wait(NULL), EPERM);
	CHECK_ERRNO(syscall(SYS_ptrace, 0, 0, 0, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_io_uring_setup, 1, NULL), EPERM);
	CHECK_ERRNO(syscall(SYS_userfaultfd, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_bpf, 0, NULL, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL), EPERM);
	CHECK_ERRNO(syscall(SYS_kexec_load, 0, 0, NULL, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_prctl, 59, 0, 0, 0, 0), EINVAL); /* Syscall User Dispatch off */
	CHECK_ERRNO(syscall(SYS_rseq, NULL, 0, 0, 0), ENOSYS);
	CHECK_ERRNO(syscall(400), EPERM); /* no call of Linux */
	CHECK_ERRNO(syscall(100000), EPERM);
	CHECK_ERRNO(syscall(-1), EPERM);
	CHECK_ERRNO(kill(1, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_tgkill, getpid(), getpid(), 0), ESRCH); /* the dataplane's first thread */
}

/* Pointers to the dataplane's memory, directly and nested; and nowhere. */
static void pointers(void)
{
	char byte = 0;
	struct iovec pieces[2] = {{&byte, 1}, {DATAPLANE, 1}}, *outside = (struct iovec *)(void *)DATAPLANE;
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), epoll = epoll_create1(0);
	CHECK(null >= 0 && zero >= 0 && epoll >= 0);
	CHECK_ERRNO(write(null, DATAPLANE, 1), EFAULT);
	CHECK_ERRNO(read(zero, DATAPLANE, 1), EFAULT);
	CHECK_ERRNO(read(zero, &byte, too_long), EFAULT);
	CHECK_ERRNO(read(zero, null_page, 1), EFAULT);
	CHECK_ERRNO(read(zero, abi_page, 1), EFAULT);			 /* the ABI page */
	CHECK_ERRNO(read(zero, (char *)(uintptr_t)pointers, 1), EFAULT); /* code: by the kernel */
	CHECK(writev(null, pieces, 1) == 1);
	CHECK_ERRNO(writev(null, pieces, 2), EFAULT);
	CHECK_ERRNO(writev(null, outside, 1), EFAULT);
	CHECK_ERRNO(writev(null, pieces, (int)too_many), EINVAL);
	pieces[1] = (struct iovec){&byte, SIZE_MAX};
	CHECK_ERRNO(readv(zero, pieces, 2), EFAULT);
	CHECK_ERRNO(open(DATAPLANE, O_RDONLY), EFAULT);
	CHECK_ERRNO(access(null_page, F_OK), EFAULT);
	CHECK_ERRNO(uname((struct utsname *)(void *)DATAPLANE), EFAULT);
	CHECK_ERRNO(epoll_wait(epoll, (struct epoll_event *)(void *)DATAPLANE, 1, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_futex, DATAPLANE, 1, 1, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, DATAPLANE), EFAULT);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1002, DATAPLANE), EPERM);
	CHECK_ERRNO(syscall(SYS_arch_prctl, 0x1002, UINT64_C(1) << 60), EPERM);
	CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, DATAPLANE, NULL, 8), EFAULT);
	CHECK_ERRNO(syscall(SYS_clone3, DATAPLANE, 88), EFAULT);
}

static void descriptors(void)
{
	int other = (int)gate(PROBE_FD, 0, 0, 0), ends[2];
	char byte;
	struct stat status;
	struct epoll_event event = {.events = EPOLLIN};
	CHECK_ERRNO(read(other, &byte, 1), EBADF);
	CHECK_ERRNO(close(other), EBADF);
	CHECK_ERRNO(dup(other), EBADF);
	CHECK_ERRNO(dup2(0, other), EBADF);
	CHECK_ERRNO(fcntl(other, F_DUPFD, 0), EBADF);
	CHECK_ERRNO(fstat(other, &status), EBADF);
	CHECK_ERRNO(ioctl(other, FIONREAD, &ends), EBADF);
	CHECK_ERRNO(openat(other, "x", O_RDONLY), EBADF);
	CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
	int epoll = epoll_create1(EPOLL_CLOEXEC), copy = dup(ends[0]), wake = eventfd(0, 0);
	CHECK(epoll >= 0 && copy >= 0 && wake >= 0);
	CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event), EBADF);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, copy, &event) == 0);
	CHECK(epoll_wait(epoll, &event, 1, -1) == 1 && event.events == EPOLLIN);
	CHECK(read(copy, &byte, 1) == 1 && byte == 'x');
	CHECK(close(copy) == 0);
	CHECK_ERRNO(close(copy), EBADF);
	CHECK(dup2(ends[0], wake) == wake && close(ends[1]) == 0 && read(wake, &byte, 1) == 0);
	CHECK(close(0) == 0 && fcntl(0, F_GETFD) == -1);
	CHECK(open("/dev/null", O_RDONLY) != 0); /* the number stays taken */
}

static void files(void)
{
	char directory[] = "/tmp/rb-probe-XXXXXX", name[64], other[64], text[64];
	struct stat status;
	CHECK(mkdtemp(directory) != NULL);
	snprintf(name, sizeof(name), "%s/a", directory);
	snprintf(other, sizeof(other), "%s/b", directory);
	FILE *out = fopen(name, "w");
	CHECK(out != NULL && fprintf(out, "text %d", 5) == 6 && fclose(out) == 0);
	CHECK(rename(name, other) == 0);
	CHECK_ERRNO(access(name, R_OK), ENOENT);
	FILE *in = fopen(other, "r");
	CHECK(in != NULL && fgets(text, sizeof(text), in) != NULL && strcmp(text, "text 5") == 0 && fclose(in) == 0);
	CHECK(stat(other, &status) == 0 && status.st_size == 6);
	CHECK(unlink(other) == 0 && rmdir(directory) == 0);
	CHECK(getrandom(text, sizeof(text), 0) == sizeof(text));
}

/* Ways to the dataplane's memory and files by names. */
static void names(void)
{
	char link[64], text[64];
	CHECK_ERRNO(open("/proc/self/mem", O_RDONLY), EPERM);
	CHECK_ERRNO(open("/proc/self/mem", O_RDWR), EPERM);
	CHECK_ERRNO(open("/proc/self/../self/task/../mem", O_RDONLY), EPERM);
	CHECK_ERRNO(open("/proc/thread-self/mem", O_RDONLY), EPERM);
	CHECK_ERRNO(open("/proc/self/comm", O_WRONLY), EPERM);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", (int)gate(PROBE_FD, 0, 0, 0));
	CHECK_ERRNO(open(link, O_RDONLY), ELOOP);
	CHECK_ERRNO(open("/dev/fd/0", O_RDONLY), ELOOP);
	CHECK_ERRNO(open("/proc/self/exe", O_RDONLY), ELOOP);
	if (access("/dev/mem", F_OK) == 0)
		CHECK_ERRNO(open("/dev/mem", O_RDONLY), EPERM);
	if (access("/dev/kvm", F_OK) == 0)
		CHECK_ERRNO(open("/dev/kvm", O_RDWR), EPERM);
	int directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
	CHECK(directory >= 0);
	CHECK_ERRNO(openat(directory, "mem", O_RDONLY), EPERM);
	FILE *in = fopen("/proc/self/stat", "r");
	CHECK(in != NULL && fgets(text, sizeof(text), in) != NULL && atoi(text) == getpid()); // NOLINT(cert-err34-c)
}

static void own_threads(void)
{
	cpu_set_t set;
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0 && sched_setaffinity(0, sizeof(set), &set) == 0);
	CHECK(sched_getaffinity(gettid(), sizeof(set), &set) == 0);
	CHECK_ERRNO(sched_setaffinity(getpid(), sizeof(set), &set), EPERM); /* the dataplane's first thread */
	CHECK_ERRNO(sched_setaffinity(1, sizeof(set), &set), EPERM);
}

/* ---- signals ---- */

static void handler(int signo)
{
	(void)signo;
}

static void signals(void)
{
	sigset_t set, pending;
	siginfo_t info;
	struct timespec soon = {.tv_nsec = 1000000};
	struct sigaction action = {.sa_handler = handler}, old;
	CHECK_ERRNO(sigaction(SIGUSR1, &action, NULL), EPERM);
	CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGUSR1) == 0 && sigaddset(&set, SIGTERM) == 0);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK_ERRNO(sigtimedwait(&set, &info, &soon), EAGAIN);
	CHECK(gate(PROBE_SIGNAL, SIGTERM, 0, 0) == 0); /* nobody waits yet */
	CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1);
	CHECK(sigwaitinfo(&set, &info) == SIGTERM && info.si_signo == SIGTERM && info.si_code == SI_USER);
	gate(PROBE_SIGNAL_SOON, SIGUSR1, 0, 0);
	CHECK(sigwaitinfo(&set, NULL) == SIGUSR1);
	CHECK(kill(getpid(), SIGTERM) == 0 && raise(SIGUSR1) == 0);
	CHECK(sigwaitinfo(&set, NULL) == SIGUSR1);
	CHECK(sigwaitinfo(&set, NULL) == SIGTERM);
	/* ignored, and open: gone */
	CHECK(signal(SIGUSR2, SIG_IGN) == SIG_DFL && raise(SIGUSR2) == 0 && gate(PROBE_SIGNAL, SIGUSR2, 0, 0) == 1);
	CHECK(sigaction(SIGUSR2, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
	CHECK(raise(SIGCHLD) == 0); /* nothing by default */
	CHECK(raise(SIGTERM) == 0 && signal(SIGTERM, SIG_IGN) == SIG_DFL);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0); /* the pending one is ignored */
}

const struct probe probes_calls[] = {
	{"refused", refused}, {"pointers", pointers},	    {"descriptors", descriptors}, {"files", files},
	{"names", names},     {"own_threads", own_threads}, {"signals", signals},	  {NULL, NULL},
};

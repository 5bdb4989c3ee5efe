// SPDX-License-Identifier: Apache-2.0
/*
 * Another date, for whatever process loads this before its C library (/etc/ld.so.preload): what it asks of the
 * calendar is answered by the host's date and LATER_S seconds. Clocks that count from elsewhere (monotonic, CPU time)
 * are passed on. Files still get the host's own time stamps, which the kernel makes.
 *
 * It is linked with no C library, so that it fits that of any host and of any tree: all have syscall().
 */
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *found)
{
	if (syscall(SYS_clock_gettime, clock, found) != 0)
		return -1;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		found->tv_sec += LATER_S;
	return 0;
}

int gettimeofday(struct timeval *restrict found, void *restrict zone)
{
	(void)zone;
	if (syscall(SYS_gettimeofday, found, NULL) != 0)
		return -1;
	found->tv_sec += LATER_S;
	return 0;
}

time_t time(time_t *found)
{
	struct timespec now = {};

	clock_gettime(CLOCK_REALTIME, &now);
	if (found)
		*found = now.tv_sec;
	return now.tv_sec;
}

int timespec_get(struct timespec *found, int base)
{
	if (base != TIME_UTC || clock_gettime(CLOCK_REALTIME, found) != 0)
		return 0;
	return base;
}

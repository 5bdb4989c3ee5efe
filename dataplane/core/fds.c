// SPDX-License-Identifier: Apache-2.0
#include "core/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static uint64_t bit(uint64_t fd)
{
	return UINT64_C(1) << fd % 64;
}

void rb_fds_init(struct rb_fds *fds)
{
	for (unsigned i = 0; i < RB_FDS_MAX / 64; i++)
		atomic_init(&fds->words[i], 0);
	atomic_store(&fds->words[0], bit(STDIN_FILENO) | bit(STDOUT_FILENO) | bit(STDERR_FILENO));
}

void rb_fds_close_all(struct rb_fds *fds)
{
	for (unsigned fd = STDERR_FILENO + 1; fd < RB_FDS_MAX; fd++) {
		if (rb_fds_has(fds, fd))
			rb_fds_close(fds, fd);
	}
}

int64_t rb_fds_add(struct rb_fds *fds, int fd)
{
	if (fd >= RB_FDS_MAX) {
		close(fd);
		return -EMFILE;
	}
	atomic_fetch_or(&fds->words[fd / 64], bit((uint64_t)fd));
	return fd;
}

static int replace_standard(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	int result = dup2(null, fd) < 0 ? -errno : 0;
	close(null);
	return result;
}

int rb_fds_close(struct rb_fds *fds, uint64_t fd)
{
	/* Of two threads that close it one does: the number may be the dataplane's an instant later. */
	if (fd >= RB_FDS_MAX || (atomic_fetch_and(&fds->words[fd / 64], ~bit(fd)) & bit(fd)) == 0)
		return -EBADF;
	if (fd <= STDERR_FILENO)
		return replace_standard((int)fd);
	return close((int)fd) != 0 ? -errno : 0;
}

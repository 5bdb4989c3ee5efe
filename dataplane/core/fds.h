// SPDX-License-Identifier: Apache-2.0
/* Which file descriptors are the application's: the process has those of the dataplane beside them. Thread-safe. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { RB_FDS_MAX = 4096 };

struct rb_fds {
	_Atomic uint64_t words[RB_FDS_MAX / 64];
};

/* The standard ones. */
void rb_fds_init(struct rb_fds *fds);
/* Closes what the application has left open, but for the standard ones. */
void rb_fds_close_all(struct rb_fds *fds);

static inline bool rb_fds_has(const struct rb_fds *fds, uint64_t fd)
{
	return fd < RB_FDS_MAX && (atomic_load(&fds->words[fd / 64]) >> fd % 64 & 1) != 0;
}

/* Takes a new one in. The descriptor; or -EMFILE, and it is closed. */
int64_t rb_fds_add(struct rb_fds *fds, int fd);
/* Closes one: 0 or -errno. A standard one becomes /dev/null instead: its number must not become a dataplane's file. */
int rb_fds_close(struct rb_fds *fds, uint64_t fd);

// SPDX-License-Identifier: Apache-2.0
#include "user/backend.h"

#include <stddef.h>
#include <string.h>

const struct rb_backend *const rb_backends[] = {&rb_backend_epoll, &rb_backend_io_uring, &rb_backend_dpos, NULL};

const struct rb_backend *rb_backend_default(void)
{
	return rb_backend_dpos_is_here() ? &rb_backend_dpos : &rb_backend_epoll;
}

const struct rb_backend *rb_backend_find(const char *name)
{
	for (const struct rb_backend *const *row = rb_backends; *row != NULL; row++) {
		if (strcmp((*row)->name, name) == 0)
			return *row;
	}
	return NULL;
}

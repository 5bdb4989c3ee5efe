// SPDX-License-Identifier: Apache-2.0
/* A listener of a back-end on Linux sockets: made once, attached to one context or several. */
#pragma once

#include <stdbool.h>

#include "user/context.h"

struct socket_listener {
	struct rb_listen_config config;
	struct rb_address address;
	int fd;	       /* SHARED: everybody's; REUSEPORT: the first context's */
	bool fd_taken; /* REUSEPORT: by the first context, which says so */
};

/* These are listener_create, listener_destroy and listener_address of struct rb_backend. */
int socket_listener_create(const struct rb_listen_config *config, void **listener);
void socket_listener_destroy(void *listener);
struct rb_address socket_listener_address(const void *listener);

/* The socket for one more context, which closes it if it owns it. Returns the descriptor or -errno. */
int socket_listener_attach(const struct socket_listener *listener, bool *owns);

/* accept(2): does this error concern the one connection only, which is gone? */
bool socket_listener_lost_one(int error);

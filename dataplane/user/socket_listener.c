// SPDX-License-Identifier: Apache-2.0
#include "user/socket_listener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/sockets.h"

int socket_listener_create(const struct rb_listen_config *config, void **listener)
{
	struct socket_listener *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	made->config = *config;
	made->fd = rb_socket_listen(config, config->address);
	if (made->fd < 0) {
		int result = made->fd;
		free(made);
		return result;
	}
	made->address = rb_socket_local(made->fd);
	*listener = made;
	return 0;
}

void socket_listener_destroy(void *listener)
{
	struct socket_listener *own = listener;
	close(own->fd);
	free(own);
}

struct rb_address socket_listener_address(const void *listener)
{
	return ((const struct socket_listener *)listener)->address;
}

int socket_listener_attach(const struct socket_listener *listener, bool *owns)
{
	*owns = listener->config.mode == RB_LISTEN_REUSEPORT && listener->fd_taken;
	return *owns ? rb_socket_listen(&listener->config, listener->address) : listener->fd;
}

bool socket_listener_lost_one(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

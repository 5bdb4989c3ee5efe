// SPDX-License-Identifier: Apache-2.0
/*
 * Linux sockets as back-ends need them: non-blocking, close-on-exec, IPv4; TCP, and UDP for outgoing ones.
 * Everything that can run on the data path counts its system calls.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/abi.h"
#include "user/context.h"

/* Indices of rb_context_stats.syscalls for back-ends on Linux sockets; names as in the kernel's table. */
enum rb_linux_syscall {
	RB_SYS_EPOLL_PWAIT2,
	RB_SYS_EPOLL_CTL,
	RB_SYS_RECVFROM,
	RB_SYS_SENDTO,
	RB_SYS_SENDMSG,
	RB_SYS_ACCEPT4,
	RB_SYS_SHUTDOWN,
	RB_SYS_CLOSE,
	RB_SYS_SOCKET,
	RB_SYS_BIND,
	RB_SYS_CONNECT,
	RB_SYS_SETSOCKOPT,
	RB_SYS_GETSOCKOPT,
	RB_SYS_READ, /* of the wake-up eventfd */
	RB_SYS_IO_URING_ENTER,
	RB_SYS_IOCTL,
	RB_SYS_COUNT,
};

extern const char *const rb_linux_syscall_names[RB_SYS_COUNT + 1];

struct sockaddr_in rb_socket_address(struct rb_address address);
struct rb_address rb_socket_address_of(const struct sockaddr_in *address);

/* A bound, listening socket. Returns the descriptor or -errno. */
int rb_socket_listen(const struct rb_listen_config *config, struct rb_address address);

/* The local address of a socket. */
struct rb_address rb_socket_local(int fd);

/*
 * A socket whose connection is under way (or, with UDP always and else rarely, complete). Of the configuration
 * nagle and datagrams count. Returns the descriptor, writable when the outcome is known, or -errno.
 */
int rb_socket_connect(const struct rb_context_config *config, struct rb_address local, struct rb_address remote,
		      uint64_t *syscalls);

/* The pending error of a socket as 0 or -errno. */
int rb_socket_error(int fd, uint64_t *syscalls);

/* Bytes, and a FIN, that the kernel has and the peer has not acknowledged. */
uint32_t rb_socket_unacknowledged(int fd, uint64_t *syscalls);

/* Closes with RST instead of FIN. */
void rb_socket_abort(int fd, uint64_t *syscalls);

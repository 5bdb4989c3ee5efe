// SPDX-License-Identifier: Apache-2.0
#include "user/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

RB_BUILD_ASSERT((int)RB_SYS_COUNT <= (int)RB_SYSCALLS_MAX, "rb_context_stats.syscalls is too small");

const char *const rb_linux_syscall_names[RB_SYS_COUNT + 1] = {
	[RB_SYS_EPOLL_PWAIT2] = "epoll_pwait2",
	[RB_SYS_EPOLL_CTL] = "epoll_ctl",
	[RB_SYS_RECVFROM] = "recvfrom",
	[RB_SYS_SENDTO] = "sendto",
	[RB_SYS_SENDMSG] = "sendmsg",
	[RB_SYS_ACCEPT4] = "accept4",
	[RB_SYS_SHUTDOWN] = "shutdown",
	[RB_SYS_CLOSE] = "close",
	[RB_SYS_SOCKET] = "socket",
	[RB_SYS_BIND] = "bind",
	[RB_SYS_CONNECT] = "connect",
	[RB_SYS_SETSOCKOPT] = "setsockopt",
	[RB_SYS_GETSOCKOPT] = "getsockopt",
	[RB_SYS_READ] = "read",
	[RB_SYS_IO_URING_ENTER] = "io_uring_enter",
	[RB_SYS_IOCTL] = "ioctl",
	[RB_SYS_COUNT] = NULL,
};

struct sockaddr_in rb_socket_address(struct rb_address address)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(address.port),
		.sin_addr.s_addr = htonl(address.ip),
	};
}

struct rb_address rb_socket_address_of(const struct sockaddr_in *address)
{
	return (struct rb_address){.ip = ntohl(address->sin_addr.s_addr), .port = ntohs(address->sin_port)};
}

static int set_option(int fd, int level, int name)
{
	int on = 1;
	return setsockopt(fd, level, name, &on, sizeof(on));
}

static int configure_listen(int fd, const struct rb_listen_config *config, struct rb_address address)
{
	struct sockaddr_in name = rb_socket_address(address);
	if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) != 0)
		return -errno;
	if (config->mode == RB_LISTEN_REUSEPORT && set_option(fd, SOL_SOCKET, SO_REUSEPORT) != 0)
		return -errno;
	/* Linux copies this to accepted sockets, which saves a system call for each. */
	if (!config->nagle && set_option(fd, IPPROTO_TCP, TCP_NODELAY) != 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&name, sizeof(name)) != 0)
		return -errno;
	return listen(fd, config->backlog) != 0 ? -errno : 0;
}

int rb_socket_listen(const struct rb_listen_config *config, struct rb_address address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int result = configure_listen(fd, config, address);
	if (result != 0) {
		close(fd);
		return result;
	}
	return fd;
}

struct rb_address rb_socket_local(int fd)
{
	struct sockaddr_in name = {0};
	socklen_t length = sizeof(name);
	int result = getsockname(fd, (struct sockaddr *)&name, &length);
	RB_ASSERT_EQ(result, 0); /* cannot fail for a socket we own */
	return rb_socket_address_of(&name);
}

/*
 * A source address without a port must not reserve one at bind(): with IP_BIND_ADDRESS_NO_PORT the port is
 * chosen at connect(), unique per 4-tuple only, so each address has its whole port range for each server.
 */
static int bind_source(int fd, struct rb_address local, uint64_t *syscalls)
{
	struct sockaddr_in name = rb_socket_address(local);
	if (local.port == 0) {
		syscalls[RB_SYS_SETSOCKOPT]++;
		if (set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT) != 0)
			return -errno;
	}
	syscalls[RB_SYS_BIND]++;
	return bind(fd, (const struct sockaddr *)&name, sizeof(name)) != 0 ? -errno : 0;
}

static int start_connect(int fd, const struct rb_context_config *config, struct rb_address local,
			 struct rb_address remote, uint64_t *syscalls)
{
	if (local.ip != 0 || local.port != 0) {
		int result = bind_source(fd, local, syscalls);
		if (result != 0)
			return result;
	}
	if (!config->nagle && !config->datagrams) {
		syscalls[RB_SYS_SETSOCKOPT]++;
		if (set_option(fd, IPPROTO_TCP, TCP_NODELAY) != 0)
			return -errno;
	}
	struct sockaddr_in name = rb_socket_address(remote);
	syscalls[RB_SYS_CONNECT]++;
	if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) != 0 && errno != EINPROGRESS)
		return -errno;
	return 0;
}

int rb_socket_connect(const struct rb_context_config *config, struct rb_address local, struct rb_address remote,
		      uint64_t *syscalls)
{
	syscalls[RB_SYS_SOCKET]++;
	int type = config->datagrams ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int result = start_connect(fd, config, local, remote, syscalls);
	if (result != 0) {
		syscalls[RB_SYS_CLOSE]++;
		close(fd);
		return result;
	}
	return fd;
}

int rb_socket_error(int fd, uint64_t *syscalls)
{
	int error = 0;
	socklen_t length = sizeof(error);
	syscalls[RB_SYS_GETSOCKOPT]++;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
		return -errno;
	/* Linux says EPIPE for a reset that comes after the peer's FIN. */
	return error == EPIPE ? -ECONNRESET : -error;
}

uint32_t rb_socket_unacknowledged(int fd, uint64_t *syscalls)
{
	int bytes = 0;
	syscalls[RB_SYS_IOCTL]++;
	return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? (uint32_t)bytes : 0;
}

void rb_socket_abort(int fd, uint64_t *syscalls)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	syscalls[RB_SYS_SETSOCKOPT]++;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	syscalls[RB_SYS_CLOSE]++;
	close(fd);
}

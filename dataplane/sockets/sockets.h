// SPDX-License-Identifier: Apache-2.0
/*
 * The TCP/IP library behind socket-like calls, for programs that know sockets and packets but not net/net.h: scripted
 * conformance suites, through any foreign-function interface. Built as the shared library ringbed-sockets.
 *
 * Packets are raw IPv4 or IPv6 packets, without Ethernet: the link layer is answered inside, and every address is
 * reached. Time is what rbs_advance() has been told last. Nothing here blocks, starts a thread, or asks the operating
 * system for anything but memory; several instances share nothing. One thread at a time per instance.
 *
 * Calls, constants and structures are those of Linux (socket(7), tcp(7)), with these differences:
 *   - Errors are returned as negative errno values; errno is not touched.
 *   - Every socket is non-blocking: what would block returns -EAGAIN (connect(): -EINPROGRESS). rbs_wait() blocks, by
 *     asking the caller to let time pass and packets come.
 *   - Descriptors are numbers of the instance, from 0; the lowest free one is given.
 *   - TCP only: SOCK_STREAM of AF_INET and AF_INET6. A socket of AF_INET6 bound to no address takes IPv4, too.
 *   - A connection that the queue of accept() has no room for is reset, not ignored.
 *   - bind() does not mind connections in TIME-WAIT, with or without SO_REUSEADDR. That option, on both sockets, permits
 *     a second bind() to a port where nobody listens.
 *   - Once a connection is over, or in TIME-WAIT, TCP_INFO says TCP_CLOSE.
 *
 * Data is copied: write() into a send buffer, from which it is sent and sent again; read() out of the packets that
 * brought it. Bytes not read occupy the receive window.
 */
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define RBS_API __attribute__((visibility("default")))

struct rbs;

/* Takes one packet to send, in network byte order, valid during the call. Must not call the instance. */
typedef void rbs_output(void *context, const uint8_t *packet, size_t length);

/*
 * Makes an instance. `settings` is "name=value" separated by spaces: ip4, ip6 (one address each; at least one is
 * needed), seed (of all random numbers: the same calls after the same seed send the same packets), send_buffer (bytes
 * per socket), and the fields of struct rb_net_config of net/net.h by their names: mtu, connections, listeners,
 * receive_window, mss, backlog, initial_window, delayed_ack_us, rto_initial_us, rto_min_us, rto_max_us, time_wait_us,
 * user_timeout_us, keepalive_ms, keepalive_interval_ms, keepalive_probes, syn_retries, congestion (newreno, cubic or
 * dctcp), and yes or no for timestamps, window_scaling, sack, ecn, rack, tlp, cookies.
 *
 * NULL: `why` (of why_size bytes, or NULL) has got a sentence that names the setting.
 */
RBS_API struct rbs *rbs_new(const char *settings, rbs_output *output, void *context, uint64_t now_ns, char *why,
			    size_t why_size);

/* Ends everything without a packet. */
RBS_API void rbs_delete(struct rbs *rbs);

/*
 * Packets and time.
 */

/* A packet has come. 0; -EINVAL: neither IPv4 nor IPv6, or longer than 65,535 bytes; -ENOMEM. */
RBS_API int rbs_input(struct rbs *rbs, const uint8_t *packet, size_t length);

/* It is that time now (never earlier than before), and what was due until then happens. */
RBS_API void rbs_advance(struct rbs *rbs, uint64_t now_ns);

/* When something may be due, at the earliest. UINT64_MAX: never. */
RBS_API uint64_t rbs_deadline_ns(const struct rbs *rbs);

/*
 * Lets the world go on: feeds packets that have come, and the clock up to until_ns at most, with rbs_input() and
 * rbs_advance(). 0, or a negative errno value that ends the waiting.
 */
typedef int rbs_step(void *context, struct rbs *rbs, uint64_t until_ns);

/*
 * Waits until one of `events` (as of poll()), or POLLERR, POLLHUP or POLLNVAL, is there for the descriptor, or until
 * deadline_ns. Returns what is there; 0: the deadline has come; or what `step` has returned. `step` is called with the
 * earlier one of both deadlines, again and again: each call must move the clock or give a packet.
 */
RBS_API int rbs_wait(struct rbs *rbs, int fd, short events, uint64_t deadline_ns, rbs_step *step, void *context);

/*
 * Sockets. A void descriptor is -EBADF.
 */

/* The descriptor; -EAFNOSUPPORT, -EPROTONOSUPPORT, -ENOMEM. */
RBS_API int rbs_socket(struct rbs *rbs, int domain, int type, int protocol);

/* 0; -EADDRINUSE, -EADDRNOTAVAIL, -EAFNOSUPPORT, -EINVAL: is bound already. Port 0 is chosen at once. */
RBS_API int rbs_bind(struct rbs *rbs, int fd, const struct sockaddr *address, socklen_t length);

/* `backlog`: connections that nobody has accepted, at least 1. 0; -EADDRINUSE, -EINVAL: is connected, -ENOBUFS. */
RBS_API int rbs_listen(struct rbs *rbs, int fd, int backlog);

/* The new descriptor; `address` and `length` may be NULL. -EAGAIN; -EINVAL: does not listen; -ENOMEM. */
RBS_API int rbs_accept(struct rbs *rbs, int fd, struct sockaddr *address, socklen_t *length);

/*
 * -EINPROGRESS: POLLOUT tells the end, SO_ERROR or another connect() the outcome (0, once; then -EISCONN). -EALREADY:
 * not yet. -ENETUNREACH, -EADDRNOTAVAIL, -EADDRINUSE, -EINVAL, -ENOBUFS, -EAFNOSUPPORT.
 */
RBS_API int rbs_connect(struct rbs *rbs, int fd, const struct sockaddr *address, socklen_t length);

/* Bytes read; 0: the end of the peer's stream; -EAGAIN; -ENOTCONN; once the error that has ended the connection. */
RBS_API ssize_t rbs_read(struct rbs *rbs, int fd, void *bytes, size_t size);

/* Bytes taken, as many as there is room for; -EAGAIN: none; -EPIPE; -ENOTCONN; once the connection's error. */
RBS_API ssize_t rbs_write(struct rbs *rbs, int fd, const void *bytes, size_t size);

/* SHUT_RD, SHUT_WR, SHUT_RDWR. 0; -ENOTCONN; -EINVAL. */
RBS_API int rbs_shutdown(struct rbs *rbs, int fd, int how);

/* The descriptor is void. What was written is still sent; unread bytes, or SO_LINGER with time 0, make it a reset. */
RBS_API int rbs_close(struct rbs *rbs, int fd);

/* Does not wait. Returns how many have revents; descriptors below 0 are skipped. */
RBS_API int rbs_poll(struct rbs *rbs, struct pollfd *fds, nfds_t count);

RBS_API int rbs_getsockname(struct rbs *rbs, int fd, struct sockaddr *address, socklen_t *length);
/* -ENOTCONN */
RBS_API int rbs_getpeername(struct rbs *rbs, int fd, struct sockaddr *address, socklen_t *length);

/*
 * Options; -ENOPROTOOPT for others, -EINVAL for values out of range. Accepted sockets have those of their listener.
 *   SOL_SOCKET: SO_ERROR, SO_TYPE, SO_ACCEPTCONN (to read), SO_KEEPALIVE, SO_REUSEADDR, SO_LINGER (off, or on with time
 *     0), SO_RCVBUF (bytes of the receive window, no doubling: two full segments of the MTU up to the setting
 *     receive_window; before connect() and listen()), SO_SNDBUF (bytes of the send buffer, to read)
 *   IPPROTO_TCP: TCP_NODELAY, TCP_MAXSEG (to be set before connect() and listen()), TCP_CONGESTION ("reno", "cubic",
 *     "dctcp"), TCP_USER_TIMEOUT (ms), TCP_INFO (to read: struct tcp_info of <netinet/tcp.h> up to tcpi_total_retrans;
 *     what the library does not count is 0)
 */
RBS_API int rbs_setsockopt(struct rbs *rbs, int fd, int level, int option, const void *value, socklen_t length);
RBS_API int rbs_getsockopt(struct rbs *rbs, int fd, int level, int option, void *value, socklen_t *length);

/* A counter of struct rb_net_counters by its name; UINT64_MAX: there is none of that name. */
RBS_API uint64_t rbs_counter(const struct rbs *rbs, const char *name);

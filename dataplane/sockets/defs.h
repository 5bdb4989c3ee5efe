// SPDX-License-Identifier: Apache-2.0
/* What the parts of the socket layer share (sockets.h): instance.c, device.c, event.c, socket.c, stream.c, option.c. */
#pragma once

#include "base/random.h"
#include "net/net.h"
#include "sockets/sockets.h"

#include <stdbool.h>

enum {
	DEVICE_HEADERS = 2 * RB_NET_BURST, /* the library holds one burst at most */
	DEVICE_ETHERNET = 14,
};

enum socket_state {
	SOCKET_NEW,
	SOCKET_LISTENING,
	SOCKET_CONNECTING,
	SOCKET_OPEN,  /* the library has the connection */
	SOCKET_ENDED, /* it has not any more, or connect() has failed */
};

/* Received bytes, still in their packet. */
struct chunk {
	const uint8_t *data;
	uint32_t length;
};

struct socket {
	int domain;
	enum socket_state state;
	rb_net_handle handle;
	uint64_t number; /* the cookie: never used again */
	bool has_fd;	 /* else it waits for accept(), or was closed and still sends */
	bool bound, fresh /* nobody was told that it is connected */;
	bool fin, read_shut, write_shut;
	bool nodelay, keepalive, reuse_address, linger;
	uint8_t congestion; /* enum rb_net_congestion */
	uint16_t mss;	    /* 0: as configured */
	uint32_t receive_window, user_timeout_ms;
	int error; /* errno value that nobody was told */
	struct rb_endpoint local, remote;

	/* received, not read */
	struct chunk *chunks;
	size_t chunks_first, chunks_count, chunks_room;
	uint8_t *rescued; /* the bytes of the one chunk that has outlived its packet */

	/* the send buffer: a ring of the setting's size */
	uint8_t *ring;
	uint32_t ring_first, ring_used;

	/* listening: connections that nobody has accepted, oldest first */
	struct socket **queue;
	unsigned queue_count, backlog;
};

struct rbs_config {
	struct rb_net_config net;
	uint64_t seed;
	uint32_t send_buffer; /* bytes */
};

struct rbs {
	struct rbs_config config;
	struct rb_net *net;
	void *memory; /* of net */
	uint64_t now_ns;
	rbs_output *output;
	void *context;
	struct rb_random random;
	uint64_t numbers;
	struct socket **sockets; /* all, in any order */
	size_t sockets_count, sockets_room;
	struct socket **fds; /* by descriptor; NULL: free */
	int fds_room;
	uint8_t headers[DEVICE_HEADERS][RB_NET_HEADER_MAX];
	uint8_t headers_free[DEVICE_HEADERS];
	unsigned headers_free_count;
};

/* device.c: Ethernet, buffers and random numbers for the library. The context is the instance. */
extern const struct rb_net_ops device_ops;
void device_configure(
	struct rb_net_config *config); /* a network of two: the host, whose addresses are set, and the gateway */
void device_open(struct rbs *rbs);
int device_input(struct rbs *rbs, const uint8_t *packet, size_t length);

/* event.c: takes all events, and flushes, until there is nothing more. Ends every call that may have effects. */
void event_turn(struct rbs *rbs);

/* socket.c */
struct socket *socket_make(struct rbs *rbs, int domain); /* without descriptor; NULL: no memory */
void socket_free(struct rbs *rbs, struct socket *socket);
struct socket *socket_of(const struct rbs *rbs, int fd); /* NULL: void */
int socket_give_fd(struct rbs *rbs, struct socket *socket);

/* stream.c */
int stream_keep(struct socket *socket, const uint8_t *data, uint32_t length);
void stream_rescue(struct socket *socket); /* before the packets go */
size_t stream_unread(const struct socket *socket);
short stream_poll(const struct rbs *rbs, const struct socket *socket);

/*
 * option.c: gives the library the options of a socket: those that its SYN tells, before connect(); the others when it
 * has just got its handle.
 */
void option_offer(struct rbs *rbs, const struct socket *socket);
void option_apply(struct rbs *rbs, const struct socket *socket);

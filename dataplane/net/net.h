// SPDX-License-Identifier: Apache-2.0
/*
 * The TCP/IP library: one host with one port, as a pure function of what it is given.
 *
 * It knows no device, clock, allocator or thread. Its memory is one block that the caller gives
 * (rb_net_size(), rb_net_init()); time comes with rb_net_advance(), random numbers, the memory of frame headers and
 * the way out through struct rb_net_ops. The same calls in the same order with the same answers of the ops leave
 * the same bytes and send the same frames. One thread at a time; several instances share nothing, also where they are one
 * host together (struct rb_net_ops).
 *
 * One turn of a caller's loop
 *     rb_net_advance(net, now_ns)               timers that are due
 *     rb_net_input(net, packets, count)         a burst of packets in
 *     rb_net_events(net, &events, max)          a batch of events out; and again, until there are none
 *     ... the application's commands: rb_net_send(), rb_net_received(), rb_net_close(), ...
 *     rb_net_flush(net)                         what all that made necessary goes out: data, and one acknowledgement
 *                                               for all segments of a connection
 * Commands note what is to be done, and some make a segment already; what they make is sent with the flush, or before
 * it when the frames of a burst are used up.
 *
 * Zero copy. A received payload stays in its packet buffer: events refer to it, rb_net_received() gives the bytes
 * back, which opens the window, and the buffer is released through the ops when its last byte was given back. What is
 * sent stays in the caller's memory, untouched, until an event says that the peer has acknowledged it.
 *
 * Errors are 0 or a negative errno value. Addresses and ports in this header are in host byte order unless they are
 * arrays of bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rb_net;

/* An IPv4 or IPv6 address in network byte order; an IPv4 address is the mapped one, ::ffff:a.b.c.d (RFC 4291). */
struct rb_ip {
	union {
		uint8_t bytes[16];
		uint64_t words[2];
	};
};

struct rb_endpoint {
	struct rb_ip ip;
	uint16_t port;
};

/* The IPv4 address of that number (host byte order): 0x7f000001 is 127.0.0.1. */
struct rb_ip rb_ip4(uint32_t address);
bool rb_ip_is_4(const struct rb_ip *ip);
/* The unspecified address: 0.0.0.0, :: and all bytes zero. As a local address: any of the port's. */
bool rb_ip_is_any(const struct rb_ip *ip);

/* A connection's or socket's checked name; 0 is none. Low half: generation, which differs at each reuse of an index. */
typedef uint64_t rb_net_handle;

/*
 * Frames.
 */

enum {
	RB_NET_HEADER_MAX = 128, /* Ethernet with one VLAN tag, IPv6, TCP with all options; and small packets whole */
	RB_NET_PIECES_MAX = 8,	 /* pieces of caller memory in one frame */
	RB_NET_BURST = 64,	 /* frames that go to the ops at once, at most */
};

/* What a device has checked, or shall fill in. */
enum rb_net_checksum {
	RB_NET_CHECKSUM_UNKNOWN = 0,   /* received: check in software; to send: is filled in already */
	RB_NET_CHECKSUM_IP4_GOOD = 1,  /* received: the IPv4 header's was good */
	RB_NET_CHECKSUM_L4_GOOD = 2,   /* received: that of TCP or UDP was good */
	RB_NET_CHECKSUM_BAD = 4,       /* received: one was bad */
	RB_NET_CHECKSUM_IP4_FILL = 8,  /* to send: fill in the IPv4 header's */
	RB_NET_CHECKSUM_TCP_FILL = 16, /* to send: the field holds the sum of the pseudo-header, without complement */
	RB_NET_CHECKSUM_UDP_FILL = 32,
	RB_NET_OVERHEARD = 64, /* received: by another instance of this host, which answers; here to be learned from */
};

/* A received Ethernet frame, without its frame check sequence. */
struct rb_net_packet {
	const uint8_t *data;
	uint64_t buffer;   /* the caller's name for the memory; comes back in release() exactly once */
	uint16_t length;   /* bytes */
	uint16_t checksum; /* enum rb_net_checksum */
};

/* A piece of the caller's memory. */
struct rb_net_piece {
	const void *base;
	uint32_t length; /* bytes */
};

/* Memory for the headers of a frame: RB_NET_HEADER_MAX bytes, any alignment. */
struct rb_net_header {
	uint8_t *header;
	uint64_t owner; /* the caller's name for it */
};

enum rb_net_frame_flags {
	RB_NET_FRAME_TRANSIENT = 1, /* the pieces are the library's or will change: copy them before output() returns */
	RB_NET_FRAME_ANSWER = 2,    /* `header` is in the received buffer `owner`: see answer_max */
};

/* A frame to send: `header`, then the pieces in order. */
struct rb_net_frame {
	uint8_t *header; /* as from headers() */
	uint64_t owner;
	uint16_t header_length; /* bytes, at most RB_NET_HEADER_MAX */
	uint16_t checksum;	/* enum rb_net_checksum: what the device shall fill in */
	uint8_t l2_length;	/* bytes: where the IP header begins */
	uint8_t l3_length;	/* bytes of the IP header */
	uint8_t pieces_count;
	uint8_t flags;	 /* enum rb_net_frame_flags */
	uint32_t length; /* bytes of header and pieces */
	struct rb_net_piece pieces[RB_NET_PIECES_MAX];
};

/* What the library needs from outside. No callback may call the library. */
struct rb_net_ops {
	/*
	 * Gives memory for the headers of up to `count` frames. Returns for how many; fewer when the pool is empty: what
	 * could not be sent is sent later.
	 */
	unsigned (*headers)(void *context, struct rb_net_header *headers, unsigned count);
	/*
	 * Sends frames in order, all of them; one that the device has no room for is lost. Takes the headers back, and
	 * with an answer the received buffer.
	 */
	void (*output)(void *context, const struct rb_net_frame *frames, unsigned count);
	/* Takes received buffers back, but for those that went to output(). */
	void (*release)(void *context, const uint64_t *buffers, unsigned count);
	/* 64 bits that nobody can foretell. */
	uint64_t (*random)(void *context);
	/*
	 * Where several instances are one host, with a part of its connections each; NULL: there is one.
	 *
	 * A packet that concerns all of them: ARP, neighbour discovery, ICMP errors. The others are to be given its
	 * bytes, with RB_NET_OVERHEARD. It stays the instance's.
	 */
	void (*share)(void *context, const struct rb_net_packet *packet);
	/* Whether this instance gets what comes from `remote` to `local`: connections are opened from such ports. */
	bool (*is_own)(void *context, const struct rb_endpoint *local, const struct rb_endpoint *remote);
};

/*
 * Configuration. rb_net_config_default() gives all but the addresses.
 */

enum rb_net_congestion { RB_NET_NEWRENO = 0, RB_NET_CUBIC, RB_NET_DCTCP, RB_NET_CONGESTIONS };

enum { RB_NET_IP6_ADDRESSES_MAX = 4 };

struct rb_net_config {
	/* the port */
	uint8_t mac[6];
	uint16_t mtu;		   /* bytes of an IP packet, 576 .. 9000 */
	uint16_t checksum_offload; /* enum rb_net_checksum: the _FILL bits that the device can do */
	/*
	 * Received buffers may be sent: an answer of at most so many bytes (rb_net_reply()) goes out with its headers in
	 * front of where its request was, in the same buffer. [data - RB_NET_HEADER_MAX, data + length + answer_max) of
	 * each packet is to be writable memory of its buffer. 0: they may not.
	 */
	uint16_t answer_max;

	/* addresses; an address of all zeros is none */
	uint32_t ip4;
	uint8_t ip4_prefix;   /* bits */
	uint32_t ip4_gateway; /* 0: none, only the own subnet is reached */
	struct rb_ip ip6[RB_NET_IP6_ADDRESSES_MAX];
	uint8_t ip6_prefix; /* bits, of all of them; fe80::/10 is always on-link */
	struct rb_ip ip6_gateway;
	bool ip6_link_local; /* form fe80:: from the MAC address (RFC 4291, appendix A) */

	/* sizes, fixed at rb_net_init() */
	uint32_t connections;	/* 1 .. 2^20, those in TIME-WAIT included */
	uint32_t listeners;	/* 1 .. 1024 */
	uint32_t udp_sockets;	/* 0 .. 1024 */
	uint32_t neighbours;	/* 1 .. 65535 */
	uint32_t send_pieces;	/* pieces queued or unacknowledged, of all connections together */
	uint32_t receive_parts; /* packet buffers held in order or out of order, of all connections together */
	uint32_t pending;	/* packets that wait for an address resolution */
	uint32_t udp_queue;	/* received datagrams that wait to be taken as events, of all sockets together */

	/* TCP */
	enum rb_net_congestion congestion;
	uint32_t receive_window;  /* bytes a peer may have under way, 1 .. 2^30 */
	uint32_t send_queue;	  /* bytes a connection may have queued or unacknowledged; more is -ENOBUFS */
	uint16_t mss;		  /* bytes; 0: by the MTU */
	uint16_t backlog;	  /* half-open connections of a listener before it sends SYN cookies; 0: always */
	uint32_t initial_window;  /* segments, RFC 6928: 10 */
	uint32_t delayed_ack_us;  /* RFC 9293 3.8.6.3: below 500 ms */
	uint32_t rto_initial_us;  /* RFC 6298 2.1: 1 s */
	uint32_t rto_min_us;	  /* added to SRTT at least; RFC 6298 2.4 says 1 s; Linux 200 ms, the default here */
	uint32_t rto_max_us;	  /* RFC 6298 2.5: at least 60 s */
	uint32_t time_wait_us;	  /* 2 MSL */
	uint32_t user_timeout_us; /* without acknowledgement for so long a connection ends: RFC 9293 3.8.3 R2 */
	uint32_t keepalive_ms;	  /* idle time before the first probe, where it is on; up to 9 h, as what follows */
	uint32_t keepalive_interval_ms;
	uint8_t keepalive_probes;
	uint8_t syn_retries; /* of SYN-ACKs, too: RFC 9293 3.8.3, R2 for a SYN */
	/* offered and accepted in handshakes */
	bool timestamps, window_scaling, sack, ecn;
	/* used where the handshake permits */
	bool rack;    /* RFC 8985; else RFC 6675 */
	bool tlp;     /* RFC 8985 section 7; needs rack */
	bool cookies; /* SYN cookies under backlog pressure; else the SYN is dropped */
};

void rb_net_config_default(struct rb_net_config *config);

/* 0, or -EINVAL; then `*why` is a sentence that names the field. */
int rb_net_config_check(const struct rb_net_config *config, const char **why);

/* Bytes of memory for this configuration, to be aligned to 64. */
size_t rb_net_size(const struct rb_net_config *config);

/*
 * Makes an instance in `memory` (rb_net_size() bytes, 64-byte aligned, zeroed or not); time begins at now_ns. The
 * configuration must have passed the check. `ops` and `context` must outlive the instance, which needs no destruction:
 * buffers it still holds are released by rb_net_drop().
 */
struct rb_net *rb_net_init(void *memory, const struct rb_net_config *config, const struct rb_net_ops *ops,
			   void *context, uint64_t now_ns);

/*
 * Ends everything without a frame or an event, and releases all received buffers. Header memory that headers() gave
 * and output() has not taken back is the caller's again.
 */
void rb_net_drop(struct rb_net *net);

/*
 * The turn.
 */

/*
 * Sets the clock (never backwards) and does what is due: once per tick of 16 us, or when a millisecond begins. True if it
 * was such a time. May leave frames for the flush, and events.
 */
bool rb_net_advance(struct rb_net *net, uint64_t now_ns);

/* When the next timer may be due, at the earliest: no need to advance before. UINT64_MAX: never. */
uint64_t rb_net_deadline_ns(const struct rb_net *net);

/* Takes all packets, of any content. Their memory is best on its way into the cache: nobody here asks for it. */
void rb_net_input(struct rb_net *net, const struct rb_net_packet *packets, unsigned count);

void rb_net_flush(struct rb_net *net);

/*
 * Events. One event tells all that happened to a connection since its last one; the bits say what, and apply in this
 * order.
 */
enum rb_net_event_bits {
	RB_NET_KNOCK = 1,      /* a peer has connected to a listener: accept or reject; cookie is the listener's */
	RB_NET_CONNECTED = 2,  /* connect() succeeded, or failed for the reason in status: then the handle is void */
	RB_NET_SENT = 4,       /* `sent` more bytes were acknowledged: their memory is the caller's again */
	RB_NET_RECEIVED = 8,   /* `length` bytes at `data`, next in the stream */
	RB_NET_FIN = 16,       /* the peer's stream ends here */
	RB_NET_CLOSED = 32,    /* last event of the handle; status 0, -ECONNRESET, -ETIMEDOUT, -ECONNABORTED, ... */
	RB_NET_DATAGRAM = 64,  /* UDP: as RECEIVED, the whole payload; ask rb_net_datagram_source() for the sender */
	RB_NET_WRITABLE = 128, /* a send that was refused with -ENOBUFS may be tried again */
};

/* A cache line, with its fields in an order in which an event of the ABI is a copy of them (core/context.c). */
struct rb_net_event {
	uint16_t bits;	 /* enum rb_net_event_bits */
	uint16_t offset; /* of the bytes in the packet; DATAGRAM only */
	int32_t status;
	rb_net_handle handle;
	uint64_t cookie;
	const uint8_t *data; /* the bytes themselves, where the packet's data pointer leads */
	uint64_t length;
	uint64_t sent;
	uint64_t buffer; /* the packet's; DATAGRAM only */
	uint64_t reserved;
};

/*
 * Takes at most `max` events; those of one connection are in order. Returns how many; others wait, even if these are
 * fewer: 0 says that there are none. Who does not ask till then may leave some waiting for as long as every burst
 * brings others. They are the library's, and stay as they are until it is asked for more or given packets.
 */
unsigned rb_net_events(struct rb_net *net, const struct rb_net_event **events, unsigned max);

/* False: rb_net_events() would give none. Costs less than to ask it. */
bool rb_net_may_have_events(const struct rb_net *net);

/*
 * Places of the caller's, in memory that the library writes and never reads: who has a form of its own for events need
 * not copy what most of them say. rb_net_input() fills them, as long as there are any, with events of received bytes
 * (RECEIVED, with SENT or without) that would be made at once; those are taken, and come before what rb_net_events()
 * gives. So no place may be open while anything waits there.
 */
struct rb_net_places {
	struct rb_net_event *next, *end; /* [next, end) are open; end may be below next: none is */
	uint64_t first;			 /* what an event begins with, in place of bits, offset and status */
	uint64_t name;			 /* is or-ed to its handle; the fields behind `sent` are 0 */
	uint64_t received, sent;	 /* bytes of all such events; the library counts */
};

/* From now on; it must outlive the instance, or another call. NULL: none, as at first. */
void rb_net_give_places(struct rb_net *net, struct rb_net_places *places);

/* True when there is no event to be taken, and nothing for rb_net_flush() to do: so it is in most turns without packets. */
bool rb_net_is_quiet(const struct rb_net *net);

/*
 * Commands of TCP. All with a handle return -EBADF for one that is void.
 */

/*
 * Listens at local->port, at one address or any. Returns 0 and the handle, or -EADDRINUSE, -EADDRNOTAVAIL, -ENOBUFS.
 * Connections that nobody has accepted are reset when the listener closes (rb_net_close()).
 */
int rb_net_listen(struct rb_net *net, const struct rb_endpoint *local, uint64_t cookie, rb_net_handle *handle);

/* After KNOCK. `cookie` is in all events from now on. */
int rb_net_accept(struct rb_net *net, rb_net_handle handle, uint64_t cookie);
int rb_net_reject(struct rb_net *net, rb_net_handle handle);

/*
 * Opens a connection; CONNECTED tells the outcome. `local`: any address, and port 0, are chosen (RFC 6056); NULL: both.
 * Returns 0 and the handle, or -EADDRINUSE, -EADDRNOTAVAIL (also of a port whose answers another instance would get),
 * -ENETUNREACH, -ENOBUFS, -EINVAL.
 */
int rb_net_connect(struct rb_net *net, const struct rb_endpoint *local, const struct rb_endpoint *remote,
		   uint64_t cookie, rb_net_handle *handle);

/*
 * Queues memory for sending, all or nothing; it must stay as it is until SENT says otherwise, or, after
 * CLOSED, until the flush that follows: a segment of it may have been made before the end.
 * Before CONNECTED too. -EPIPE after a close, -ENOBUFS when the send queue or the pool of pieces is full.
 */
int rb_net_send(struct rb_net *net, rb_net_handle handle, const struct rb_net_piece *pieces, unsigned count);

/* Gives the oldest `bytes` received back. -EINVAL when they are more than were received. */
int rb_net_received(struct rb_net *net, rb_net_handle handle, uint32_t bytes);

/*
 * Both in one, for less: the oldest `received` bytes are given back, and the pieces are the answer to them. All or
 * nothing; errors as of the two. When nothing received is left after it, this is what the connection has to say in this
 * turn: its segment is made now, to go out with the flush, and what a later send queues goes with another one.
 */
int rb_net_reply(struct rb_net *net, rb_net_handle handle, uint32_t received, const struct rb_net_piece *pieces,
		 unsigned count);

enum rb_net_close {
	/* what is queued, then FIN; all that was received is given back, what still comes is acknowledged and dropped */
	RB_NET_CLOSE_BOTH = 0,
	RB_NET_CLOSE_WRITE = 1, /* what is queued, then FIN; receiving goes on */
	RB_NET_CLOSE_ABORT = 2, /* RST at once; CLOSED with -ECONNABORTED */
};

int rb_net_close(struct rb_net *net, rb_net_handle handle, enum rb_net_close how);

/* RB_NET_CLOSE_BOTH and RB_NET_OPTION_USER_TIMEOUT of what is left of the connection, for less; or neither. */
int rb_net_close_within(struct rb_net *net, rb_net_handle handle, uint32_t timeout_us);

/* The same for every connection of the application's. Returns how many there were. */
unsigned rb_net_close_all(struct rb_net *net, enum rb_net_close how);

enum rb_net_option {
	RB_NET_OPTION_NODELAY = 1, /* 1: no Nagle algorithm; off at first (RFC 9293 3.7.4) */
	RB_NET_OPTION_KEEPALIVE,   /* 1: probes after keepalive_ms; off at first (RFC 9293 3.8.4) */
	RB_NET_OPTION_CONGESTION,  /* enum rb_net_congestion */
	/*
	 * us; 0: the configuration's (RFC 5482). After CLOSE_BOTH one that is set is also how long a peer may keep its
	 * window closed, and how long its FIN is awaited; else that is for ever, and time_wait_us.
	 */
	RB_NET_OPTION_USER_TIMEOUT,
	/* What a SYN tells, hence not for connections; SYN cookies tell the configuration's. 0: the configuration's. */
	RB_NET_OPTION_MSS,	      /* bytes, 64 .. 8960; not above what the MTU permits */
	RB_NET_OPTION_RECEIVE_WINDOW, /* bytes, two full segments of the MTU .. the configuration's */
};

/*
 * For a listener: for the connections it will have. Handle 0, MSS and RECEIVE_WINDOW only: for the connections that
 * rb_net_connect() opens from now on. -EINVAL: no such option or value, or not for that handle.
 */
int rb_net_set(struct rb_net *net, rb_net_handle handle, enum rb_net_option option, uint64_t value);

/* Between whom an IPv4 connection is, in host byte order. */
struct rb_net_pair4 {
	uint32_t local_ip, remote_ip;
	uint16_t local_port, remote_port;
};

/* 0; -EBADF: there is no such connection; -EAFNOSUPPORT: it is one of IPv6. */
int rb_net_pair4(struct rb_net *net, rb_net_handle handle, struct rb_net_pair4 *pair);

/* What a connection is and has been, for tests, tools and sockets. Sequence numbers as in RFC 9293 3.3.1. */
struct rb_net_info {
	struct rb_endpoint local, remote;
	uint64_t cookie;
	uint8_t state; /* enum tcp_state, as in the RFC: 0 CLOSED .. 10 TIME-WAIT; tcp_state_name() */
	bool timestamps, sack, ecn, window_scaling;
	uint8_t snd_wscale, rcv_wscale;
	uint16_t mss;
	uint32_t iss, irs, snd_una, snd_nxt, snd_wnd, rcv_nxt, rcv_wnd;
	uint32_t cwnd, ssthresh, in_flight; /* bytes */
	uint32_t queued;		    /* bytes not yet acknowledged, sent or not */
	uint32_t unread;		    /* bytes received and not given back */
	uint32_t srtt_us, rttvar_us, rto_us;
	uint32_t retransmissions; /* segments */
	enum rb_net_congestion congestion;
};

int rb_net_info(struct rb_net *net, rb_net_handle handle, struct rb_net_info *info);

/*
 * Moving connections. A record holds one connection completely: sequence numbers, timers relative to now, congestion
 * state, queued pieces (by address) and received buffers (by name). Import into another instance, or the same, then
 * export again gives the same bytes. Records are of one build of the library: native byte order, checked version.
 */

/*
 * Writes the record and forgets the connection without a frame or an event; no buffer is released. Returns its bytes;
 * or -ENOSPC, or -ENOTCONN: it has ended, and CLOSED is due here. Then nothing has changed.
 */
int64_t rb_net_export(struct rb_net *net, rb_net_handle handle, void *record, size_t size);

/* 0 and the new handle; -EINVAL: no such record; -EADDRINUSE: the 4-tuple is taken; -ENOBUFS. */
int rb_net_import(struct rb_net *net, const void *record, size_t size, rb_net_handle *handle);

/*
 * UDP.
 */

int rb_net_udp_bind(struct rb_net *net, const struct rb_endpoint *local, uint64_t cookie, rb_net_handle *handle);

/*
 * Sends one datagram at the next flush; the memory is the caller's again after it. -EMSGSIZE: does not fit the MTU;
 * -ENOBUFS: this turn's frames are used up.
 */
int rb_net_udp_send(struct rb_net *net, rb_net_handle handle, const struct rb_endpoint *to,
		    const struct rb_net_piece *pieces, unsigned count);

/* The sender of a DATAGRAM event: its headers are in front of the payload. */
int rb_net_datagram_source(const struct rb_net_event *event, struct rb_endpoint *source);

/* Gives a datagram's buffer back. */
void rb_net_datagram_done(struct rb_net *net, const struct rb_net_event *event);

/*
 * Neighbours: ARP (RFC 826, 5227) and neighbour discovery (RFC 4861). Entries come by themselves; this sets one that
 * stays. -ENOBUFS, -EINVAL.
 */
int rb_net_neighbour_set(struct rb_net *net, const struct rb_ip *ip, const uint8_t mac[6]);

/*
 * Counters, one table: RB_NET_COUNTERS(X) gives X(name, text) for each. All count since rb_net_init().
 */
#define RB_NET_COUNTERS(X)                                                          \
	X(packets_in, "packets given to input")                                     \
	X(frames_out, "frames given to output")                                     \
	X(no_headers, "frames not sent for want of header memory")                  \
	X(ethernet_dropped, "frames for other hosts or of other protocols")         \
	X(malformed, "packets that are too short or contradict themselves")         \
	X(bad_checksums, "packets with a wrong checksum")                           \
	X(fragments, "IP fragments dropped")                                        \
	X(not_ours, "IP packets for other addresses")                               \
	X(no_protocol, "IP packets of protocols nobody takes")                      \
	X(arp_in, "ARP packets taken")                                              \
	X(nd_in, "neighbour discovery messages taken")                              \
	X(nd_router_advertisements, "router advertisements, which are ignored")     \
	X(neighbours_full, "resolutions refused: the table is full")                \
	X(neighbour_failures, "resolutions without an answer")                      \
	X(address_conflicts, "messages of others who use an address of ours")       \
	X(pending_dropped, "packets dropped while an address was being resolved")   \
	X(icmp_in, "ICMP messages taken")                                           \
	X(icmp_echoes, "echo requests answered")                                    \
	X(icmp_errors_out, "ICMP errors sent")                                      \
	X(icmp_limited, "ICMP errors not sent: too many")                           \
	X(udp_in, "datagrams delivered")                                            \
	X(udp_queue_full, "datagrams dropped: too many wait to be taken")           \
	X(udp_no_socket, "datagrams for ports without a socket")                    \
	X(udp_out, "datagrams sent")                                                \
	X(tcp_in, "segments with a good header")                                    \
	X(tcp_out, "segments sent")                                                 \
	X(tcp_fast, "segments that took the short way in")                          \
	X(tcp_retransmitted, "segments sent again")                                 \
	X(tcp_timeouts, "retransmission timeouts (RFC 6298)")                       \
	X(tcp_fast_recoveries, "losses repaired without a timeout")                 \
	X(tcp_tail_probes, "tail loss probes (RFC 8985)")                           \
	X(tcp_window_probes, "zero-window probes")                                  \
	X(tcp_keepalives, "keep-alive probes")                                      \
	X(tcp_out_of_order, "segments kept for later")                              \
	X(tcp_duplicates, "segments with nothing new")                              \
	X(tcp_unacceptable, "segments outside the window")                          \
	X(tcp_paws, "segments refused for an old timestamp (RFC 7323)")             \
	X(tcp_challenge_acks, "challenge ACKs (RFC 5961)")                          \
	X(tcp_challenge_limited, "challenge ACKs not sent: too many")               \
	X(tcp_resets_in, "connections reset by the peer")                           \
	X(tcp_resets_out, "RST segments sent")                                      \
	X(tcp_no_connection, "segments for no connection and no listener")          \
	X(tcp_syns, "connection requests taken")                                    \
	X(tcp_syns_dropped, "connection requests dropped: no room")                 \
	X(tcp_cookies_sent, "SYN cookies sent (RFC 4987)")                          \
	X(tcp_cookies_good, "connections made from SYN cookies")                    \
	X(tcp_cookies_bad, "ACKs to listeners that carried no valid SYN cookie")    \
	X(tcp_connections_full, "connections refused: the pool is empty")           \
	X(tcp_pieces_full, "sends refused: the pool of pieces is empty")            \
	X(tcp_parts_full, "segments dropped: the pool of received parts is empty")  \
	X(tcp_time_wait_reused, "connections in TIME-WAIT that a new one replaced") \
	X(tcp_ecn_marked, "segments that came with congestion experienced")         \
	X(tcp_ecn_reduced, "window reductions for ECN echoes")

struct rb_net_counters {
#define RB_NET_COUNTER(name, text) uint64_t name;
	RB_NET_COUNTERS(RB_NET_COUNTER)
#undef RB_NET_COUNTER
};

const struct rb_net_counters *rb_net_counters(const struct rb_net *net);

/* What is in use: for leak checks and for the memory bound of an idle connection. */
struct rb_net_usage {
	uint32_t connections, listeners, udp_sockets, send_pieces, receive_parts, pending, neighbours;
};

void rb_net_usage(const struct rb_net *net, struct rb_net_usage *usage);

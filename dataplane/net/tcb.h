// SPDX-License-Identifier: Apache-2.0
/*
 * The transmission control block (RFC 9293, section 3.3.1), private to net/.
 *
 * Two parts, in two arrays with the same index. The hot part is two cache lines: all that a segment in order on an
 * established IPv4 connection touches, in and out. The cold part is the rest: congestion control, loss recovery,
 * reassembly, IPv6 addresses. Neither has pointers: what belongs to a connection and varies in number hangs on it by
 * indices into pools, so that a connection can be written out and taken up elsewhere (tcp_record.c).
 *
 * Variables have the names of the RFCs: SND.UNA is snd_una, TS.Recent is ts_recent, and so on. Times are ticks of
 * TCP_TICK_NS since the instance began (uint32_t, wraps after 19 h) where they are deadlines, and microseconds
 * (uint32_t, wraps after 71 min) where round trips are measured.
 */
#pragma once

#include "base/assert.h"
#include "net/net.h"

#define TCP_NONE UINT32_MAX /* no index */

/* RFC 9293, section 3.3.2. The order counts: comparisons say "at least established". */
enum tcp_state {
	TCP_CLOSED,
	TCP_LISTEN,
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_ESTABLISHED,
	TCP_CLOSE_WAIT,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
};

enum tcp_flags {
	/* agreed in the handshake */
	TCP_HAS_TIMESTAMPS = 1 << 0,
	TCP_HAS_SACK = 1 << 1,
	TCP_HAS_ECN = 1 << 2,
	TCP_IS_6 = 1 << 3,
	TCP_OPENING = 1 << 4, /* connect() has had no answer yet */
	/* what keeps a segment from the short way */
	TCP_SLOW = 1 << 5,	   /* reassembly, recovery, closing, or not accepted yet */
	TCP_RECOVERY = 1 << 6,	   /* fast recovery, until snd_una reaches `recover` */
	TCP_LOSS = 1 << 7,	   /* recovery after a timeout */
	TCP_SCOREBOARD = 1 << 8,   /* some piece is marked sacked, lost or retransmitted */
	TCP_OUT_OF_ORDER = 1 << 9, /* parts wait for reassembly */
	/* what is to be sent */
	TCP_PENDING = 1 << 10,	   /* in the list of the flush */
	TCP_ACK_NOW = 1 << 11,	   /* an acknowledgement must go out with the flush */
	TCP_ACK_DELAYED = 1 << 12, /* one may wait for delack_at; twice DELAYED is NOW: see tcp_ack_later() */
	TCP_FIN_QUEUED = 1 << 13,  /* the stream ends at snd_end */
	TCP_FIN_SENT = 1 << 14,
	TCP_FIN_RECEIVED = 1 << 15,
	/* options */
	TCP_NODELAY = 1 << 16,
	TCP_KEEPALIVE = 1 << 17,
	/* timers */
	TCP_REXMT_ARMED = 1 << 18,
	/* ECN */
	TCP_ECN_ECHO = 1 << 19, /* send ECE until CWR comes (RFC 3168), or the state of CE (RFC 8257) */
	TCP_ECN_CWR = 1 << 20,	/* send CWR with the next new data */
	/* towards the application */
	TCP_READY = 1 << 21,	      /* in the list of events */
	TCP_KNOCKING = 1 << 22,	      /* KNOCK is due */
	TCP_ACCEPTED = 1 << 23,	      /* the application has accepted it, or opened it */
	TCP_OPENED = 1 << 24,	      /* CONNECTED is due */
	TCP_ENDED = 1 << 25,	      /* FIN is due */
	TCP_FINISHED = 1 << 26,	      /* CLOSED is due, with the cold part's `status` */
	TCP_REFUSED = 1 << 27,	      /* a send was refused for want of room: WRITABLE is due when there is some */
	TCP_DISCARD = 1 << 28,	      /* closed both ways by the application: drop what comes */
	TCP_CWND_LIMITED = 1 << 29,   /* the congestion window was what held data back (RFC 7661) */
	TCP_KNOWN = 1 << 30,	      /* the application has the handle */
	TCP_ORPHAN = (int)(1u << 31), /* the application has no handle any more, or was never to have one */
};

/* The hot part. */
struct tcb {
	/* what an arriving segment is compared with */
	uint64_t addresses; /* IPv4: source and destination of what arrives, as they lie in the header; IPv6: 0 */
	uint32_t ports;	    /* likewise: the peer's, then ours */
	uint8_t state;	    /* enum tcp_state */
	uint8_t scale;	    /* Snd.Wind.Shift in the low half, Rcv.Wind.Shift in the high half (RFC 7323 2) */
	uint8_t probed : 1; /* a tail loss probe is outstanding (RFC 8985 7) */
	uint8_t timed : 1; /* the wheel has an entry early enough for what the short way sends: tcp_recovery_settle() */
	uint8_t timer : 4; /* enum tcp_timer_kind: what rexmt_at stands for */
	uint8_t backoff : 4; /* doublings of the RTO (RFC 6298 5.5) */
	uint32_t flags;	     /* enum tcp_flags */
	/* three words of the next segment's header, if all that we have sent has arrived: see is_foreseen() */
	uint32_t rcv_nxt;
	uint32_t snd_nxt;
	uint32_t foreseen;	/* header length, ACK and, unscaled, SND.WND; 0: none can be */
	uint32_t rcv_adv;	/* RCV.NXT + RCV.WND as last told to the peer */
	uint32_t rcv_space;	/* bytes of the receive window that no received byte occupies */
	uint32_t ts_recent;	/* RFC 7323 4.3 */
	uint32_t last_ack_sent; /* Last.ACK.sent */
	uint32_t snd_una;
	uint32_t snd_wnd;   /* bytes, scaled */
	uint32_t snd_wl1;   /* SND.WL2 is not kept: see tcp_ack_window() */
	uint32_t ts_offset; /* of the timestamps we send (RFC 7323 5.4) */

	uint64_t cookie;
	uint32_t generation;
	uint32_t snd_end; /* the sequence number after the last byte queued */
	uint32_t tx_head; /* pieces, from the oldest unacknowledged to the last queued */
	uint32_t tx_tail;
	uint32_t tx_next;    /* the first piece that was never sent */
	uint32_t rx_tail;    /* parts in order and not given back, a ring: the last one's next is the first */
	uint32_t rx_event;   /* the first part that no event has told */
	uint32_t sent;	     /* bytes acknowledged that no event has told */
	uint32_t cwnd;	     /* bytes */
	uint32_t srtt8_us;   /* 8 SRTT; 0: nothing was measured (RFC 6298 2) */
	uint32_t rttvar4_us; /* 4 RTTVAR */
	uint16_t mss;	     /* payload bytes of a full segment: options are subtracted */
	uint16_t neighbour;  /* of the next hop */
	uint32_t rexmt_at;   /* ticks; stays as the time of the last (re)start when disarmed */
	uint32_t delack_at;  /* ticks */
};

RB_BUILD_ASSERT(sizeof(struct tcb) == 128, "the hot part is two cache lines");
RB_BUILD_ASSERT(offsetof(struct tcb, cookie) == 64, "the first line is what a segment is judged by");

/* As the RFC has it. */
static inline uint32_t tcb_srtt_us(const struct tcb *tcb)
{
	return tcb->srtt8_us / 8;
}

/* A TCB in the pool has neither a state nor a flag. */
static inline bool tcb_in_use(const struct tcb *tcb)
{
	return tcb->state != TCP_CLOSED || tcb->flags != 0;
}

/* What rexmt_at is armed for. */
enum tcp_timer_kind {
	TCP_TIMER_SENT,	     /* of the short way, see tcp_recovery_settle(): rexmt_at is when data was sent last */
	TCP_TIMER_REXMT,     /* RFC 6298; the handshake's too */
	TCP_TIMER_REORDER,   /* RFC 8985 6.3: then a segment counts as lost */
	TCP_TIMER_PROBE,     /* RFC 8985 7: tail loss probe */
	TCP_TIMER_PERSIST,   /* RFC 9293 3.8.6.1: zero window */
	TCP_TIMER_TIME_WAIT, /* 2 MSL, and the wait for a FIN that does not come */
};

enum { TCP_SACK_BLOCKS_MAX = 4 }; /* fit the options of a segment (RFC 2018 3) */

struct tcp_range {
	uint32_t left, right; /* left <= seq < right */
};

/* Room for a congestion control's own variables. */
struct tcp_congestion_state {
	uint64_t words[4];
};

/* The cold part. */
struct tcb_cold {
	struct rb_ip local_ip6, remote_ip6;

	/* connection management */
	uint32_t iss, irs;
	uint32_t snd_max_wnd; /* the largest window the peer has offered (RFC 9293 3.8.6.2.1: Max(SND.WND)) */
	uint32_t rcv_window;  /* bytes of the whole receive window */
	uint32_t listener;    /* whence it came, until it is accepted; or TCP_NONE */
	uint32_t order_prev, order_next; /* among all in TIME-WAIT, oldest first */
	int32_t status;			 /* of CLOSED or CONNECTED */
	uint32_t user_timeout_us;
	uint32_t keep_at;    /* ticks; of the keep-alive timer */
	uint32_t heard_at;   /* ticks; of the last segment, where keep-alive is on */
	uint32_t stalled_at; /* ticks; since when nothing was acknowledged */
	uint32_t syn_us;     /* when the SYN or SYN-ACK went out; 0: by a cookie */
	uint8_t probes;	     /* keep-alive probes without an answer */
	uint8_t syns;	     /* SYN or SYN-ACK retransmissions */
	uint8_t congestion;  /* enum rb_net_congestion */
	bool scaling;	     /* agreed: RFC 7323 2 */

	/* the credit part: congestion and loss */
	uint32_t ssthresh;
	uint32_t bytes_acked;	       /* RFC 5681 3.1, RFC 3465 */
	uint32_t recover;	       /* RFC 6582 3.2: snd_nxt when the loss was seen */
	uint32_t scoreboard_end;       /* snd_nxt when the scoreboard was begun */
	uint32_t sacked, lost;	       /* bytes of pieces so marked: pipe (RFC 6675 4) */
	uint32_t resent;	       /* pieces so marked */
	uint32_t time_head, time_tail; /* pieces under way, in order of their last transmission */
	uint32_t lost_from;	       /* a piece that no lost one is before, TCP_NONE: the head */
	uint32_t sack_from; /* where the next block is looked for, if it is not before it; TCP_NONE: the head */
	struct tcp_range sacks_seen[TCP_SACK_BLOCKS_MAX]; /* what was marked already: the last ACK's blocks */
	uint16_t peer_mss, own_mss;
	uint32_t ecn_recover; /* one reduction per window of data (RFC 3168 6.1.2) */
	uint32_t retransmissions;

	/* RACK-TLP, RFC 8985 5 */
	uint32_t rack_xmit_us, rack_end_seq, rack_rtt_us;
	uint32_t min_rtt_us;
	uint32_t rack_fack; /* RACK.fack */
	uint32_t rack_dsack_round;
	uint32_t tlp_end_seq;
	uint8_t duplicate_acks; /* RFC 5681 2; with SACK those of RFC 6675 2 (DupAcks): that sack something new */
	uint8_t rack_reo_wnd_mult, rack_reo_wnd_persist; /* RFC 8985 5, as what follows */
	bool rack_reordering_seen, rack_dsack_seen, tlp_is_retrans;

	/* segment delivery: reassembly */
	bool fin_early;	    /* fin_at is valid */
	uint8_t sack_count; /* of `reported` */
	uint32_t ooo_head;  /* parts beyond a gap, by sequence number */
	uint32_t ooo_near;  /* the one of them that came last, in the run that is reported first; or TCP_NONE */
	uint32_t fin_at;    /* where a FIN lies that came before what precedes it */
	struct tcp_range reported[TCP_SACK_BLOCKS_MAX]; /* SACK blocks, the most recent first (RFC 2018 4) */
	struct tcp_range duplicate;			/* D-SACK to report (RFC 2883); left == right: none */

	struct tcp_congestion_state control;
};

/* A piece of the caller's memory, or a part of one: what one segment carries is one or several whole pieces. */
struct tcp_piece {
	uint64_t base; /* address */
	uint32_t length;
	uint32_t seq;
	uint32_t next;		       /* in the stream */
	uint32_t time_prev, time_next; /* in order of the last transmission */
	uint32_t sent_us;	       /* of the last transmission */
	uint8_t flags;		       /* enum tcp_piece_flags */
	uint8_t transmissions;
	uint16_t reserved;
	uint32_t reserved2;
};

enum tcp_piece_flags {
	TCP_PIECE_SENT = 1,
	TCP_PIECE_SACKED = 2,
	TCP_PIECE_LOST = 4,   /* to be sent again */
	TCP_PIECE_RESENT = 8, /* sent again since it was marked lost, and not lost again */
	TCP_PIECE_FIN = 16,   /* carries the FIN: no bytes, one sequence number */
};

RB_BUILD_ASSERT(sizeof(struct tcp_piece) == 40, "five words");

/* Is it in the order of transmissions? Where there is a scoreboard, all are that may still be under way. */
static inline bool tcp_piece_timed(const struct tcp_piece *piece)
{
	return (piece->flags & (TCP_PIECE_SENT | TCP_PIECE_SACKED | TCP_PIECE_LOST)) == TCP_PIECE_SENT;
}

static inline uint32_t tcp_piece_length(const struct tcp_piece *piece)
{
	return piece->length + ((piece->flags & TCP_PIECE_FIN) != 0);
}

static inline uint32_t tcp_piece_end(const struct tcp_piece *piece)
{
	return piece->seq + tcp_piece_length(piece);
}

/* Received bytes in a packet buffer. */
struct tcp_part {
	uint64_t buffer;
	uint64_t data; /* address of the bytes */
	uint32_t seq;
	uint32_t next;
	uint32_t length;
	uint32_t reserved; /* 0: records are compared */
};

// SPDX-License-Identifier: Apache-2.0
/*
 * Connections on the move. A record is the two parts of the TCB, then its pieces in the order of the stream, then its
 * parts: in order, then out of order. Indices become positions in these arrays, times become ages or what is left, so
 * that the same connection gives the same bytes wherever it is.
 */
#include "net/neighbour.h"
#include "net/route.h"
#include "net/tcp_congestion.h"
#include "net/tcp_handle.h"

#include <errno.h>

enum { RECORD_MAGIC = 0x72624354, RECORD_VERSION = 3 };

struct record {
	uint32_t magic, version;
	uint64_t bytes; /* of all of it */
	uint32_t pieces, parts, parts_ooo;
	uint32_t ts; /* the timestamp it would have sent */
	struct tcb tcb;
	struct tcb_cold cold;
};

/* How the pieces and parts hang together is in these fields: positions while in a record. */

static uint32_t *tcb_times(struct tcb *tcb, unsigned i)
{
	uint32_t *const ticks[] = {&tcb->rexmt_at, &tcb->delack_at};
	return i < 2 ? ticks[i] : NULL;
}

static uint32_t *cold_ticks(struct tcb_cold *cold, unsigned i)
{
	uint32_t *const ticks[] = {&cold->keep_at, &cold->heard_at, &cold->stalled_at};
	return i < 3 ? ticks[i] : NULL;
}

static uint32_t *cold_us(struct tcb_cold *cold, unsigned i)
{
	uint32_t *const us[] = {&cold->rack_xmit_us, &cold->syn_us};
	return i < 2 ? us[i] : NULL;
}

/* Makes all times relative (sign -1) or absolute (+1). */
static void shift_times(const struct rb_net *net, struct record *record, uint32_t sign)
{
	uint32_t tick = sign * (uint32_t)net->tcp.tick, us = sign * net->tcp.now_us, *at;
	for (unsigned i = 0; (at = tcb_times(&record->tcb, i)) != NULL; i++)
		*at += tick;
	for (unsigned i = 0; (at = cold_ticks(&record->cold, i)) != NULL; i++)
		*at += tick;
	for (unsigned i = 0; (at = cold_us(&record->cold, i)) != NULL; i++)
		*at += us;
	struct tcp_piece *pieces = (struct tcp_piece *)(record + 1);
	for (uint32_t i = 0; i < record->pieces; i++)
		pieces[i].sent_us += us;
}

static uint32_t count_pieces(struct rb_net *net, const struct tcb *tcb)
{
	uint32_t count = 0;
	for (uint32_t at = tcb->tx_head; at != TCP_NONE; at = tcp_piece(net, at)->next)
		count++;
	return count;
}

static uint32_t count_ring(struct rb_net *net, const struct tcb *tcb)
{
	uint32_t count = 0;
	if (tcb->rx_tail == TCP_NONE)
		return 0;
	for (uint32_t at = tcb->rx_tail; at != tcb->rx_tail || count == 0; at = tcp_part(net, at)->next)
		count++;
	return count;
}

static uint32_t count_ooo(struct rb_net *net, const struct tcb_cold *cold)
{
	uint32_t count = 0;
	for (uint32_t at = cold->ooo_head; at != TCP_NONE; at = tcp_part(net, at)->next)
		count++;
	return count;
}

/* The position of a piece in the stream; TCP_NONE stays. O(n), and only where there is a scoreboard. */
static uint32_t position(struct rb_net *net, const struct tcb *tcb, uint32_t index)
{
	uint32_t count = 0;
	if (index == TCP_NONE)
		return TCP_NONE;
	for (uint32_t at = tcb->tx_head; at != index; at = tcp_piece(net, at)->next)
		count++;
	return count;
}

static void write_pieces(struct rb_net *net, const struct tcb *tcb, struct record *record)
{
	struct tcp_piece *to = (struct tcp_piece *)(record + 1);
	bool scoreboard = tcb->flags & TCP_SCOREBOARD;
	uint32_t count = 0;
	for (uint32_t at = tcb->tx_head; at != TCP_NONE; at = tcp_piece(net, at)->next, count++) {
		to[count] = *tcp_piece(net, at);
		to[count].next = 0;
		to[count].reserved = 0;
		to[count].reserved2 = 0;
		bool timed = scoreboard && tcp_piece_timed(&to[count]);
		to[count].time_next = timed ? position(net, tcb, to[count].time_next) : TCP_NONE;
		to[count].time_prev = timed ? position(net, tcb, to[count].time_prev) : TCP_NONE;
		if (!(to[count].flags & TCP_PIECE_SENT))
			to[count].sent_us = net->tcp.now_us;
	}
	record->tcb.tx_next = position(net, tcb, tcb->tx_next);
	record->cold.time_head = scoreboard ? position(net, tcb, record->cold.time_head) : TCP_NONE;
	record->cold.time_tail = scoreboard ? position(net, tcb, record->cold.time_tail) : TCP_NONE;
}

static void write_parts(struct rb_net *net, const struct tcb *tcb, struct record *record)
{
	struct tcp_part *to = (struct tcp_part *)((struct tcp_piece *)(record + 1) + record->pieces);
	uint32_t at = tcb->rx_tail;
	record->tcb.rx_event = TCP_NONE;
	for (uint32_t i = 0; i < record->parts; i++) {
		at = tcp_part(net, at)->next;
		if (at == tcb->rx_event)
			record->tcb.rx_event = i;
		to[i] = *tcp_part(net, at);
		to[i].reserved = 0;
		to[i].next = 0;
	}
	at = record->cold.ooo_head;
	for (uint32_t i = 0; i < record->parts_ooo; i++, at = tcp_part(net, at)->next) {
		to[record->parts + i] = *tcp_part(net, at);
		to[record->parts + i].reserved = 0;
		to[record->parts + i].next = 0;
	}
}

/* Takes out of the copies what belongs to the place and not to the connection. */
static void forget_place(struct record *record)
{
	struct tcb *tcb = &record->tcb;
	struct tcb_cold *cold = &record->cold;
	tcb->flags &= ~((uint32_t)TCP_PENDING | TCP_READY);
	tcb->generation = 0;
	tcb->timed = false;
	tcb->neighbour = 0;
	tcb->ts_offset = 0;
	tcb->tx_head = tcb->tx_tail = tcb->rx_tail = 0;
	cold->ooo_head = 0;
	cold->ooo_near = TCP_NONE;		      /* only a hint, too */
	cold->lost_from = cold->sack_from = TCP_NONE; /* only hints */
	cold->order_prev = cold->order_next = 0;
}

/* Forgets it here, without a frame, an event or a release. */
static void remove(struct rb_net *net, struct tcb *tcb)
{
	struct tcb_cold *cold = tcp_cold(net, tcb);
	struct pool *parts = &net->tcp.part_pool;
	if (tcb->rx_tail != TCP_NONE) {
		uint32_t at = tcp_part(net, tcb->rx_tail)->next;
		tcp_part(net, tcb->rx_tail)->next = TCP_NONE;
		while (at != TCP_NONE) {
			uint32_t next = tcp_part(net, at)->next;
			pool_put(parts, at);
			at = next;
		}
	}
	for (uint32_t at = cold->ooo_head, next; at != TCP_NONE; at = next) {
		next = tcp_part(net, at)->next;
		pool_put(parts, at);
	}
	tcb->rx_tail = tcb->rx_event = cold->ooo_head = TCP_NONE;
	tcb->flags = (tcb->flags & (TCP_READY | TCP_PENDING | TCP_IS_6)) | (uint32_t)TCP_ORPHAN | TCP_KNOWN;
	tcp_end(net, tcb, 0);
}

int64_t rb_net_export(struct rb_net *net, rb_net_handle handle, void *memory, size_t size)
{
	struct tcb *tcb = tcp_of_handle(net, handle);
	struct record *record = memory;
	if (tcb == NULL || !(tcb->flags & TCP_ACCEPTED))
		return -EBADF;
	if (tcb->state == TCP_CLOSED)
		return -ENOTCONN;
	tcp_recovery_settle(net, tcb);
	tcp_untell(net, tcb);
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t pieces = count_pieces(net, tcb), parts = count_ring(net, tcb), parts_ooo = count_ooo(net, cold);
	size_t bytes = sizeof(*record) + pieces * sizeof(struct tcp_piece) +
		       ((size_t)parts + parts_ooo) * sizeof(struct tcp_part);
	if (bytes > size)
		return -ENOSPC;
	memset(record, 0, bytes);
	record->magic = RECORD_MAGIC;
	record->version = RECORD_VERSION;
	record->bytes = bytes;
	record->pieces = pieces;
	record->parts = parts;
	record->parts_ooo = parts_ooo;
	record->ts = tcp_ts_now(net, tcb);
	memcpy(&record->tcb, tcb, sizeof(*tcb));
	memcpy(&record->cold, cold, sizeof(*cold));
	write_pieces(net, tcb, record);
	write_parts(net, tcb, record);
	forget_place(record);
	shift_times(net, record, UINT32_MAX);
	remove(net, tcb);
	return (int64_t)bytes;
}

static bool is_position(uint32_t value, uint32_t count)
{
	return value < count || value == TCP_NONE;
}

static bool is_record(const struct record *record, size_t size)
{
	if (size < sizeof(*record) || record->magic != RECORD_MAGIC || record->version != RECORD_VERSION ||
	    record->bytes > size)
		return false;
	uint64_t bytes = sizeof(*record) + (uint64_t)record->pieces * sizeof(struct tcp_piece) +
			 ((uint64_t)record->parts + record->parts_ooo) * sizeof(struct tcp_part);
	if (record->bytes != bytes || record->tcb.timed || record->tcb.state < TCP_SYN_SENT ||
	    record->tcb.state > TCP_TIME_WAIT || record->cold.congestion >= RB_NET_CONGESTIONS ||
	    !is_position(record->tcb.tx_next, record->pieces) || !is_position(record->tcb.rx_event, record->parts) ||
	    !is_position(record->cold.time_head, record->pieces) ||
	    !is_position(record->cold.time_tail, record->pieces))
		return false;
	const struct tcp_piece *pieces = (const struct tcp_piece *)(record + 1);
	for (uint32_t i = 0; i < record->pieces; i++) {
		if (!is_position(pieces[i].time_next, record->pieces) ||
		    !is_position(pieces[i].time_prev, record->pieces))
			return false;
	}
	return true;
}

/* Names of the pieces, by position: taken in order, and found again by walking. */
static uint32_t piece_at(struct rb_net *net, const struct tcb *tcb, uint32_t at)
{
	uint32_t index = tcb->tx_head;
	if (at == TCP_NONE)
		return TCP_NONE;
	while (at-- > 0)
		index = tcp_piece(net, index)->next;
	return index;
}

static void read_pieces(struct rb_net *net, struct tcb *tcb, const struct record *record)
{
	const struct tcp_piece *from = (const struct tcp_piece *)(record + 1);
	tcb->tx_head = tcb->tx_tail = TCP_NONE;
	for (uint32_t i = 0; i < record->pieces; i++) {
		uint32_t index = pool_get(&net->tcp.piece_pool);
		*tcp_piece(net, index) = from[i];
		tcp_piece(net, index)->next = TCP_NONE;
		tcp_piece(net, index)->sent_us += net->tcp.now_us;
		if (tcb->tx_tail == TCP_NONE)
			tcb->tx_head = index;
		else
			tcp_piece(net, tcb->tx_tail)->next = index;
		tcb->tx_tail = index;
	}
	tcb->tx_next = piece_at(net, tcb, record->tcb.tx_next);
	struct tcb_cold *cold = tcp_cold(net, tcb);
	cold->time_head = piece_at(net, tcb, record->cold.time_head);
	cold->time_tail = piece_at(net, tcb, record->cold.time_tail);
	if (!(tcb->flags & TCP_SCOREBOARD))
		return;
	for (uint32_t at = tcb->tx_head; at != TCP_NONE; at = tcp_piece(net, at)->next) {
		struct tcp_piece *piece = tcp_piece(net, at);
		piece->time_next = piece_at(net, tcb, piece->time_next);
		piece->time_prev = piece_at(net, tcb, piece->time_prev);
	}
}

static void read_parts(struct rb_net *net, struct tcb *tcb, const struct record *record)
{
	const struct tcp_part *from =
		(const struct tcp_part *)((const struct tcp_piece *)(record + 1) + record->pieces);
	struct tcb_cold *cold = tcp_cold(net, tcb);
	tcb->rx_tail = tcb->rx_event = cold->ooo_head = TCP_NONE;
	for (uint32_t i = 0; i < record->parts; i++) {
		uint32_t index = pool_get(&net->tcp.part_pool);
		struct tcp_part *part = tcp_part(net, index);
		*part = from[i];
		part->next = index;
		if (tcb->rx_tail != TCP_NONE) {
			part->next = tcp_part(net, tcb->rx_tail)->next;
			tcp_part(net, tcb->rx_tail)->next = index;
		}
		tcb->rx_tail = index;
		if (i == record->tcb.rx_event)
			tcb->rx_event = index;
	}
	uint32_t *link = &cold->ooo_head;
	if (record->parts_ooo > 0) /* whatever the record says of it */
		tcb->flags |= TCP_OUT_OF_ORDER;
	for (uint32_t i = 0; i < record->parts_ooo; i++) {
		uint32_t index = pool_get(&net->tcp.part_pool);
		*tcp_part(net, index) = from[record->parts + i];
		tcp_part(net, index)->next = TCP_NONE;
		*link = index;
		link = &tcp_part(net, index)->next;
	}
}

static bool has_room(const struct rb_net *net, const struct record *record)
{
	const struct tcp *tcp = &net->tcp;
	/*
	 * Each connection has a piece in reserve (tcp_lay()). One that was cut again and again has taken more of that than its
	 * own, and must find room when it comes back; half of the reserve stays for the others.
	 */
	const uint64_t most = net->config.send_pieces + (net->config.connections + UINT64_C(1)) / 2;
	return pool_used(&tcp->piece_pool) + (uint64_t)record->pieces <= most &&
	       tcp->part_pool.count - pool_used(&tcp->part_pool) >= (uint64_t)record->parts + record->parts_ooo;
}

/* The connection goes on where it was. */
static void resume(struct rb_net *net, struct tcb *tcb)
{
	if (tcb->state == TCP_TIME_WAIT)
		tcp_order_append(net, &net->tcp.time_wait, tcp_index(net, tcb));
	tcp_ready(net, tcb);
	tcp_pend(net, tcb);
	tcp_timer_resume(net, tcb);
}

int rb_net_import(struct rb_net *net, const void *memory, size_t size, rb_net_handle *handle)
{
	const struct record *record = memory;
	if (!is_record(record, size))
		return -EINVAL;
	struct rb_endpoint local, remote;
	struct tcp_path path;
	tcp_endpoints(&record->tcb, &record->cold, &local, &remote);
	if (tcp_find(net, &local, &remote) != TCP_NONE)
		return -EADDRINUSE;
	if (!has_room(net, record))
		return -ENOBUFS;
	int error = tcp_path_to(net, &local, &remote, &path);
	if (error != 0)
		return error;
	struct tcb *tcb = tcp_make(net, &path);
	if (tcb == NULL)
		return -ENOBUFS;
	uint32_t generation = tcb->generation;
	uint16_t neighbour = tcb->neighbour;
	struct tcb_cold *cold = tcp_cold(net, tcb);
	uint32_t tick = (uint32_t)net->tcp.tick, *at;

	memcpy(tcb, &record->tcb, sizeof(*tcb));
	memcpy(cold, &record->cold, sizeof(*cold));
	tcb->generation = generation;
	tcb->neighbour = neighbour;
	tcb->ts_offset = record->ts - net->tcp.ts_now;
	for (unsigned i = 0; (at = tcb_times(tcb, i)) != NULL; i++)
		*at += tick;
	for (unsigned i = 0; (at = cold_ticks(cold, i)) != NULL; i++)
		*at += tick;
	for (unsigned i = 0; (at = cold_us(cold, i)) != NULL; i++)
		*at += net->tcp.now_us;
	cold->order_prev = cold->order_next = TCP_NONE;
	read_pieces(net, tcb, record);
	read_parts(net, tcb, record);
	resume(net, tcb);
	*handle = tcp_handle_of(net, tcb);
	return 0;
}

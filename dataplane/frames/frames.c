// SPDX-License-Identifier: Apache-2.0
#include "frames/frames.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/phase.h"
#include "net/checksum.h"

enum {
	IP_AT = 14,
	IP_BYTES = 20,
	PROTOCOL_AT = IP_AT + 9,
	SUM_AT = IP_AT + 10,
	UDP_AT = IP_AT + IP_BYTES,
	UDP_BYTES = 8,
	PROTOCOL_UDP = 17,
	TTL = 64,
	/* What is lost is looked for so often in the time that an answer may take. */
	LOOKS = 8,
};

/* ---- the bytes ---- */

static void put16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, (uint16_t)(value >> 16));
	put16(to + 2, (uint16_t)value);
}

/* A header of which only the source port changes. UDP needs no checksum over IPv4, and nobody here looks at it. */
static void make_header(struct frames *f, const struct frames_end *client, const struct frames_end *server)
{
	const uint16_t datagram = (uint16_t)(UDP_BYTES + f->config->message_bytes);
	uint8_t *header = f->header, *ip = header + IP_AT, *udp = header + UDP_AT;

	memcpy(header, server->mac, 6);
	memcpy(header + 6, client->mac, 6);
	put16(header + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(IP_BYTES + datagram));
	put16(ip + 6, 0x4000); /* not to be cut */
	ip[8] = TTL;
	ip[9] = PROTOCOL_UDP;
	put32(ip + 12, client->address.ip);
	put32(ip + 16, server->address.ip);
	const uint16_t sum = checksum_finish(checksum_add(0, ip, IP_BYTES));
	memcpy(header + SUM_AT, &sum, sizeof(sum));
	put16(udp + 2, server->address.port);
	put16(udp + 4, datagram);
}

static void write_head(const struct frames *f, uint32_t flow, uint8_t *head)
{
	memcpy(head, f->header, FRAMES_HEADER_BYTES);
	put16(head + UDP_AT, (uint16_t)(FRAMES_PORT_FIRST + flow));
	memcpy(head + FRAMES_HEADER_BYTES, &f->flows[flow].number, FRAMES_NUMBER_BYTES);
}

/* The flow that waits for this frame, or NULL. */
static struct frames_flow *flow_of(struct frames *f, const uint8_t *frame, uint32_t length)
{
	uint32_t number;

	if (length < FRAMES_HEADER_BYTES + f->config->message_bytes || frame[PROTOCOL_AT] != PROTOCOL_UDP ||
	    get16(frame + UDP_AT) != f->server_port)
		return NULL;
	const uint32_t index = (uint32_t)get16(frame + UDP_AT + 2) - FRAMES_PORT_FIRST;
	if (index >= f->count)
		return NULL;
	struct frames_flow *flow = &f->flows[index];
	memcpy(&number, frame + FRAMES_HEADER_BYTES, sizeof(number));
	return flow->under_way && flow->number == number ? flow : NULL;
}

/* ---- the loop ---- */

bool frames_check(const struct rb_load_config *c, FILE *err)
{
	if (c->mode != RB_LOAD_CLOSED || c->transport != RB_LOAD_UDP || c->protocol != RB_PROTOCOL_ECHO)
		fprintf(err, "rb-frames: sends datagrams in a closed loop: --mode=closed --transport=udp "
			     "--protocol=echo\n");
	else if (c->threads != 1 || c->users != 0 || c->think_ns != 0)
		fprintf(err, "rb-frames: has one thread, and always a datagram of each connection under way: no "
			     "--threads, --users or --think-time\n");
	else if (c->connections > FRAMES_FLOWS_MAX)
		fprintf(err, "rb-frames: --connections=%" PRIu64 ": at most %d\n", c->connections, FRAMES_FLOWS_MAX);
	else if (c->message_bytes < FRAMES_NUMBER_BYTES)
		fprintf(err, "rb-frames: --message-bytes=%" PRIu64 ": at least %d, for a number\n", c->message_bytes,
			FRAMES_NUMBER_BYTES);
	else if (c->output == NULL)
		fprintf(err, "rb-frames: --output=FILE is required: what is to become of the result\n");
	else
		return true;
	return false;
}

int frames_init(struct frames *f, const struct rb_load_config *config, struct rb_recorder *recorder,
		const struct frames_end *client, const struct frames_end *server, uint64_t start_ns)
{
	memset(f, 0, sizeof(*f));
	f->config = config;
	f->recorder = recorder;
	f->count = (uint32_t)config->connections;
	f->server_port = server->address.port;
	f->phase_end_ns = start_ns;
	make_header(f, client, server);
	f->flows = calloc(f->count, sizeof(*f->flows));
	return f->flows != NULL ? 0 : -ENOMEM;
}

void frames_free(struct frames *f)
{
	free(f->flows);
	f->flows = NULL;
}

static bool is_sending(const struct frames *f)
{
	return f->phase == FRAMES_WARMUP || f->phase == FRAMES_MEASURED;
}

static void lose(struct frames *f, struct frames_flow *flow, uint64_t now_ns)
{
	flow->under_way = false;
	f->under_way--;
	rb_recorder_timeout(f->recorder, flow->sent_ns, now_ns, RB_OPERATION_MESSAGE);
}

/* Those that have waited for `wait_ns` or longer. */
static void lose_late(struct frames *f, uint64_t wait_ns, uint64_t now_ns)
{
	for (uint32_t i = 0; i < f->count; i++) {
		struct frames_flow *flow = &f->flows[i];
		if (flow->under_way && now_ns - flow->sent_ns >= wait_ns)
			lose(f, flow, now_ns);
	}
}

/* Marks are for whoever counts instructions from outside. */
static void enter_next(struct frames *f)
{
	const struct rb_load_config *c = f->config;

	f->phase++;
	switch (f->phase) {
	case FRAMES_WARMUP:
		rb_recorder_start(f->recorder, f->phase_end_ns + c->warmup_ns);
		f->phase_end_ns += c->warmup_ns;
		rb_phase_begin(RB_PHASE_WARMUP);
		break;
	case FRAMES_MEASURED:
		f->phase_end_ns += c->duration_ns;
		rb_phase_begin(RB_PHASE_MEASURED);
		break;
	case FRAMES_RUNDOWN:
		f->phase_end_ns += c->rundown_ns;
		rb_phase_begin(RB_PHASE_RUNDOWN);
		break;
	case FRAMES_BEFORE:
	case FRAMES_OVER:
		break;
	}
}

void frames_advance(struct frames *f, uint64_t now_ns)
{
	while (now_ns >= f->phase_end_ns && f->phase < FRAMES_RUNDOWN)
		enter_next(f);
	if (f->phase == FRAMES_RUNDOWN && (f->under_way == 0 || now_ns >= f->phase_end_ns)) {
		lose_late(f, 0, now_ns);
		f->phase = FRAMES_OVER;
	} else if (now_ns >= f->look_ns) {
		f->look_ns = now_ns + f->config->reply_timeout_ns / LOOKS;
		lose_late(f, f->config->reply_timeout_ns, now_ns);
	}
}

/* The next datagram of a flow. */
static void send(struct frames *f, struct frames_flow *flow, uint8_t *head, uint64_t now_ns)
{
	flow->number++;
	flow->sent_ns = now_ns;
	flow->under_way = true;
	f->under_way++;
	write_head(f, (uint32_t)(flow - f->flows), head);
	/* It was due when it could be sent. */
	rb_recorder_handed(f->recorder, now_ns, now_ns);
	rb_recorder_sent(f->recorder, now_ns, (uint32_t)f->config->message_bytes);
}

bool frames_begin(struct frames *f, uint8_t head[FRAMES_HEAD_BYTES], uint64_t now_ns)
{
	if (!is_sending(f) || f->under_way == f->count)
		return false;
	while (f->flows[f->next].under_way)
		f->next = (f->next + 1) % f->count;
	send(f, &f->flows[f->next], head, now_ns);
	return true;
}

bool frames_again(struct frames *f, uint8_t *frame, uint32_t length, uint64_t now_ns)
{
	struct frames_flow *flow = flow_of(f, frame, length);

	if (flow == NULL)
		return false;
	flow->under_way = false;
	f->under_way--;
	f->answered++;
	rb_recorder_received(f->recorder, flow->sent_ns, f->config->message_bytes);
	rb_recorder_reply(f->recorder, flow->sent_ns, now_ns, RB_OPERATION_MESSAGE, RB_REPLY_OK);
	if (!is_sending(f))
		return false;
	send(f, flow, frame, now_ns);
	return true;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * l2: every packet goes back to where it came from, by its Ethernet addresses; UDP and IPv4 addresses are swapped too,
 * so that a client takes it for an answer. No protocol, no application: what is left is the cost of receiving and
 * sending a packet, the floor under every other stack. /
 */
#include "policy/policy.h"

#include <string.h>

enum {
	ETHERNET_BYTES = 14,
	ETHERTYPE_AT = 12,
	IP_SOURCE_AT = ETHERNET_BYTES + 12,
	IP_DESTINATION_AT = ETHERNET_BYTES + 16,
	IP_PROTOCOL_AT = ETHERNET_BYTES + 9,
	PORTS_AT = ETHERNET_BYTES + 20, /* of a header without options */
	PROTOCOL_UDP = 17,
};

static void swap(uint8_t *a, uint8_t *b, size_t length)
{
	uint8_t kept[8];
	memcpy(kept, a, length);
	memcpy(a, b, length);
	memcpy(b, kept, length);
}

/* Sums do not change when what they are made of changes places. */
static void turn_round(uint8_t *frame, unsigned length)
{
	if (length < ETHERNET_BYTES)
		return;
	swap(frame, frame + 6, 6);
	if (length < PORTS_AT + 8 || frame[ETHERTYPE_AT] != 0x08 || frame[ETHERTYPE_AT + 1] != 0 ||
	    frame[ETHERNET_BYTES] != 0x45)
		return;
	swap(frame + IP_SOURCE_AT, frame + IP_DESTINATION_AT, 4);
	if (frame[IP_PROTOCOL_AT] == PROTOCOL_UDP)
		swap(frame + PORTS_AT, frame + PORTS_AT + 2, 2);
}

static void run_l2(struct core *core)
{
	core_begin(core);
	while (!core_is_asked(core, CORE_REQUEST_END)) {
		core_poll(core);
		for (unsigned i = 0; i < core->packets_count; i++)
			turn_round(rb_nic_data(&core->packets[i]), core->packets[i].length);
		rb_nic_return(core->queue, core->packets, core->packets_count);
		core_turn_end(core);
	}
}

const struct core_policy policy_l2 = {
	.name = "l2",
	.summary = "sends every packet back: the cost of receiving and sending, "
		   "with nothing above",
	.application = false,
	.run = run_l2,
};

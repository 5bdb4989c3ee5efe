// SPDX-License-Identifier: Apache-2.0
/* Frames on their way out, and buffers on their way back. */
#include "net/tx.h"

#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/input.h"
#include "tests/net/below.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Queues a frame that carries a number. */
static bool send_number(struct below *below, uint16_t number)
{
	struct rb_net_frame *frame = tx_frame(below->net);
	if (frame == NULL)
		return false;
	store16(frame->header, number);
	frame->header_length = 2;
	frame->length = 2;
	tx_commit_raw(below->net, frame);
	return true;
}

static void test_frames_stay_in_order(void **state)
{
	struct below *below = *state;
	unsigned number = 0;
	/* batches of all sizes: they meet the ends of the burst and of what was asked for at every place */
	for (unsigned batch = 1; batch < 150; batch++) {
		below_clear(below);
		unsigned first = number;
		for (unsigned i = 0; i < batch; i++)
			assert_true(send_number(below, (uint16_t)number++));
		tx_flush(below->net);
		assert_int_equal(below->sent_count, batch);
		for (unsigned i = 0; i < batch; i++)
			assert_int_equal(load16(below->sent[i].bytes), first + i);
	}
	assert_int_equal(below->net->counters.frames_out, number);
}

static void test_nothing_leaves_before_the_flush(void **state)
{
	struct below *below = *state;
	for (unsigned i = 0; i < RB_NET_BURST; i++)
		assert_true(send_number(below, 0));
	assert_int_equal(below->outputs, 0);
	assert_true(send_number(below, 0)); /* but for want of room */
	assert_int_equal(below->outputs, 1);
	assert_int_equal(below->sent_count, RB_NET_BURST);
	tx_flush(below->net);
	tx_flush(below->net);
	assert_int_equal(below->outputs, 2);
}

static void test_a_frame_given_up_comes_again(void **state)
{
	struct below *below = *state;
	struct rb_net_frame *frame = tx_frame(below->net);
	frame->pieces_count = 3;
	frame->flags = RB_NET_FRAME_TRANSIENT;
	frame->checksum = RB_NET_CHECKSUM_TCP_FILL;
	struct rb_net_frame *again = tx_frame(below->net);
	assert_ptr_equal(again, frame);
	assert_int_equal(again->pieces_count, 0);
	assert_int_equal(again->flags, 0);
	assert_int_equal(again->checksum, 0);
	assert_int_equal(again->l2_length, 14);
	tx_flush(below->net);
	assert_int_equal(below->outputs, 0);
}

static void test_want_of_headers(void **state)
{
	struct below *below = *state;
	below->headers_refused = 1;
	assert_false(send_number(below, 1));
	assert_int_equal(below->net->counters.no_headers, 1);
	/* fewer than asked for */
	below->free_count = 3;
	for (unsigned i = 0; i < 3; i++)
		assert_true(send_number(below, 1));
	/* what has gone out comes back as memory */
	assert_true(send_number(below, 1));
	assert_int_equal(below->outputs, 1);
	tx_flush(below->net);
	/* or does not */
	below->free_count = 0;
	while (below->net->tx.stock_next < below->net->tx.stock_end)
		assert_true(send_number(below, 1));
	below->headers_refused = 2;
	assert_false(send_number(below, 1));
	assert_int_equal(below->net->counters.no_headers, 2);
	tx_flush(below->net);
	below->free_count = HEADERS_MAX; /* those that the test took away itself */
	below->net->tx.stock_next = below->net->tx.stock_end = 0;
}

static void test_held_buffers_go_back_after_the_frames(void **state)
{
	struct below *below = *state;
	for (unsigned i = 0; i < RB_NET_BURST; i++) {
		below->buffers++;
		assert_true(tx_hold(below->net, (uintptr_t)malloc(1)));
	}
	assert_true(send_number(below, 1));
	/* one more does not fit: all goes out now */
	assert_false(tx_hold(below->net, 0));
	assert_int_equal(below->sent_count, 1);
	assert_int_equal(below->buffers, 0);
}

static void test_a_drop_sends_nothing(void **state)
{
	struct below *below = *state;
	assert_true(send_number(below, 1));
	below->buffers++;
	assert_true(tx_hold(below->net, (uintptr_t)malloc(1)));
	tx_drop(below->net);
	assert_int_equal(below->buffers, 0);
	assert_int_equal(below->sent_count, 0);
	below->free_count = HEADERS_MAX; /* the caller's again */
}

static void test_released_buffers_go_back_in_bulk(void **state)
{
	struct below *below = *state;
	below->buffers = RB_NET_BURST + 1;
	for (unsigned i = 0; i < RB_NET_BURST - 1; i++)
		input_release(below->net, (uintptr_t)malloc(1));
	assert_int_equal(below->buffers, RB_NET_BURST + 1);
	input_release(below->net, (uintptr_t)malloc(1));
	assert_int_equal(below->buffers, 1);
	input_release(below->net, (uintptr_t)malloc(1));
	input_release_flush(below->net);
	assert_int_equal(below->buffers, 0);
}

/* A burst: each buffer goes back once, those that are kept do not. */
static void test_bursts_in(void **state)
{
	enum { COUNT = 100 };
	struct below *below = *state;
	struct rb_net_packet packets[COUNT];
	static const uint8_t tcp[20] = {[12] = 0x50};
	struct packet good = packet_sum4(PEER4, OWN4, IP_PROTOCOL_TCP, tcp, sizeof(tcp), 16);
	struct packet bad = packet_ethernet(other_mac, peer_mac, ETHERNET_TYPE_IP4);
	for (unsigned i = 0; i < COUNT; i++) {
		const struct packet *from = i % 3 == 0 ? &bad : &good;
		uint8_t *copy = malloc(from->length);
		assert_non_null(copy);
		memcpy(copy, from->bytes, from->length);
		packets[i] = (struct rb_net_packet){
			.data = copy, .buffer = (uintptr_t)copy, .length = (uint16_t)from->length};
		packets[i].checksum = i % 2 == 0 ? 3 : 0;
	}
	below->buffers = COUNT;
	below->keep = true;
	rb_net_input(below->net, packets, COUNT);
	assert_int_equal(below->segments, 66);
	assert_int_equal(below->buffers, 66);
	assert_int_equal(below->net->counters.packets_in, COUNT);
	assert_int_equal(below->net->counters.ethernet_dropped, 34);
	for (unsigned i = 0; i < COUNT; i++) {
		if (i % 3 != 0)
			input_release(below->net, packets[i].buffer);
	}
}

static void test_checksums_over_pieces(void **state)
{
	struct below *below = *state;
	struct rb_net_frame *frame = tx_frame(below->net);
	static const uint8_t data[] = "an odd number of bytes, in pieces of odd lengths";
	memset(frame->header, 0, 54);
	store16(frame->header + 50, 0x1234); /* the pseudo-header's sum */
	frame->header_length = 54;
	frame->pieces[0] = (struct rb_net_piece){data, 7};
	frame->pieces[1] = (struct rb_net_piece){data + 7, 5};
	frame->pieces[2] = (struct rb_net_piece){data + 12, 36};
	frame->pieces_count = 3;
	uint16_t expected = checksum_finish(checksum_add(checksum_add(0, frame->header + 34, 20), data, 48));
	uint16_t got;
	tx_checksum_tcp(below->net, frame, 34, 50);
	memcpy(&got, frame->header + 50, 2);
	assert_int_equal(got, expected);
	assert_int_equal(frame->checksum, 0);
	below->net->config.checksum_offload = RB_NET_CHECKSUM_TCP_FILL;
	tx_checksum_tcp(below->net, frame, 34, 50);
	assert_int_equal(frame->checksum, RB_NET_CHECKSUM_TCP_FILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frames_stay_in_order, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_leaves_before_the_flush, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_a_frame_given_up_comes_again, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_want_of_headers, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_held_buffers_go_back_after_the_frames, below_setup,
						below_teardown),
		cmocka_unit_test_setup_teardown(test_a_drop_sends_nothing, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_released_buffers_go_back_in_bulk, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_bursts_in, below_setup, below_teardown),
		cmocka_unit_test_setup_teardown(test_checksums_over_pieces, below_setup, below_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

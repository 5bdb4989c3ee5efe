// SPDX-License-Identifier: Apache-2.0
/*
 * The closed loop of bare frames: what goes out, what counts as an answer, what is lost, and when it ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames/frames.h"
#include "net/checksum.h"

#include <cmocka.h>

enum { FLOWS = 3, MESSAGE = 64, FRAME = FRAMES_HEADER_BYTES + MESSAGE, PORT = 7000 };
enum { START = 1000, WARMUP = 100, DURATION = 1000, RUNDOWN = 500, TIMEOUT = 120 };
enum { IP_AT = 14, PROTOCOL_AT = 23, SOURCE_AT = 26, PORTS_AT = 34, NUMBER_AT = FRAMES_HEADER_BYTES };

static const struct frames_end client = {.mac = {2, 0, 0, 0, 0, 1}, .address = {.ip = 0x0a000001}};
static const struct frames_end server = {.mac = {2, 0, 0, 0, 0, 2}, .address = {.ip = 0x0a000002, .port = PORT}};

struct loop {
	struct rb_load_config config;
	struct rb_recorder recorder;
	struct frames frames;
	uint8_t frame[FLOWS][FRAME]; /* the last one of each flow, as it went out */
};

static void set_up(struct loop *l)
{
	memset(l, 0, sizeof(*l));
	l->config = (struct rb_load_config){
		.mode = RB_LOAD_CLOSED,
		.transport = RB_LOAD_UDP,
		.threads = 1,
		.connections = FLOWS,
		.message_bytes = MESSAGE,
		.warmup_ns = WARMUP,
		.duration_ns = DURATION,
		.rundown_ns = RUNDOWN,
		.reply_timeout_ns = TIMEOUT,
		.output = "load.json",
	};
	const struct rb_recorder_config recorder = {.duration_ns = DURATION};
	assert_true(frames_check(&l->config, stderr));
	assert_int_equal(rb_recorder_init(&l->recorder, &recorder), 0);
	assert_int_equal(frames_init(&l->frames, &l->config, &l->recorder, &client, &server, START), 0);
}

/* Everything that was sent has had one end. */
static void tear_down(struct loop *l)
{
	const struct rb_load_counters *c = &l->recorder.counters;
	frames_advance(&l->frames, START + WARMUP + DURATION + RUNDOWN);
	assert_true(frames_are_over(&l->frames));
	assert_int_equal(c->scheduled, c->completed + c->errors[RB_LOAD_ERROR_TIMEOUT]);
	assert_int_equal(c->sent, c->scheduled);
	frames_free(&l->frames);
	rb_recorder_free(&l->recorder);
}

static uint8_t *only(struct loop *l, unsigned flow)
{
	return l->frame[flow];
}

/* Everything that may go out now; how many. */
static unsigned begin(struct loop *l, uint64_t now_ns)
{
	uint8_t head[FRAMES_HEAD_BYTES];
	unsigned count = 0;
	frames_advance(&l->frames, now_ns);
	while (frames_begin(&l->frames, head, now_ns)) {
		const unsigned flow = (unsigned)(head[PORTS_AT] << 8 | head[PORTS_AT + 1]) - FRAMES_PORT_FIRST;
		assert_in_range(flow, 0, FLOWS - 1);
		memcpy(only(l, flow), head, sizeof(head));
		count++;
	}
	return count;
}

static void swap(uint8_t *a, uint8_t *b, size_t length)
{
	uint8_t kept[8];
	memcpy(kept, a, length);
	memcpy(a, b, length);
	memcpy(b, kept, length);
}

/* What dpos --stack=l2 makes of a frame. */
static void turn_round(uint8_t *frame)
{
	swap(frame, frame + 6, 6);
	swap(frame + SOURCE_AT, frame + SOURCE_AT + 4, 4);
	swap(frame + PORTS_AT, frame + PORTS_AT + 2, 2);
}

static bool back(struct loop *l, unsigned flow, uint64_t now_ns)
{
	frames_advance(&l->frames, now_ns);
	turn_round(only(l, flow));
	return frames_again(&l->frames, only(l, flow), FRAME, now_ns);
}

static void test_a_frame_is_a_good_datagram(void **state)
{
	struct loop l;
	static const uint8_t wanted[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0};
	(void)state;
	set_up(&l);
	assert_int_equal(begin(&l, START), FLOWS);
	const uint8_t *frame = only(&l, 1);
	assert_memory_equal(frame, wanted, sizeof(wanted));
	assert_int_equal(checksum_finish(checksum_add(0, frame + IP_AT, 20)), 0);
	assert_int_equal(frame[IP_AT + 3], 20 + 8 + MESSAGE);
	assert_int_equal(frame[PORTS_AT + 5], 8 + MESSAGE);
	assert_int_equal(frame[PORTS_AT + 2] << 8 | frame[PORTS_AT + 3], PORT);
	/* The next one of the flow differs in its number only. */
	uint8_t first[FRAME];
	memcpy(first, frame, FRAME);
	assert_true(back(&l, 1, START + 1));
	assert_memory_equal(frame, first, NUMBER_AT);
	assert_memory_not_equal(frame + NUMBER_AT, first + NUMBER_AT, FRAMES_NUMBER_BYTES);
	tear_down(&l);
}

static void test_as_many_are_under_way_until_the_end(void **state)
{
	struct loop l;
	const uint64_t measured = START + WARMUP, end = measured + DURATION;
	(void)state;
	set_up(&l);
	assert_int_equal(begin(&l, START - 1), 0);
	assert_int_equal(begin(&l, START), FLOWS);
	assert_int_equal(begin(&l, START), 0);
	/* An answer to what was sent before the window counts for its rate alone. */
	for (unsigned i = 0; i < FLOWS; i++)
		assert_true(back(&l, i, measured));
	assert_int_equal(l.recorder.counters.completed_in_window, FLOWS);
	assert_int_equal(l.recorder.counters.completed, 0);
	for (uint64_t now = measured + 10; now < end; now += 10)
		assert_true(back(&l, (unsigned)(now / 10 % FLOWS), now));
	assert_int_equal(begin(&l, end - 1), 0);
	assert_int_equal(l.recorder.counters.errors[RB_LOAD_ERROR_TIMEOUT], 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		assert_false(frames_are_over(&l.frames));
		assert_false(back(&l, i, end + i));
	}
	assert_int_equal(begin(&l, end + FLOWS), 0);
	assert_true(frames_are_over(&l.frames));
	assert_int_equal(l.recorder.counters.completed, DURATION / 10 - 1 + FLOWS);
	assert_int_equal(l.recorder.latency.count, l.recorder.counters.completed);
	assert_int_equal(l.frames.answered, l.recorder.counters.completed + FLOWS);
	tear_down(&l);
}

static void test_what_is_lost_is_told_and_replaced(void **state)
{
	struct loop l;
	const uint64_t measured = START + WARMUP;
	uint8_t late[FRAME];
	(void)state;
	set_up(&l);
	assert_int_equal(begin(&l, measured), FLOWS);
	memcpy(late, only(&l, 0), FRAME);
	turn_round(late);
	assert_true(back(&l, 1, measured + TIMEOUT / 2));
	assert_true(back(&l, 2, measured + TIMEOUT / 2));
	assert_int_equal(begin(&l, measured + TIMEOUT - 1), 0);
	assert_int_equal(begin(&l, measured + TIMEOUT + TIMEOUT / 8), 1);
	assert_int_equal(l.recorder.counters.errors[RB_LOAD_ERROR_TIMEOUT], 1);
	/* The answer to the first one comes too late: the second is waited for. */
	assert_false(frames_again(&l.frames, late, FRAME, measured + TIMEOUT + 11));
	assert_true(back(&l, 0, measured + TIMEOUT + 12));
	tear_down(&l);
}

static void test_it_ends_without_answers(void **state)
{
	struct loop l;
	const uint64_t end = START + WARMUP + DURATION;
	(void)state;
	set_up(&l);
	assert_int_equal(begin(&l, START), FLOWS);
	assert_int_equal(begin(&l, end - 1), FLOWS);
	assert_int_equal(begin(&l, end + TIMEOUT / 2), 0);
	assert_false(frames_are_over(&l.frames));
	/* A look at the clock that comes after the end of all. */
	assert_int_equal(begin(&l, end + RUNDOWN), 0);
	assert_true(frames_are_over(&l.frames));
	assert_int_equal(l.recorder.counters.errors[RB_LOAD_ERROR_TIMEOUT], FLOWS);
	assert_int_equal(l.frames.answered, 0);
	tear_down(&l);
}

static void test_strangers_are_no_answers(void **state)
{
	static const struct {
		uint32_t length;
		unsigned at;
		uint8_t value;
	} strange[] = {
		{FRAME - 1, 0, 0},	      /* too short */
		{0, 0, 0},		      /* nothing */
		{FRAME, PROTOCOL_AT, 6},      /* TCP */
		{FRAME, PORTS_AT, 0},	      /* from another port */
		{FRAME, PORTS_AT + 2, 0},     /* to none of ours, below */
		{FRAME, PORTS_AT + 3, FLOWS}, /* above */
		{FRAME, NUMBER_AT + 3, 1},    /* another one of the flow */
	};
	struct loop l;
	(void)state;
	set_up(&l);
	assert_int_equal(begin(&l, START), FLOWS);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		uint8_t frame[FRAME];
		memcpy(frame, only(&l, 0), FRAME);
		turn_round(frame);
		frame[strange[i].at] = strange[i].length == FRAME ? strange[i].value : frame[strange[i].at];
		assert_false(frames_again(&l.frames, frame, strange[i].length, START + 1));
	}
	assert_int_equal(l.frames.under_way, FLOWS);
	assert_true(back(&l, 0, START + 1));
	tear_down(&l);
}

static void test_an_answer_counts_once(void **state)
{
	struct loop l;
	uint8_t twice[FRAME];
	(void)state;
	set_up(&l);
	assert_int_equal(begin(&l, START), FLOWS);
	memcpy(twice, only(&l, 0), FRAME);
	turn_round(twice);
	assert_true(back(&l, 0, START + 1));
	assert_false(frames_again(&l.frames, twice, FRAME, START + 2));
	assert_int_equal(l.frames.answered, 1);
	tear_down(&l);
}

static void test_other_loads_are_refused(void **state)
{
	struct loop l;
	FILE *err = tmpfile();
	(void)state;
	assert_non_null(err);
	set_up(&l);
	const struct rb_load_config good = l.config;
	struct rb_load_config bad[] = {good, good, good, good, good, good, good, good};
	bad[0].mode = RB_LOAD_OPEN;
	bad[1].transport = RB_LOAD_TCP;
	bad[2].protocol = RB_PROTOCOL_SPIN;
	bad[3].threads = 2;
	bad[4].users = 1;
	bad[5].connections = FRAMES_FLOWS_MAX + 1;
	bad[6].message_bytes = FRAMES_NUMBER_BYTES - 1;
	bad[7].output = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const long before = ftell(err);
		assert_false(frames_check(&bad[i], err));
		assert_true(ftell(err) > before);
	}
	assert_int_equal(fclose(err), 0);
	tear_down(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_frame_is_a_good_datagram),
		cmocka_unit_test(test_as_many_are_under_way_until_the_end),
		cmocka_unit_test(test_what_is_lost_is_told_and_replaced),
		cmocka_unit_test(test_it_ends_without_answers),
		cmocka_unit_test(test_strangers_are_no_answers),
		cmocka_unit_test(test_an_answer_counts_once),
		cmocka_unit_test(test_other_loads_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

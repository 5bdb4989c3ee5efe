// SPDX-License-Identifier: Apache-2.0
/* What a stream asks of the stack under it, which here is one that takes no more than it has to. */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/backend.h"
#include "user/loop.h"

enum { HELD_MAX = 512 * 1024, GIVEN_BACK = 100000, TOTAL = 3 * 1000 * 1000 };

/* One connection, open at once. Gives some of what it holds back at each call, and has no room for some SENDVs. */
struct thrifty {
	uint64_t cookie;
	uint64_t held, taken; /* bytes */
	unsigned sends;
	bool connects, closes, refuses;
};

static unsigned refused_each; /* so many SENDVs, one is refused; 0: none is */
static const uint8_t *wanted; /* what is to be sent */

static struct thrifty thrifty;
static const char *const no_names[] = {NULL};

static int thrifty_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	(void)config;
	(void)stats;
	thrifty = (struct thrifty){0};
	*state = &thrifty;
	return 0;
}

static void thrifty_destroy(void *state)
{
	(void)state;
}

static void take(struct thrifty *own, const struct rb_command *command)
{
	switch (command->type) {
	case RB_COMMAND_CONNECT:
		own->cookie = command->cookie;
		own->connects = true;
		break;
	case RB_COMMAND_SENDV:
		assert_false(own->closes);
		assert_true(command->sendv.count > 0);
		own->refuses = refused_each > 0 && ++own->sends % refused_each == 0;
		for (uint32_t i = 0; i < command->sendv.count && !own->refuses; i++) {
			const struct rb_sg *sg = &rb_sendv_pieces(command)[i];
			assert_ptr_equal(sg->base, wanted + own->taken);
			own->held += sg->length;
			own->taken += sg->length;
		}
		assert_in_range(own->held, own->refuses ? 0 : 1, HELD_MAX);
		break;
	case RB_COMMAND_CLOSE:
		assert_int_equal(own->taken, TOTAL);
		own->closes = true;
		break;
	case RB_COMMAND_TIMER:
		break; /* the loop looks at its clock in every turn */
	default:
		fail_msg("command %u", command->type);
	}
}

static int thrifty_run_io(void *state, const struct rb_command *commands, uint32_t commands_count,
			  struct rb_event *events, uint32_t events_max, enum rb_wait wait)
{
	struct thrifty *own = state;
	(void)events_max;
	(void)wait;
	for (uint32_t i = 0; i < commands_count; i++)
		take(own, &commands[i]);
	events[0] = (struct rb_event){.handle = 1, .cookie = own->cookie};
	if (own->connects) {
		own->connects = false;
		events[0].type = RB_EVENT_CONNECTED;
	} else if (own->refuses) {
		own->refuses = false;
		events[0].type = RB_EVENT_ERROR;
		events[0].status = -ENOBUFS;
		events[0].error.command = RB_COMMAND_SENDV;
	} else if (own->held > 0) {
		const uint64_t bytes = own->held < GIVEN_BACK ? own->held : GIVEN_BACK;
		own->held -= bytes;
		events[0].type = RB_EVENT_SENT;
		events[0].sent.bytes = bytes;
	} else if (own->closes) {
		events[0].type = RB_EVENT_CLOSED;
	} else {
		return 0;
	}
	return 1;
}

static void thrifty_wake(void *state)
{
	(void)state;
}

static const struct rb_backend thrifty_backend = {
	.name = "thrifty",
	.syscall_names = no_names,
	.context_create = thrifty_create,
	.context_destroy = thrifty_destroy,
	.run_io = thrifty_run_io,
	.wake = thrifty_wake,
};

static unsigned released, closed;

static void on_release(void *cookie)
{
	(void)cookie;
	released++;
}

static size_t on_data(struct rb_stream *stream, const uint8_t *data, size_t length)
{
	(void)stream;
	(void)data;
	return length;
}

static void on_closed(struct rb_stream *stream, int reason)
{
	(void)stream;
	assert_int_equal(reason, 0);
	closed++;
}

static void send_large_loan(unsigned turns)
{
	struct rb_virtual_clock clock;
	static const struct rb_stream_ops ops = {.data = on_data, .closed = on_closed};
	const struct rb_loop_config config = {.context = {.backend = &thrifty_backend, .clock = &clock.clock}};
	struct rb_loop *loop;
	struct rb_stream *stream;
	uint8_t *memory = calloc(1, TOTAL);
	const struct rb_sg piece = {.base = memory, .length = TOTAL};
	const struct rb_address nobody = {.ip = 1, .port = 1};
	assert_non_null(memory);
	wanted = memory;
	released = closed = 0;
	rb_virtual_clock_init(&clock, 0);
	assert_int_equal(rb_loop_create(&config, &loop), 0);
	assert_int_equal(rb_loop_connect(loop, (struct rb_address){0}, nobody, &ops, NULL, &stream), 0);
	assert_int_equal(rb_stream_send(stream, &piece, 1, on_release, NULL), 0);
	rb_stream_close(stream);
	for (unsigned turn = 0; turn < turns && closed == 0; turn++) {
		rb_virtual_clock_advance_to(&clock, clock.ns + RB_NS_PER_MS);
		assert_int_equal(rb_loop_turn(loop, RB_POLL), 0);
	}
	assert_int_equal(released, 1);
	assert_int_equal(closed, 1);
	assert_int_equal(thrifty.taken, TOTAL);
	rb_loop_destroy(loop);
	free(memory);
}

/* However much is lent, the stack is never given more than it must take; the end waits for all of it. */
static void test_large_loan(void **state)
{
	(void)state;
	refused_each = 0;
	send_large_loan(100);
}

/* What is refused is offered again, from where it was, and the end waits for that, too. */
static void test_refused_loan(void **state)
{
	(void)state;
	for (refused_each = 2; refused_each <= 3; refused_each++) {
		send_large_loan(1000);
		assert_true(thrifty.sends > refused_each);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_large_loan), cmocka_unit_test(test_refused_loan)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

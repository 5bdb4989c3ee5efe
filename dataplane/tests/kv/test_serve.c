// SPDX-License-Identifier: Apache-2.0
/* Connections over the batch API: what is answered when, on a stack that does as it is told and notes its commands. */
#include "tests/kv/fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "apps/kv/serve.h"
#include "user/backend.h"

enum { EVENTS = 512, NOTED = 512, TEXT = 256 };

/* A command, and what a SENDV had in it. */
struct noted {
	struct rb_command command;
	char text[TEXT];
};

/* What the stack does at the next run_io(), and what it was told at the last. */
struct script {
	struct rb_event events[EVENTS];
	uint32_t events_count;
	struct noted noted[NOTED];
	uint32_t noted_count;
	enum rb_wait wait;
};

static struct script script;

static int script_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	(void)config;
	(void)stats;
	*state = &script;
	return 0;
}

static void script_destroy(void *state)
{
	(void)state;
}

static void note(const struct rb_command *command)
{
	struct noted *noted = &script.noted[script.noted_count++];
	size_t used = 0;

	assert_in_range(script.noted_count, 1, NOTED);
	*noted = (struct noted){.command = *command};
	if (command->type != RB_COMMAND_SENDV)
		return;
	const struct rb_sg *sg = command->sendv.count == 1 ? &command->sendv.one : command->sendv.sg;
	for (uint32_t i = 0; i < command->sendv.count; used += sg[i++].length) {
		assert_in_range(used + sg[i].length, 1, TEXT - 1);
		memcpy(noted->text + used, sg[i].base, sg[i].length);
	}
}

static int script_run_io(void *state, const struct rb_command *commands, uint32_t commands_count,
			 struct rb_event *events, uint32_t events_max, enum rb_wait wait)
{
	(void)state;
	assert_in_range(script.events_count, 0, events_max);
	script.noted_count = 0;
	for (uint32_t i = 0; i < commands_count; i++)
		note(&commands[i]);
	script.wait = wait;
	memcpy(events, script.events, script.events_count * sizeof(*events));
	const int count = (int)script.events_count;
	script.events_count = 0;
	return count;
}

static void script_wake(void *state)
{
	(void)state;
}

static const char *const no_names[] = {NULL};
static const struct rb_backend script_backend = {
	.name = "script",
	.syscall_names = no_names,
	.context_create = script_create,
	.context_destroy = script_destroy,
	.run_io = script_run_io,
	.wake = script_wake,
};

/* ---- what happens ---- */

static struct rb_event *event(enum rb_event_type type, uint64_t handle, uint64_t cookie)
{
	struct rb_event *made = &script.events[script.events_count++];

	assert_in_range(script.events_count, 1, EVENTS);
	*made = (struct rb_event){.type = (uint16_t)type, .handle = handle, .cookie = cookie};
	return made;
}

/* `sent`: bytes that it releases. */
static struct rb_event *says(uint64_t cookie, const char *text, uint64_t sent)
{
	struct rb_event *made = event(RB_EVENT_RECV, 0, cookie);

	made->recv.data = text;
	made->recv.length = strlen(text);
	made->recv.sent = sent;
	return made;
}

static void refuses(uint64_t cookie)
{
	struct rb_event *made = event(RB_EVENT_ERROR, 0, cookie);

	made->status = -ENOBUFS;
	made->error.command = RB_COMMAND_SENDV;
	made->error.count = 1;
}

/* ---- what is told ---- */

struct server {
	struct talk talk;
	struct kv_serve *serve;
	uint32_t knocked;
};

static void turn(struct server *server)
{
	assert_int_equal(kv_serve_turn(server->serve, RB_WAIT), 0);
}

static int server_open(void **state)
{
	const struct rb_context_config config = {.backend = &script_backend, .connections_max = 1024};
	struct server *server = calloc(1, sizeof(*server));

	assert_non_null(server);
	script = (struct script){0};
	talk_open(&server->talk, NULL);
	assert_int_equal(kv_serve_create(&config, &server->talk.worker, &server->serve), 0);
	*state = server;
	return 0;
}

static int server_close(void **state)
{
	struct server *server = *state;

	kv_serve_destroy(server->serve);
	talk_close(&server->talk);
	free(server);
	return 0;
}

/* Connections with handles from 1 on; their cookies. The last turn has told nothing but that. */
static void knock(struct server *server, uint64_t *cookies, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		event(RB_EVENT_KNOCK, ++server->knocked, 0);
	turn(server);
	turn(server);
	uint32_t found = 0;
	for (uint32_t i = 0; i < script.noted_count; i++) {
		const struct rb_command *command = &script.noted[i].command;
		if (command->type == RB_COMMAND_ACCEPT)
			cookies[found++] = command->cookie;
	}
	assert_int_equal(found, count);
}

static uint64_t knock_one(struct server *server)
{
	uint64_t cookie;

	knock(server, &cookie, 1);
	return cookie;
}

static void assert_told_nothing(void)
{
	assert_int_equal(script.noted_count, 0);
}

static void assert_sends(uint32_t at, uint64_t handle, const char *text, size_t done)
{
	assert_in_range(at + 1, 1, script.noted_count);
	const struct noted *noted = &script.noted[at];
	assert_int_equal(noted->command.type, RB_COMMAND_SENDV);
	assert_int_equal(noted->command.handle, handle);
	assert_string_equal(noted->text, text);
	assert_int_equal(noted->command.sendv.done, done);
}

/* ---- tests ---- */

#define SET    "set a 0 0 1\r\n1\r\n"
#define GET    "get a\r\n"
#define STORED "STORED\r\n"
#define VALUE  "VALUE a 0 1\r\n1\r\nEND\r\n"
#define END    "END\r\n"

static void test_an_answer_gives_its_request_back(void **state)
{
	struct server *server = *state;
	const uint64_t cookie = knock_one(server);

	says(cookie, SET, 0);
	turn(server);
	says(cookie, GET GET, strlen(STORED));
	turn(server);
	assert_int_equal(script.noted_count, 1);
	assert_sends(0, 1, STORED, strlen(SET));
	assert_int_equal(script.wait, RB_WAIT);
	turn(server);
	assert_int_equal(script.noted_count, 1);
	assert_sends(0, 1, VALUE VALUE, strlen(GET GET));
	turn(server);
	assert_told_nothing();
}

/* More of one connection in a turn: the rest waits for the next, for a refusal names no SENDV but the last. */
static void test_one_answer_in_a_turn(void **state)
{
	struct server *server = *state;
	const uint64_t cookie = knock_one(server);

	says(cookie, SET, 0);
	says(cookie, "get a\r\nge", 0);
	says(cookie, "t b\r\n", 0);
	turn(server);
	turn(server);
	assert_int_equal(script.noted_count, 1);
	assert_sends(0, 1, STORED, strlen(SET));
	assert_int_equal(script.wait, RB_POLL);
	turn(server);
	assert_int_equal(script.noted_count, 1);
	assert_sends(0, 1, VALUE END, strlen("get a\r\nget b\r\n"));
	assert_int_equal(script.wait, RB_WAIT);
}

static void test_a_refused_answer_goes_again_before_the_next(void **state)
{
	struct server *server = *state;
	const uint64_t cookie = knock_one(server);

	says(cookie, SET, 0);
	turn(server);
	refuses(cookie);
	says(cookie, GET, 0);
	turn(server);
	assert_sends(0, 1, STORED, strlen(SET));
	turn(server);
	assert_int_equal(script.noted_count, 1);
	assert_sends(0, 1, STORED VALUE, strlen(SET GET));
	says(cookie, GET, strlen(STORED VALUE));
	turn(server);
	turn(server);
	assert_sends(0, 1, VALUE, strlen(GET));
}

/* A request in pieces is given back as it is used; what cannot be used yet is not lost. */
static void test_a_request_in_pieces(void **state)
{
	struct server *server = *state;
	const uint64_t cookie = knock_one(server);

	says(cookie, "set a 0 0 1\r\n", 0);
	turn(server);
	says(cookie, "1\r", 0);
	turn(server);
	assert_int_equal(script.noted_count, 1);
	assert_int_equal(script.noted[0].command.type, RB_COMMAND_RECV_DONE);
	assert_int_equal(script.noted[0].command.recv_done.bytes, strlen("set a 0 0 1\r\n"));
	says(cookie, "\n", 0);
	turn(server);
	says(cookie, "ge", strlen(STORED));
	turn(server);
	assert_sends(0, 1, STORED, 1);
	says(cookie, "t a\r\n", 0);
	turn(server);
	turn(server);
	assert_sends(0, 1, VALUE, strlen("t a\r\n"));
	says(cookie, GET, strlen(VALUE));
	turn(server);
	turn(server);
	assert_sends(0, 1, VALUE, strlen(GET));
}

/* What a client says before it ends its side is answered, and then the connection is closed. */
static void test_the_end_of_a_client(void **state)
{
	struct server *server = *state;
	uint64_t cookies[2];

	knock(server, cookies, 2);
	says(cookies[0], GET, 0)->flags = RB_RECV_FIN;
	says(cookies[1], GET "quit\r\n", 0);
	turn(server);
	turn(server);
	assert_int_equal(script.noted_count, 4);
	for (uint32_t i = 0; i < 2; i++) {
		assert_sends(2 * i, i + 1, END, i == 0 ? strlen(GET) : strlen(GET "quit\r\n"));
		assert_int_equal(script.noted[2 * i + 1].command.type, RB_COMMAND_CLOSE);
		assert_int_equal(script.noted[2 * i + 1].command.flags, RB_CLOSE_ORDERLY);
	}
}

/* More connections at once than a turn has commands for: each is answered once. */
static void test_many_connections_in_a_turn(void **state)
{
	enum { MANY = 400 };
	struct server *server = *state;
	uint64_t cookies[MANY];
	uint32_t answers[MANY + 1] = {0};

	for (uint32_t i = 0; i < MANY; i += MANY / 4)
		knock(server, &cookies[i], MANY / 4);
	for (uint32_t i = 0; i < MANY; i++)
		says(cookies[i], GET, 0);
	turn(server);
	do {
		turn(server);
		for (uint32_t i = 0; i < script.noted_count; i++) {
			const uint64_t handle = script.noted[i].command.handle;
			assert_sends(i, handle, END, strlen(GET));
			answers[handle]++;
		}
	} while (script.wait == RB_POLL);
	for (uint32_t i = 1; i <= MANY; i++)
		assert_int_equal(answers[i], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_answer_gives_its_request_back, server_open, server_close),
		cmocka_unit_test_setup_teardown(test_one_answer_in_a_turn, server_open, server_close),
		cmocka_unit_test_setup_teardown(test_a_refused_answer_goes_again_before_the_next, server_open,
						server_close),
		cmocka_unit_test_setup_teardown(test_a_request_in_pieces, server_open, server_close),
		cmocka_unit_test_setup_teardown(test_the_end_of_a_client, server_open, server_close),
		cmocka_unit_test_setup_teardown(test_many_connections_in_a_turn, server_open, server_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

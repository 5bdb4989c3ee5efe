// SPDX-License-Identifier: Apache-2.0
/*
 * The framing of spin, through the request layer, over a back-end that plays the input as what a peer sends.
 * The first byte is the size of the pieces the stream is cut into. Promises: however the stream is cut, the
 * same requests are served and the reply is the served bytes; a connection with a bad frame is reset.
 */
#include "fuzz/target.h"

#include <stdbool.h>
#include <string.h>

#include "apps/spin_protocol.h"
#include "base/assert.h"
#include "user/backend.h"
#include "user/request.h"

/* One connection; each run_io() delivers the next event of its life. */
struct player {
	const uint8_t *data;
	size_t size, offset, piece;
	enum { KNOCK, PLAY, FIN, WAIT_CLOSE, CLOSED } stage;
	bool reset;
	uint64_t replied; /* bytes */
	uint64_t unreported, unreturned;
};

enum { HANDLE = 1 };

static struct player player;

static int player_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	(void)config;
	(void)stats;
	*state = &player;
	return 0;
}

static void player_destroy(void *state)
{
	(void)state;
}

static void player_wake(void *state)
{
	(void)state;
}

static int player_listener(const struct rb_listen_config *config, void **listener)
{
	(void)config;
	*listener = &player;
	return 0;
}

static struct rb_address player_address(const void *listener)
{
	(void)listener;
	return (struct rb_address){0};
}

static uint64_t listen_cookie, stream_cookie;

static int player_listen(void *state, void *listener, uint64_t cookie)
{
	(void)state;
	(void)listener;
	listen_cookie = cookie;
	return 0;
}

static void give_back(uint64_t bytes)
{
	RB_ASSERT_LE(bytes, player.unreturned);
	player.unreturned -= bytes;
}

static void reply(const struct rb_command *command)
{
	give_back(command->sendv.done);
	for (uint32_t i = 0; i < command->sendv.count; i++) {
		const struct rb_sg *sg = &rb_sendv_pieces(command)[i];
		RB_ASSERT_LE(player.replied + sg->length, player.offset);
		RB_ASSERT(memcmp(sg->base, player.data + player.replied, sg->length) == 0);
		player.replied += sg->length;
		player.unreported += sg->length;
	}
}

static void take(const struct rb_command *command)
{
	switch (command->type) {
	case RB_COMMAND_ACCEPT:
		stream_cookie = command->cookie;
		player.stage = PLAY;
		break;
	case RB_COMMAND_SENDV:
		reply(command);
		break;
	case RB_COMMAND_CLOSE:
		player.stage = CLOSED;
		player.reset = command->flags == RB_CLOSE_ABORT;
		break;
	default:
		RB_ASSERT_EQ(command->type, RB_COMMAND_RECV_DONE);
		give_back(command->recv_done.bytes);
		break;
	}
}

static bool play(struct rb_event *event)
{
	*event = (struct rb_event){.handle = HANDLE, .cookie = stream_cookie};
	size_t length = player.size - player.offset;
	if (length > player.piece)
		length = player.piece;
	switch (player.stage) {
	case KNOCK:
		event->type = RB_EVENT_KNOCK;
		event->cookie = listen_cookie;
		return true;
	case PLAY:
	case FIN:
		event->type = RB_EVENT_RECV;
		event->recv.data = player.data + player.offset;
		event->recv.length = length;
		player.offset += length;
		player.unreturned += length;
		if (length == 0) {
			event->flags = RB_RECV_FIN;
			player.stage = WAIT_CLOSE;
		}
		return true;
	case CLOSED:
		event->type = RB_EVENT_CLOSED;
		event->status = player.reset ? -ECONNABORTED : 0;
		return true;
	default:
		return false;
	}
}

static int player_run_io(void *state, const struct rb_command *commands, uint32_t commands_count,
			 struct rb_event *events, uint32_t events_max, enum rb_wait wait)
{
	int count = 0;
	(void)state;
	(void)events_max;
	(void)wait;
	for (uint32_t i = 0; i < commands_count; i++)
		take(&commands[i]);
	if (player.unreported > 0) {
		events[count] = (struct rb_event){.type = RB_EVENT_SENT, .handle = HANDLE, .cookie = stream_cookie};
		events[count++].sent.bytes = player.unreported;
		player.unreported = 0;
	}
	count += play(&events[count]);
	return count;
}

static const char *const no_names[] = {NULL};

static const struct rb_backend player_backend = {
	.name = "player",
	.syscall_names = no_names,
	.context_create = player_create,
	.context_destroy = player_destroy,
	.run_io = player_run_io,
	.wake = player_wake,
	.listener_create = player_listener,
	.listener_destroy = player_destroy,
	.listener_address = player_address,
	.listen = player_listen,
};

static void echo(const uint8_t *request, size_t length, struct rb_reply *to, void *user)
{
	(void)user;
	rb_reply_write(to, request, length);
}

/* Whole, good requests at the front of the data; *bad tells whether what follows is none. */
static size_t count_requests(const uint8_t *data, size_t size, uint64_t *bytes, bool *bad)
{
	size_t count = 0;
	*bytes = 0;
	for (;;) {
		ssize_t length = size > *bytes ? rb_spin_frame(data + *bytes, size - *bytes) : 0;
		*bad = length < 0;
		if (length <= 0 || (size_t)length > size - *bytes)
			return count;
		*bytes += (uint64_t)length;
		count++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rb_service service = {.frame = rb_spin_frame,
						  .handle = echo,
						  .request_max = RB_SPIN_MESSAGE_MAX,
						  .reply_max = RB_SPIN_MESSAGE_MAX};
	const struct rb_service_config config = {.service = &service,
						 .context = {.backend = &player_backend, .connections_max = 1}};
	struct rb_server *server;
	struct rb_listener *listener;
	uint64_t bytes;
	bool bad;
	if (size == 0)
		return 0;
	player = (struct player){.data = data + 1, .size = size - 1, .piece = data[0] == 0 ? size : data[0]};
	size_t expected = count_requests(player.data, player.size, &bytes, &bad);
	RB_ASSERT_EQ(rb_server_create(&config, &server), 0);
	RB_ASSERT_EQ(rb_listener_create(&player_backend, &(struct rb_listen_config){0}, &listener), 0);
	RB_ASSERT_EQ(rb_server_listen(server, listener), 0);
	struct rb_loop *loop = rb_server_loop(server);
	do {
		RB_ASSERT_EQ(rb_loop_turn(loop, RB_POLL), 0);
	} while (rb_loop_streams(loop) > 0);
	RB_ASSERT_EQ(rb_server_stats(server)->requests, expected);
	RB_ASSERT_EQ(rb_server_stats(server)->refused, bad ? 1U : 0U);
	RB_ASSERT_EQ(player.reset, bad);
	if (!bad)
		RB_ASSERT_EQ(player.replied, bytes);
	rb_server_destroy(server);
	rb_listener_destroy(listener);
	return 0;
}

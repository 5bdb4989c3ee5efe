// SPDX-License-Identifier: Apache-2.0
/* A peer by hand against the library: the plain life of a connection, with sequence numbers that wrap. */
#include "tests/net/fixture.h"

#include <errno.h>
#include <string.h>

#include "tests/net/peer.h"

static struct peer peer;

/* An application that answers each byte with the same one, and a FIN with a FIN. */
struct echo {
	rb_net_handle listener, handle;
	uint8_t bytes[1 << 16];
	uint32_t received;
	bool fin, closed;
	int status;
};

static struct echo echo;

static void echo_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct echo *e = context;
	(void)host;
	if ((event->bits & RB_NET_KNOCK) != 0) {
		e->handle = event->handle;
		assert_int_equal(rb_net_accept(net, event->handle, 1), 0);
		return;
	}
	if ((event->bits & RB_NET_RECEIVED) != 0) {
		const struct rb_net_piece piece = {e->bytes + e->received, event->length};
		assert_true(e->received + event->length <= sizeof(e->bytes));
		memcpy(e->bytes + e->received, event->data, event->length);
		e->received += event->length;
		assert_int_equal(rb_net_send(net, event->handle, &piece, 1), 0);
		assert_int_equal(rb_net_received(net, event->handle, event->length), 0);
	}
	if ((event->bits & RB_NET_FIN) != 0) {
		e->fin = true;
		assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_WRITE), 0);
	}
	if ((event->bits & RB_NET_CLOSED) != 0) {
		e->closed = true;
		e->status = event->status;
	}
}

static int open_echo(void **state)
{
	const bool ip6 = *state != NULL;
	struct host_config config;
	host_config_default(&config, 0);
	config.app = (struct host_app){.event = echo_event, .context = &echo};
	echo = (struct echo){0};
	peer_open(&peer, ip6, &config);
	peer.iss = UINT32_MAX - 2; /* wraps in the first data */
	const struct rb_endpoint local = {.port = 80};
	assert_int_equal(rb_net_listen(peer.host.net[0], &local, 0, &echo.listener), 0);
	return 0;
}

static int close_echo(void **state)
{
	(void)state;
	assert_int_equal(rb_net_close(peer.host.net[0], echo.listener, RB_NET_CLOSE_BOTH), 0);
	host_wake(&peer.host);
	peer_run(&peer, 1000 * LINK_NS_PER_S);
	peer_close(&peer);
	return 0;
}

static void test_life(void **state)
{
	(void)state;
	peer_send(&peer, "S 0:0(0) win 5000 <mss 1000>");
	peer_expect(&peer, "S. 0:0(0) ack 1 <mss *>");
	peer_send(&peer, ". ack 1");
	peer_send(&peer, "P. 1:11(10)");
	peer_expect(&peer, "P. 1:11(10) ack 11");
	peer_check_payload(&peer, peer.seed);
	peer_send(&peer, "F. 11:11(0) ack 11");
	peer_expect(&peer, "F. 11:11(0) ack 12");
	peer_send(&peer, ". 12:12(0) ack 12");
	peer_expect_nothing(&peer, 10 * LINK_NS_PER_S);
	assert_true(echo.fin && echo.closed && echo.status == 0);
}

static void test_reset(void **state)
{
	(void)state;
	peer_handshake(&peer, "mss 1460");
	peer_send(&peer, "R 1:1(0)");
	peer_expect_nothing(&peer, LINK_NS_PER_S);
	assert_true(echo.closed && echo.status == -ECONNRESET);
}

/* RFC 9293 3.10.7.1: what is for nobody is reset, with numbers that its sender believes. */
static void test_nobody(void **state)
{
	(void)state;
	peer.host_port = 81;
	peer.absolute = true;
	peer_send(&peer, "S 4294967295:4294967295(0)");
	peer_expect(&peer, "R. 0:0(0) ack 0");
	peer_send(&peer, ". 5:5(0) ack 77");
	peer_expect(&peer, "R 77:77(0)");
	peer_send(&peer, "R. 5:5(0) ack 77");
	peer_expect_nothing(&peer, LINK_NS_PER_S);
}

int main(void)
{
	static bool ip6 = true;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, open_echo, close_echo),
		cmocka_unit_test_setup_teardown(test_reset, open_echo, close_echo),
		cmocka_unit_test_setup_teardown(test_nobody, open_echo, close_echo),
		{"test_life over IPv6", test_life, open_echo, close_echo, &ip6},
		{"test_nobody over IPv6", test_nobody, open_echo, close_echo, &ip6},
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

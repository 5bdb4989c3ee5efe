// SPDX-License-Identifier: Apache-2.0
#include "tests/net/app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/tcp_parts.h"

struct app app;

enum { SEED = 1, PATIENCE_S = 4000, ISS_NS = 4000 /* of the clock of initial sequence numbers (RFC 6528 3) */ };

static void on_received(struct app *a, struct rb_net *net, const struct rb_net_event *event)
{
	size_t at;
	if (!fixture_check(event->data, event->length, a->peer.seed, a->received, &at))
		fail_msg("the application got a wrong byte at %zu", a->received + at);
	a->received += event->length;
	a->received_events++;
	if (a->answer > 0) {
		const struct rb_net_piece piece = {a->bytes + a->answered, a->answer};
		assert_int_equal(rb_net_reply(net, event->handle, event->length, &piece, 1), 0);
		a->answered += a->answer;
		if (a->shuts)
			assert_int_equal(rb_net_close(net, event->handle, RB_NET_CLOSE_BOTH), 0);
	} else if (a->keeps) {
		a->unread += event->length;
	} else {
		assert_int_equal(rb_net_received(net, event->handle, event->length), 0);
	}
}

static void on_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	struct app *a = context;
	(void)host;
	if ((event->bits & RB_NET_KNOCK) != 0) {
		a->knocks++;
		a->handle = a->handles[a->handles_count++ % APP_CONNECTIONS] = event->handle;
		if (!a->hesitates)
			assert_int_equal(rb_net_accept(net, event->handle, 1), 0);
	}
	if ((event->bits & RB_NET_CONNECTED) != 0) {
		a->connected++;
		a->status = event->status;
	}
	if ((event->bits & RB_NET_SENT) != 0)
		a->sent += event->sent;
	if ((event->bits & RB_NET_RECEIVED) != 0)
		on_received(a, net, event);
	if ((event->bits & RB_NET_FIN) != 0)
		a->fin = true;
	if ((event->bits & RB_NET_WRITABLE) != 0)
		a->writable++;
	if ((event->bits & RB_NET_CLOSED) != 0) {
		a->closed++;
		a->status = event->status;
	}
}

void app_config(struct app *a)
{
	memset(a, 0, sizeof(*a));
	host_config_default(&a->config, 0);
	a->config.net.ecn = false; /* its flags would be in all texts */
	/* what such a device has checked may go the short way in (net/input.c), and what it fills in the short way out */
	a->config.checksums = getenv("NET_CHECKSUMS") != NULL;
	if (a->config.checksums) {
		a->config.net.checksum_offload = RB_NET_CHECKSUM_IP4_FILL | RB_NET_CHECKSUM_TCP_FILL;
		a->config.net.answer_max = 256;
	}
	a->config.app = (struct host_app){.event = on_event, .context = a};
}

/* Commands count time from the last turn: this is one. */
static struct rb_net *turn(struct app *a)
{
	rb_net_advance(app_net(a), a->peer.timeline.now_ns);
	return app_net(a);
}

void app_wait_iss(struct app *a)
{
	const uint64_t iss = fixture_number("NET_ISS", UINT64_MAX);
	const struct rb_endpoint local = peer_host_endpoint(&a->peer), remote = peer_endpoint(&a->peer);
	const bool ip6 = a->peer.ip6;
	if (iss > UINT32_MAX)
		return;
	const struct tcp_path path = {
		.addresses = ip6 ? 0 : tcp_addresses(ip_to4(&local.ip), ip_to4(&remote.ip)),
		.ports = tcp_ports(local.port, remote.port),
		.local6 = ip6 ? &local.ip : NULL,
		.remote6 = ip6 ? &remote.ip : NULL,
	};
	(void)turn(a);
	const uint32_t now = tcp_beginning(app_net(a), &path).iss;
	peer_run(&a->peer, (uint64_t)((uint32_t)iss - now) * ISS_NS);
	(void)turn(a);
	assert_int_equal(tcp_beginning(app_net(a), &path).iss, iss);
}

void app_open(struct app *a, bool ip6)
{
	const struct rb_endpoint local = {.port = 80};
	fixture_fill(a->bytes, sizeof(a->bytes), SEED, 0);
	peer_open(&a->peer, ip6, &a->config);
	a->peer.iss = UINT32_MAX - 2; /* wraps in the first data */
	assert_int_equal(rb_net_listen(app_net(a), &local, 0, &a->listener), 0);
	app_wait_iss(a);
}

/* What the test has left open ends with a reset. */
static void abort_all(struct app *a)
{
	for (unsigned i = 0; i < APP_CONNECTIONS; i++)
		(void)rb_net_close(app_net(a), a->handles[i], RB_NET_CLOSE_ABORT);
	(void)rb_net_close(app_net(a), a->handle, RB_NET_CLOSE_ABORT);
}

void app_close(struct app *a)
{
	if (!a->peer.failed) {
		peer_expect_nothing(&a->peer, 0);
		if (a->listener != 0)
			assert_int_equal(rb_net_close(app_net(a), a->listener, RB_NET_CLOSE_BOTH), 0);
		abort_all(a);
		host_wake(&a->peer.host);
		peer_run(&a->peer, PATIENCE_S * LINK_NS_PER_S);
		peer_forget(&a->peer);
		assert_true(rb_net_is_quiet(app_net(a)));
	}
	peer_close(&a->peer);
}

int app_setup(void **state)
{
	app_config(&app);
	app_open(&app, *state != NULL);
	return 0;
}

int app_teardown(void **state)
{
	(void)state;
	app_close(&app);
	return 0;
}

void app_again(struct app *a, const struct host_config *config)
{
	const struct rb_net_config *net = config != NULL ? &config->net : NULL;
	struct rb_net_config kept;
	const bool ip6 = a->peer.ip6;
	if (net != NULL)
		kept = *net;
	app_close(a);
	app_config(a);
	if (net != NULL)
		a->config.net = kept;
	app_open(a, ip6);
}

struct rb_net *app_net(struct app *a)
{
	return a->peer.host.net[0];
}

const struct rb_net_counters *app_counters(struct app *a)
{
	return rb_net_counters(app_net(a));
}

struct rb_net_usage app_usage(struct app *a)
{
	struct rb_net_usage usage;
	rb_net_usage(app_net(a), &usage);
	return usage;
}

struct rb_net_info app_info(struct app *a)
{
	struct rb_net_info info = {0};
	assert_int_equal(rb_net_info(app_net(a), a->handle, &info), 0);
	return info;
}

unsigned app_state(struct app *a)
{
	struct rb_net_info info;
	if (rb_net_info(app_net(a), a->handle, &info) == 0)
		return info.state;
	return app_usage(a).connections > 0 ? TCP_TIME_WAIT : TCP_CLOSED;
}

void app_settle(struct app *a)
{
	host_wake(&a->peer.host);
	peer_run(&a->peer, 0);
}

int app_send(struct app *a, uint32_t length)
{
	struct rb_net_info info;
	int status = rb_net_info(app_net(a), a->handle, &info);
	if (status != 0)
		return status;
	const uint32_t at = info.snd_una - info.iss - 1 + info.queued;
	assert_in_range(at + length, 0, APP_BYTES);
	const struct rb_net_piece piece = {a->bytes + at, length};
	status = rb_net_send(turn(a), a->handle, &piece, 1);
	app_settle(a);
	return status;
}

void app_read(struct app *a, uint32_t length)
{
	assert_int_equal(rb_net_received(turn(a), a->handle, length), 0);
	a->unread -= length;
	app_settle(a);
}

void app_shut(struct app *a, enum rb_net_close how)
{
	assert_int_equal(rb_net_close(turn(a), a->handle, how), 0);
	app_settle(a);
}

void app_set(struct app *a, enum rb_net_option option, uint64_t value)
{
	assert_int_equal(rb_net_set(turn(a), a->handle, option, value), 0);
	app_settle(a);
}

int app_connect(struct app *a, uint16_t local_port)
{
	const struct rb_endpoint local = {.port = local_port}, remote = peer_endpoint(&a->peer);
	const int status = rb_net_connect(turn(a), &local, &remote, 1, &a->handle);
	if (status == 0) {
		const struct rb_net_info info = app_info(a);
		a->handles[a->handles_count++ % APP_CONNECTIONS] = a->handle;
		a->peer.host_port = info.local.port;
	}
	app_settle(a);
	return status;
}

void app_established(struct app *a, const char *options)
{
	const unsigned knocks = a->knocks;
	peer_handshake(&a->peer, options);
	app_settle(a);
	assert_int_equal(a->knocks, knocks + 1);
}

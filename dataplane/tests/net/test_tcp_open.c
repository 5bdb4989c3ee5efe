// SPDX-License-Identifier: Apache-2.0
/*
 * How connections begin: both sides, both at once, lost SYNs, what is offered, initial sequence numbers (RFC 6528),
 * ports (RFC 6056), the backlog, listeners, and errors meanwhile (RFC 5461).
 */
#include <errno.h>
#include <stdlib.h>

#include "net/defs.h"
#include "net/tcb.h"
#include "tests/net/app.h"

enum { SYN_RETRIES = 8 };

/* Forgets the connection of the peer, and speaks from another port. */
static void next_port(uint32_t iss)
{
	app.peer.port++;
	app.peer.iss = iss;
	app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	app.peer.irs_known = false;
}

static void test_options(void **state)
{
	(void)state;
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "S 0:0(0) win 65535 <mss 1460,sackOK,TS val * ecr 0,wscale 3>");
	const uint32_t ts_val = app.peer.ts_recent;
	peer_send(&app.peer, "S. 0:0(0) win 500 <mss 1200,sackOK,TS val 9 ecr %u,wscale 2>", ts_val);
	peer_expect(&app.peer, ". 1:1(0) ack 1 <TS val * ecr 9>");
	const struct rb_net_info info = app_info(&app);
	assert_int_equal(info.mss, 1200 - 12);
	assert_int_equal(info.snd_wnd, 500);
	assert_true(info.sack && info.timestamps && info.window_scaling);
	assert_int_equal(app.connected, 1);
	assert_int_equal(app.status, 0);
}

/* The answer has what was offered, and nothing else. */
static void test_options_answered(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1200>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 win 65535 <mss 1460>");
	next_port(5);
	peer_send(&app.peer, "S 0:0(0) <mss 1200,sackOK>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>");
	next_port(5);
	peer_send(&app.peer, "S 0:0(0) <mss 1200,TS val 5 ecr 0,wscale 0>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 win 65535 <mss 1460,TS val * ecr 5,wscale 3>");
}

/* However the options of a SYN are laid out, the same is agreed: for some layouts there is a shorter way. */
static void test_options_layouts(void **state)
{
	static const struct {
		const char *options;
		bool sack;
	} layouts[] = {
		{"hex 020405780402080a000000050000000001030302", true}, /* all in five words */
		{"hex 0101080a00000005000000000204057801010402"
		 "01030302",
		 true}, /* ours */
		{"hex 0101080a000000050000000002040578"
		 "01030302",
		 false},						    /* without SACK-permitted */
		{"hex 020405780103030204020101080a0000000500000000", true}, /* scale before the timestamps */
		{"hex 02040578080a00000005000000000303020402"
		 "000000",
		 true}, /* at no word's beginning */
		{"hex 01010402"
		 "0101080a0000000500000000"
		 "02040578"
		 "01030302",
		 true}, /* five words, another order */
	};
	(void)state;
	app.peer.timestamps = true;
	for (unsigned i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++, next_port(i)) {
		peer_send(&app.peer, "S 0:0(0) win 1000 <%s>", layouts[i].options);
		peer_expect(&app.peer, layouts[i].sack
					       ? "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val * ecr 5,wscale 3>"
					       : "S. 0:0(0) ack 1 win 65535 <mss 1460,TS val * ecr 5,wscale 3>");
		app.peer.ts_val = 6;
		peer_send(&app.peer, ". ack 1 win 1000");
		assert_int_equal(app.knocks, i + 1);
		const struct rb_net_info info = app_info(&app);
		assert_int_equal(info.mss, 1400 - 12);
		assert_int_equal(info.sack, layouts[i].sack);
		assert_int_equal(info.snd_wscale, 2);
		assert_int_equal(info.snd_wnd, 4000);
		assert_int_equal(info.rcv_nxt - info.irs, 1);
		assert_int_equal(info.srtt_us > 0, true);
	}
	/* RFC 7323 2.3: a scale of more than 14 is one of 14; an MSS of less than 64 is one of 64 */
	peer_send(&app.peer, "S 0:0(0) win 1000 <hex 020400080402080a00000005000000000103030f>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val * ecr 5,wscale 3>");
	peer_send(&app.peer, ". ack 1 win 1");
	assert_int_equal(app_info(&app).mss, 64 - 12);
	assert_int_equal(app_info(&app).snd_wnd, 1 << 14);
}

/* RFC 9293 3.7.1: no option is 536 or 1220; what we may send is no more than what we would offer, nor less than 64. */
static void test_mss(void **state)
{
	const bool ip6 = *state != NULL;
	const struct {
		const char *options;
		uint16_t mss;
	} rows[] = {
		{"", ip6 ? 1220 : 536}, {"mss 1000", 1000},	     {"mss 9000", ip6 ? 1440 : 1460},
		{"mss 1", 64},		{"mss 0", ip6 ? 1220 : 536}, {"TS val 1 ecr 0,mss 1000", 988},
	};
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		next_port(i);
		app.peer.timestamps = false;
		peer_send(&app.peer, "S 0:0(0) <%s>", rows[i].options);
		peer_expect(&app.peer, "S. 0:0(0) ack 1");
		app.peer.timestamps = i == 5;
		app.peer.ts_val = 1;
		peer_send(&app.peer, ". ack 1");
		assert_int_equal(app_info(&app).mss, rows[i].mss);
		/* and so it is sent */
		assert_int_equal(app_send(&app, 10000), 0);
		peer_expect(&app.peer, ". 1:%u(%u) ack 1", 1U + rows[i].mss, rows[i].mss);
		peer_send(&app.peer, "R 1:1(0)");
		peer_forget(&app.peer);
	}
}

/* RFC 9293 3.5, figure 7: both sides send SYNs, neither listens. */
static void test_simultaneous_open(void **state)
{
	(void)state;
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "S 0:0(0)");
	peer_send(&app.peer, "S 0:0(0) <mss 1000,sackOK>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1 <mss 1460,sackOK>");
	assert_int_equal(app_state(&app), TCP_SYN_RECEIVED);
	peer_send(&app.peer, "S. 0:0(0) ack 1 <mss 1000,sackOK>");
	assert_int_equal(app_state(&app), TCP_ESTABLISHED);
	assert_int_equal(app.connected, 1);
	assert_int_equal(app_send(&app, 10), 0);
	peer_expect(&app.peer, "P. 1:11(10) ack 1");
	peer_send(&app.peer, "P. 1:11(10) ack 11");
	peer_expect(&app.peer, ". 11:11(0) ack 11");
	/* with a plain ACK, too, and with our SYN-ACK lost */
	next_port(7);
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "S 0:0(0)");
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_send(&app.peer, ". 1:1(0) ack 1");
	assert_int_equal(app_state(&app), TCP_ESTABLISHED);
}

/*
 * A SYN that gets no answer is repeated, each time after twice as long but at most RTO.max, for at least three minutes
 * (RFC 9293 3.8.3, MUST-23); then the connection fails.
 */
static void test_syn_retries(void **state)
{
	(void)state;
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "S 0:0(0)");
	uint64_t interval_ns = LINK_NS_PER_S, sum_ns = 0;
	for (unsigned i = 0; i < SYN_RETRIES; i++) {
		peer_expect_between(&app.peer, interval_ns, interval_ns + LINK_NS_PER_MS, "S 0:0(0)");
		sum_ns += interval_ns;
		interval_ns = interval_ns < 32 * LINK_NS_PER_S ? 2 * interval_ns : 60 * LINK_NS_PER_S;
	}
	assert_true(sum_ns >= 180 * LINK_NS_PER_S);
	assert_int_equal(app.connected, 0);
	peer_expect_nothing(&app.peer, interval_ns + LINK_NS_PER_MS);
	assert_int_equal(app.connected, 1);
	assert_int_equal(app.status, -ETIMEDOUT);
	assert_int_equal(app_usage(&app).connections, 0);
}

/* The same for a SYN-ACK; nobody is told. */
static void test_syn_ack_retries(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	app.peer.patience_ns = 61 * LINK_NS_PER_S;
	for (unsigned i = 0; i <= SYN_RETRIES; i++)
		peer_expect(&app.peer, "S. 0:0(0) ack 1 <mss 1460>");
	peer_expect_nothing(&app.peer, 300 * LINK_NS_PER_S);
	assert_int_equal(app.knocks, 0);
	assert_int_equal(app_usage(&app).connections, 0);
}

static void test_refused(void **state)
{
	(void)state;
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "S 0:0(0)");
	peer_send(&app.peer, "R. 0:0(0) ack 1");
	assert_int_equal(app.connected, 1);
	assert_int_equal(app.status, -ECONNREFUSED);
	assert_int_equal(app_usage(&app).connections, 0);
}

/* RFC 5461: a connection being opened ends by a hard error, and remembers a soft one. */
static void test_icmp(void **state)
{
	const struct segment_icmp port = {.type = 3, .code = 3}, host = {.type = 3, .code = 1};
	(void)state;
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "S 0:0(0)");
	peer_send_icmp(&app.peer, &port, 1); /* not of our SYN */
	assert_int_equal(app.connected, 0);
	peer_send_icmp(&app.peer, &port, 0);
	assert_int_equal(app.connected, 1);
	assert_int_equal(app.status, -ECONNREFUSED);
	next_port(3);
	assert_int_equal(app_connect(&app, 0), 0);
	peer_expect(&app.peer, "S 0:0(0)");
	peer_send_icmp(&app.peer, &host, 0);
	peer_run(&app.peer, 10 * LINK_NS_PER_S);
	assert_int_equal(app.connected, 1);
	peer_run(&app.peer, 300 * LINK_NS_PER_S);
	peer_forget(&app.peer);
	assert_int_equal(app.connected, 2);
	assert_int_equal(app.status, -EHOSTUNREACH);
}

/* RFC 1191 6.5: too big is not lost by congestion; the data go again in smaller segments, at once. */
static void test_path_mtu(void **state)
{
	const struct segment_icmp too_big = {.type = 3, .code = 4, .rest = 1000};
	const struct segment_icmp absurd = {.type = 3, .code = 4, .rest = 68};
	(void)state;
	app_established(&app, "mss 1460");
	assert_int_equal(app_send(&app, 2000), 0);
	peer_expect(&app.peer, ". 1:1461(1460) ack 1");
	peer_forget(&app.peer);
	const uint32_t cwnd = app_info(&app).cwnd;
	peer_send_icmp(&app.peer, &too_big, 1);
	peer_expect_between(&app.peer, 0, 0, ". 1:961(960) ack 1");
	peer_expect_between(&app.peer, 0, 0, ". 961:*(*) ack 1");
	assert_int_equal(app_info(&app).cwnd, cwnd);
	assert_int_equal(app_info(&app).mss, 960);
	/* RFC 5927 7: less than any link has is not believed */
	peer_send_icmp(&app.peer, &absurd, 1);
	assert_int_equal(app_info(&app).mss, 576 - 40);
	peer_forget(&app.peer);
	peer_send(&app.peer, ". ack 2001");
	peer_forget(&app.peer);
}

/*
 * Numbers and ports.
 */

static uint32_t iss_of_new(void)
{
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_send(&app.peer, "R 1:1(0)");
	app.peer.snd_nxt = app.peer.rcv_nxt = 0;
	return app.peer.irs;
}

/* RFC 6528 3: the same 4-tuple's numbers grow by the clock of 4 us. */
static void test_iss_grows(void **state)
{
	(void)state;
	uint32_t before = iss_of_new();
	for (unsigned i = 0; i < 100; i++) {
		peer_run(&app.peer, LINK_NS_PER_MS);
		const uint32_t iss = iss_of_new();
		assert_int_equal(iss - before, 250);
		before = iss;
	}
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* Those of other 4-tuples are anywhere: differences tell nothing. */
static void test_iss_differs(void **state)
{
	enum { COUNT = 64 };
	uint32_t iss[COUNT];
	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		next_port(1000);
		iss[i] = iss_of_new();
	}
	qsort(iss, COUNT, sizeof(iss[0]), compare);
	/* by chance two of 64 are nearer than 1000 once in a thousand draws, and half of them in a quarter never */
	for (unsigned i = 1; i < COUNT; i++)
		assert_true(iss[i] - iss[i - 1] > 100);
	assert_true(iss[COUNT / 2] - iss[0] > UINT32_MAX / 8);
}

/* RFC 6056: to one peer ports follow each other, with a start that depends on the peer; those in use are left out. */
static void test_ports(void **state)
{
	uint16_t ports[8];
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(app_connect(&app, 0), 0);
		peer_forget(&app.peer);
		ports[i] = app_info(&app).local.port;
		assert_in_range(ports[i], 32768, 65535);
		if (i > 0)
			assert_int_not_equal(ports[i], ports[i - 1]);
	}
	/* another peer port: another start */
	next_port(1);
	assert_int_equal(app_connect(&app, 0), 0);
	assert_int_not_equal(app_info(&app).local.port, ports[7] + 1);
	peer_forget(&app.peer);
}

static bool is_own(void *context, const struct rb_endpoint *local, const struct rb_endpoint *remote)
{
	(void)context;
	return ((uint32_t)local->port ^ remote->port) % 4 == 1;
}

/* One of several instances opens connections only where it gets the answers. */
static void test_ports_of_an_instance(void **state)
{
	static struct rb_net_ops ops;
	const struct rb_net_ops *usual = app_net(&app)->ops;
	uint16_t last = 0;
	(void)state;
	ops = *usual;
	ops.is_own = is_own;
	app_net(&app)->ops = &ops;
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(app_connect(&app, 0), 0);
		const uint16_t port = app_info(&app).local.port;
		assert_int_equal((port ^ app.peer.port) % 4, 1);
		assert_int_not_equal(port, last);
		last = port;
		peer_forget(&app.peer);
	}
	for (uint16_t port = 40000; port < 40004; port++) {
		const bool gets = (port ^ app.peer.port) % 4 == 1;
		assert_int_equal(app_connect(&app, port), gets ? 0 : -EADDRNOTAVAIL);
	}
	peer_forget(&app.peer);
	app_net(&app)->ops = usual;
}

static void test_port_in_use(void **state)
{
	(void)state;
	assert_int_equal(app_connect(&app, 40001), 0);
	assert_int_equal(app_connect(&app, 40001), -EADDRINUSE);
	peer_forget(&app.peer);
	next_port(1);
	assert_int_equal(app_connect(&app, 40001), 0);
	peer_forget(&app.peer);
}

/*
 * Listeners.
 */

static void test_listeners(void **state)
{
	struct rb_endpoint any = {.port = 80}, own = peer_host_endpoint(&app.peer), other = peer_endpoint(&app.peer);
	rb_net_handle handle, second;
	(void)state;
	assert_int_equal(rb_net_listen(app_net(&app), &any, 0, &handle), -EADDRINUSE);
	other.port = 81;
	assert_int_equal(rb_net_listen(app_net(&app), &other, 0, &handle), -EADDRNOTAVAIL);
	/* the one at our address goes before the one at all */
	own.port = 80;
	assert_int_equal(rb_net_listen(app_net(&app), &own, 0, &handle), 0);
	assert_int_equal(rb_net_listen(app_net(&app), &own, 0, &second), -EADDRINUSE);
	assert_int_equal(rb_net_close(app_net(&app), app.listener, RB_NET_CLOSE_BOTH), 0);
	assert_int_equal(rb_net_close(app_net(&app), app.listener, RB_NET_CLOSE_BOTH), -EBADF);
	app_established(&app, "mss 1000");
	app.listener = handle;
}

static void test_listeners_full(void **state)
{
	struct rb_endpoint any = {.port = 81};
	rb_net_handle handles[8];
	(void)state;
	/* of 8, one is there already */
	for (unsigned i = 0; i < 7; i++, any.port++)
		assert_int_equal(rb_net_listen(app_net(&app), &any, 0, &handles[i]), 0);
	assert_int_equal(rb_net_listen(app_net(&app), &any, 0, &handles[7]), -ENOBUFS);
	assert_int_equal(rb_net_close(app_net(&app), handles[3], RB_NET_CLOSE_BOTH), 0);
	assert_int_equal(rb_net_listen(app_net(&app), &any, 0, &handles[3]), 0);
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(rb_net_close(app_net(&app), handles[i], RB_NET_CLOSE_BOTH), 0);
}

/* Closing a listener resets who is in the handshake and who was not accepted; the accepted ones stay. */
static void test_listener_close(void **state)
{
	(void)state;
	app_established(&app, "mss 1000");
	const rb_net_handle accepted = app.handle;
	next_port(1);
	app.hesitates = true;
	app_established(&app, "mss 1000");
	next_port(1);
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	assert_int_equal(app_usage(&app).connections, 3);
	assert_int_equal(rb_net_close(app_net(&app), app.listener, RB_NET_CLOSE_BOTH), 0);
	app.listener = 0;
	app_settle(&app);
	peer_expect(&app.peer, "R. 1:1(0) ack 1");
	peer_forget(&app.peer);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.status, -ECONNABORTED);
	assert_int_equal(app_usage(&app).connections, 1);
	app.handle = accepted;
	assert_int_equal(app_state(&app), TCP_ESTABLISHED);
}

/* Who is gone before the application could hear of it has never been there. */
static void test_gone_before_told(void **state)
{
	(void)state;
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	app.peer.host.config.period_ns = LINK_NS_PER_MS; /* a turn takes what has come meanwhile */
	peer_send(&app.peer, ". ack 1");
	peer_send(&app.peer, "R 1:1(0)");
	peer_expect_nothing(&app.peer, LINK_NS_PER_S);
	assert_int_equal(app_counters(&app)->tcp_resets_in, 1);
	assert_int_equal(app.knocks, 0);
	assert_int_equal(app.closed, 0);
	assert_int_equal(app_usage(&app).connections, 0);
}

static struct host_app closes_listener;

static void listener_close_event(struct host *host, struct rb_net *net, const struct rb_net_event *event, void *context)
{
	closes_listener.event(host, net, event, context);
	if (event->bits & RB_NET_KNOCK)
		assert_int_equal(rb_net_close(net, app.listener, RB_NET_CLOSE_BOTH), 0);
}

/* Two connect in one burst, and with the first one the listener closes: of the other nobody is told. */
static void test_listener_close_before_told(void **state)
{
	(void)state;
	closes_listener = app.peer.host.config.app;
	app.peer.host.config.app.event = listener_close_event;
	app.peer.host.config.events = 1;
	next_port(0);
	const uint16_t port = app.peer.port;
	uint32_t irs[2];
	for (unsigned i = 0; i < 2; i++, next_port(0)) {
		peer_send(&app.peer, "S 0:0(0) <mss 1000>");
		peer_expect(&app.peer, "S. 0:0(0) ack 1");
		irs[i] = app.peer.irs;
	}
	app.peer.host.config.period_ns = LINK_NS_PER_MS;
	app.peer.irs_known = true;
	for (unsigned i = 0; i < 2; i++) {
		app.peer.port = (uint16_t)(port + i);
		app.peer.irs = irs[i];
		peer_send(&app.peer, ". 1:1(0) ack 1");
	}
	peer_run(&app.peer, LINK_NS_PER_S);
	app.listener = 0;
	assert_int_equal(app.knocks, 1);
	assert_int_equal(app.closed, 0);
	assert_int_equal(app_usage(&app).connections, 1);
	peer_forget(&app.peer);
}

/* What comes before the connection is accepted waits; what is rejected is reset. */
static void test_accept_and_reject(void **state)
{
	(void)state;
	app.hesitates = true;
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:11(10)");
	peer_expect(&app.peer, ". 1:1(0) ack 11");
	assert_int_equal(app.received, 0);
	assert_int_equal(app_send(&app, 1), -EBADF);
	assert_int_equal(rb_net_accept(app_net(&app), app.handle, 1), 0);
	assert_int_equal(rb_net_accept(app_net(&app), app.handle, 1), -EBADF);
	assert_int_equal(rb_net_reject(app_net(&app), app.handle), -EBADF);
	app_settle(&app);
	assert_int_equal(app.received, 10);
	next_port(1);
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "P. 1:11(10)");
	assert_int_equal(rb_net_reject(app_net(&app), app.handle), 0);
	app_settle(&app);
	peer_expect(&app.peer, "R. 1:1(0) ack 11");
	assert_int_equal(app.closed, 0);
	assert_int_equal(app_usage(&app).connections, 1);
	assert_int_equal(app_usage(&app).receive_parts, 0);
	/* the peer gives up before it is accepted */
	next_port(1);
	app_established(&app, "mss 1000");
	peer_send(&app.peer, "R 1:1(0)");
	assert_int_equal(app.closed, 1);
	assert_int_equal(rb_net_accept(app_net(&app), app.handle, 1), -EBADF);
}

/* Without cookies a full backlog drops SYNs; those that were there before get through. */
static void test_backlog(void **state)
{
	(void)state;
	app.config.net.backlog = 2;
	app.config.net.cookies = false;
	app_again(&app, &app.config);
	for (unsigned i = 0; i < 2; i++) {
		peer_send(&app.peer, "S 0:0(0) <mss 1000>");
		peer_expect(&app.peer, "S. 0:0(0) ack 1");
		next_port(i);
	}
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect_nothing(&app.peer, LINK_NS_PER_MS);
	assert_int_equal(app_counters(&app)->tcp_syns_dropped, 1);
	/* one of them is done: there is room */
	app.peer.port--;
	app.peer.iss = 0;
	peer_send(&app.peer, "R 1:1(0)");
	next_port(9);
	peer_send(&app.peer, "S 0:0(0) <mss 1000>");
	peer_expect(&app.peer, "S. ack 1");
}

int main(void)
{
	static bool ip6 = true;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_options, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_options_answered, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_options_layouts, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_mss, app_setup, app_teardown),
		{"test_mss over IPv6", test_mss, app_setup, app_teardown, &ip6},
		cmocka_unit_test_setup_teardown(test_simultaneous_open, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_syn_retries, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_syn_ack_retries, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_refused, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_icmp, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_path_mtu, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_iss_grows, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_iss_differs, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_ports, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_ports_of_an_instance, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_port_in_use, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_listeners, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_listeners_full, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_listener_close, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_gone_before_told, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_listener_close_before_told, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_accept_and_reject, app_setup, app_teardown),
		cmocka_unit_test_setup_teardown(test_backlog, app_setup, app_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

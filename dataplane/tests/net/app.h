// SPDX-License-Identifier: Apache-2.0
/*
 * A test with one host, a peer by hand (peer.h), and an application that notes what it is told. Commands wake the host,
 * so that what they cause is sent before they return.
 */
#pragma once

#include "tests/net/peer.h"

enum { APP_CONNECTIONS = 256, APP_BYTES = 1 << 18 };

struct app {
	struct host_config config;
	struct peer peer;
	rb_net_handle listener;
	/* how it behaves */
	bool hesitates;	 /* does not accept by itself */
	bool keeps;	 /* does not give back what it has received */
	uint32_t answer; /* bytes with which it answers each event with data (rb_net_reply()); 0: it does not */
	bool shuts;	 /* closes both ways after an answer */
	/* what it was told: of all connections, but for the handles */
	rb_net_handle handle;			/* the latest one */
	rb_net_handle handles[APP_CONNECTIONS]; /* the latest ones, in a ring */
	unsigned handles_count;
	unsigned knocks;
	unsigned connected, closed;
	int status; /* of the last CONNECTED or CLOSED */
	uint64_t sent;
	uint32_t answered; /* bytes queued as answers */
	uint32_t received; /* bytes, which were checked: the stream of peer.seed */
	uint32_t unread;   /* of them not given back */
	bool fin;
	unsigned writable, received_events;
	uint8_t bytes[APP_BYTES]; /* the stream of seed 1, to send */
};

/* Everything as host_config_default() has it, but no ECN; change app->config, then call app_open(). */
void app_config(struct app *app);
/* Opens host and peer, and listens at port 80; and app_wait_iss(). */
void app_open(struct app *app, bool ip6);
/*
 * Where NET_ISS is a number, waits until our initial sequence number for a connection that the peer begins now is that
 * one: near 2^32 what such a test sends wraps. Else: nothing.
 */
void app_wait_iss(struct app *app);
/* Closes the listener and what is open still, lets time pass, and checks that nothing is left. */
void app_close(struct app *app);

/* For cmocka: the usual ones, *state being NULL for IPv4. */
extern struct app app;
int app_setup(void **state);
int app_teardown(void **state);

/* Another run in the same test: all is closed and checked, and new. `config`: to be as it was, or NULL for the usual. */
void app_again(struct app *app, const struct host_config *config);

struct rb_net *app_net(struct app *app);
const struct rb_net_counters *app_counters(struct app *app);
struct rb_net_usage app_usage(struct app *app);
struct rb_net_info app_info(struct app *app);
/* enum tcp_state of the latest connection; TIME-WAIT is what is left when the application has been told the end. */
unsigned app_state(struct app *app);
/* Waits till events have been taken, without time passing. */
void app_settle(struct app *app);

/* Queues `length` bytes of the stream of seed 1, from where it is; as one piece. Returns what rb_net_send() does. */
int app_send(struct app *app, uint32_t length);
void app_read(struct app *app, uint32_t length);
void app_shut(struct app *app, enum rb_net_close how);
void app_set(struct app *app, enum rb_net_option option, uint64_t value);
/* Connects from port `local` (0: any) to the peer. */
int app_connect(struct app *app, uint16_t local);

/* A connection from the peer, accepted; the peer's window is 65535, or peer.window. */
void app_established(struct app *app, const char *options);

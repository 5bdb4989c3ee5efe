// SPDX-License-Identifier: Apache-2.0
/*
 * What tests of loss recovery and congestion control have in common: the app of app.h, to whom the peer has offered
 * segments of 1000 bytes and a round trip that is known exactly.
 */
#pragma once

#include "tests/net/app.h"

enum { CREDIT_MSS = 1000 };

/* The sequence number at which segment number `n` of a stream of full segments begins; the first is number 0. */
#define SEQ(n) (1U + CREDIT_MSS * (unsigned)(n))

#define CREDIT_MS LINK_NS_PER_MS

/* Opens the app; the changes that a test's mechanism wants are made between app_config() and this. */
void credit_open(void);
/* A connection from the peer whose handshake has taken `rtt_ns`. Options: those besides the MSS, as ",sackOK". */
void credit_established(const char *options, uint64_t rtt_ns);
/* The application sends so many full segments. */
void credit_send(unsigned segments);
/* Full segments `first` .. `first` + `count` - 1 come; `last` has PSH: nothing is queued after it. */
#define credit_expect(first, count)	 credit_expect_at(__FILE__, __LINE__, first, count, false)
#define credit_expect_last(first, count) credit_expect_at(__FILE__, __LINE__, first, count, true)
void credit_expect_at(const char *file, int line, unsigned first, unsigned count, bool last);
/* The connection's congestion window in segments, of which it must be a multiple. */
unsigned credit_cwnd(void);
/* Value `a` is `b`, but for what `part` of b allows. */
void credit_near(double a, double b, double part);

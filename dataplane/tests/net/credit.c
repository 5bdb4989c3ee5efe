// SPDX-License-Identifier: Apache-2.0
#include "tests/net/credit.h"

void credit_open(void)
{
	app_open(&app, false);
}

void credit_established(const char *options, uint64_t rtt_ns)
{
	const unsigned knocks = app.knocks;
	app_wait_iss(&app); /* of whatever port the peer has now */
	peer_send(&app.peer, "S 0:0(0) <mss %u%s>", CREDIT_MSS, options);
	peer_expect(&app.peer, "S. 0:0(0) ack 1");
	peer_run(&app.peer, rtt_ns);
	peer_send(&app.peer, ".");
	app_settle(&app);
	assert_int_equal(app.knocks, knocks + 1);
}

void credit_send(unsigned segments)
{
	assert_int_equal(app_send(&app, segments * CREDIT_MSS), 0);
}

void credit_expect_at(const char *file, int line, unsigned first, unsigned count, bool last)
{
	for (unsigned i = first; i < first + count; i++)
		peer_expect_within(file, line, &app.peer, 0, app.peer.patience_ns, "%s %u:%u(%u)",
				   last && i == first + count - 1 ? "P." : ".", SEQ(i), SEQ(i + 1), CREDIT_MSS);
}

unsigned credit_cwnd(void)
{
	const uint32_t cwnd = app_info(&app).cwnd;
	assert_int_equal(cwnd % CREDIT_MSS, 0);
	return cwnd / CREDIT_MSS;
}

void credit_near(double a, double b, double part)
{
	if (a < b * (1 - part) || a > b * (1 + part))
		fail_msg("%f is not within %.1f %% of %f", a, 100 * part, b);
}

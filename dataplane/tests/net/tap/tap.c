// SPDX-License-Identifier: Apache-2.0
/*
 * net-tap: the library on a device of this machine, through a link with faults; this machine's own TCP doing the same
 * work; and the link between two devices. tap.py makes the network namespaces and devices, and starts the roles.
 */
#include "tests/net/tap/tap.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

bool tap_is_stopped(void)
{
	return stopped != 0;
}

static const char *const roles[] = {"library", "linux", "bridge", NULL};
static const char *const congestions[] = {"newreno", "cubic", "dctcp", NULL};

#define AT(field) .offset = offsetof(struct tap_config, field)

static const struct rb_option options[] = {
	{.name = "role", .type = RB_OPTION_CHOICE, AT(role), .choices = roles, .required = 1, .help = "what to be"},
	{.name = "device", .type = RB_OPTION_STRING, AT(device), .help = "library, bridge: the network device"},
	{.name = "other-device", .type = RB_OPTION_STRING, AT(other_device), .help = "bridge: the second one"},
	{.name = "listen", .type = RB_OPTION_FLAG, AT(listen), .default_value = "no", .help = "else connect"},
	{.name = "ip6", .type = RB_OPTION_FLAG, AT(ip6), .default_value = "no", .help = "IPv6"},
	{.name = "to", .type = RB_OPTION_STRING, AT(to), .help = "linux: the address to connect to or listen at"},
	{.name = "port",
	 .type = RB_OPTION_UINT,
	 AT(port),
	 .default_value = "80",
	 .min = 1,
	 .max = 65535,
	 .help = "of the listening side"},
	{.name = "connections",
	 .type = RB_OPTION_UINT,
	 AT(connections),
	 .default_value = "1",
	 .min = 1,
	 .max = 10000,
	 .help = "at the same time"},
	{.name = "send",
	 .type = RB_OPTION_SIZE,
	 AT(send),
	 .default_value = "0",
	 .unit = "bytes",
	 .help = "to send on each connection"},
	{.name = "receive",
	 .type = RB_OPTION_SIZE,
	 AT(receive),
	 .default_value = "0",
	 .unit = "bytes",
	 .help = "to expect on each connection"},
	{.name = "seed", .type = RB_OPTION_UINT, AT(seed), .default_value = "1", .help = "of data and faults"},
	{.name = "window",
	 .type = RB_OPTION_SIZE,
	 AT(window),
	 .default_value = "512k",
	 .min = 4096,
	 .max = 1 << 30,
	 .unit = "bytes",
	 .help = "library: receive window"},
	{.name = "congestion",
	 .type = RB_OPTION_CHOICE,
	 AT(congestion),
	 .choices = congestions,
	 .default_value = "cubic",
	 .help = "congestion control"},
	{.name = "rate",
	 .type = RB_OPTION_UINT,
	 AT(rate),
	 .default_value = "0",
	 .unit = "bit/s",
	 .help = "of the link, each way; 0: no limit"},
	{.name = "delay", .type = RB_OPTION_DURATION, AT(delay), .default_value = "0", .help = "each way"},
	{.name = "jitter",
	 .type = RB_OPTION_DURATION,
	 AT(jitter),
	 .default_value = "0",
	 .help = "at most so much more or less delay, each frame on its own"},
	{.name = "loss", .type = RB_OPTION_REAL, AT(loss), .default_value = "0", .real_max = 1, .help = "probability"},
	{.name = "duplicate",
	 .type = RB_OPTION_REAL,
	 AT(duplicate),
	 .default_value = "0",
	 .real_max = 1,
	 .help = "probability"},
	{.name = "reorder",
	 .type = RB_OPTION_REAL,
	 AT(reorder),
	 .default_value = "0",
	 .real_max = 1,
	 .help = "probability that a frame waits for others to overtake it"},
	{.name = "reorder-time",
	 .type = RB_OPTION_DURATION,
	 AT(reorder_time),
	 .default_value = "5ms",
	 .help = "how long it waits"},
	{.name = "patience",
	 .type = RB_OPTION_DURATION,
	 AT(patience),
	 .default_value = "120s",
	 .help = "give up when nothing has moved for so long"},
	{.name = "linger",
	 .type = RB_OPTION_DURATION,
	 AT(linger),
	 .default_value = "0",
	 .help = "library: stay for so long after the last connection has ended"},
};

int main(int argc, char **argv)
{
	static const struct rb_option_table table = {
		.program = "net-tap",
		.summary = "One role of a test of the TCP/IP library against this machine's own TCP.",
		.example = "net-tap --role library --device b0 --listen --receive 1m --loss 0.01",
		.options = options,
		.count = sizeof(options) / sizeof(options[0]),
	};
	static struct tap_config config;
	const struct sigaction action = {.sa_handler = stop};
	switch (rb_options_parse(&table, argc, argv, &config, stdout, stderr)) {
	case RB_OPTIONS_OK:
		break;
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return 2;
	}
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	/* whoever has started it is gone, however that came about: so is the work */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	switch ((enum role)config.role) {
	case ROLE_LIBRARY:
		return library_run(&config);
	case ROLE_LINUX:
		return linux_run(&config);
	case ROLE_BRIDGE:
		return bridge_run(&config);
	}
	return 2;
}

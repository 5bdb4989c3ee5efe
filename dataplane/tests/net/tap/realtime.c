// SPDX-License-Identifier: Apache-2.0
#include "tests/net/tap/tap.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"

#define SLEEP_MAX_NS (100 * RB_NS_PER_MS) /* a signal that came just before the sleep is seen then */

static uint64_t now_of(const struct realtime *realtime)
{
	return rb_clock_now(rb_clock_monotonic()) - realtime->start_ns;
}

static int port_attach(struct realtime *realtime, unsigned end, const char *device)
{
	realtime->ports[end].fd = -1;
	if (device == NULL)
		return 0;
	const int status = port_open(&realtime->ports[end], device);
	if (status != 0)
		fprintf(stderr, "net-tap: %s: %s\n", device, strerror(-status));
	else
		link_attach(&realtime->link, end, port_send, &realtime->ports[end]);
	return status;
}

int realtime_open(struct realtime *realtime, const struct tap_config *config, const char *device0, const char *device1)
{
	const struct link_config link = {
		.rate_bps = config->rate,
		.delay_ns = config->delay,
		.jitter_ns = config->jitter,
		.loss = config->loss,
		.duplicate = config->duplicate,
		.reorder = config->reorder,
		.reorder_ns = config->reorder_time,
	};
	*realtime = (struct realtime){.start_ns = rb_clock_now(rb_clock_monotonic()) - RB_NS_PER_S};
	timeline_open(&realtime->timeline, now_of(realtime));
	link_open(&realtime->link, &realtime->timeline, config->seed, "tap", &link);
	const int status = port_attach(realtime, 0, device0);
	return status != 0 ? status : port_attach(realtime, 1, device1);
}

void realtime_close(struct realtime *realtime)
{
	for (unsigned end = 0; end < 2; end++) {
		if (realtime->ports[end].fd >= 0)
			port_close(&realtime->ports[end]);
	}
	link_close(&realtime->link);
	timeline_close(&realtime->timeline);
}

struct sender {
	struct link *link;
	unsigned end;
};

static void to_link(void *context, const uint8_t *frame, size_t length)
{
	const struct sender *sender = context;
	link_send(sender->link, sender->end, frame, length);
}

static unsigned receive(struct realtime *realtime)
{
	unsigned count = 0;
	for (unsigned end = 0; end < 2; end++) {
		struct sender sender = {&realtime->link, end};
		if (realtime->ports[end].fd >= 0)
			count += port_receive(&realtime->ports[end], to_link, &sender);
	}
	return count;
}

static void note_lateness(struct realtime *realtime, uint64_t now_ns)
{
	const uint64_t due_ns = realtime->asleep_until_ns;
	if (due_ns == 0 || now_ns < due_ns + LATE_NS)
		return;
	late_note(&realtime->late, due_ns, now_ns - due_ns);
}

static void sleep_until(struct realtime *realtime, uint64_t now_ns)
{
	uint64_t until_ns = now_ns + SLEEP_MAX_NS;
	if (realtime->timeline.count > 0 && realtime->timeline.heap[0].time_ns < until_ns)
		until_ns = realtime->timeline.heap[0].time_ns;
	const uint64_t length_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	const struct timespec timeout = {(time_t)(length_ns / RB_NS_PER_S), (long)(length_ns % RB_NS_PER_S)};
	struct pollfd fds[2] = {{realtime->ports[0].fd, POLLIN, 0}, {realtime->ports[1].fd, POLLIN, 0}};
	realtime->asleep_until_ns = until_ns;
	(void)ppoll(fds, 2, &timeout, NULL);
}

void realtime_turn(struct realtime *realtime)
{
	const uint64_t now_ns = now_of(realtime);
	note_lateness(realtime, now_ns);
	/* what comes in the turn is not late when the turn is over */
	realtime->asleep_until_ns = now_ns;
	(void)timeline_run(&realtime->timeline, now_ns, NULL, NULL);
	if (receive(realtime) == 0)
		sleep_until(realtime, now_of(realtime));
}

static void direction_report(const struct link_direction *way, struct rb_json *json, const char *key)
{
	const struct link_counters *counters = &way->counters;
	rb_json_object_begin(json, key);
	rb_json_uint(json, "sent", counters->sent);
	rb_json_uint(json, "delivered", counters->delivered);
	rb_json_uint(json, "lost", counters->lost);
	rb_json_uint(json, "duplicated", counters->duplicated);
	rb_json_uint(json, "reordered", counters->reordered);
	rb_json_object_end(json);
}

void realtime_report(struct realtime *realtime, struct rb_json *json)
{
	uint64_t missed = 0, unsent = 0;
	for (unsigned end = 0; end < 2; end++) {
		if (realtime->ports[end].fd >= 0) {
			missed += port_missed(&realtime->ports[end]);
			unsent += realtime->ports[end].unsent;
		}
	}
	direction_report(&realtime->link.to[0], json, "to_0");
	direction_report(&realtime->link.to[1], json, "to_1");
	rb_json_uint(json, "missed", missed);
	rb_json_uint(json, "unsent", unsent);
	rb_json_uint(json, "start_ns", realtime->start_ns);
	late_report(&realtime->late, json);
}

int bridge_run(const struct tap_config *config)
{
	static struct realtime realtime;
	struct rb_json json;
	if (config->device == NULL || config->other_device == NULL) {
		fprintf(stderr, "net-tap: the bridge needs --device and --other-device\n");
		return 2;
	}
	if (realtime_open(&realtime, config, config->device, config->other_device) != 0)
		return 1;
	while (!tap_is_stopped())
		realtime_turn(&realtime);
	rb_json_init(&json, stdout);
	rb_json_object_begin(&json, NULL);
	realtime_report(&realtime, &json);
	rb_json_object_end(&json);
	realtime_close(&realtime);
	return rb_json_finish(&json) != 0;
}

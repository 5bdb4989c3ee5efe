// SPDX-License-Identifier: Apache-2.0
/*
 * rb-frames: the load generator's closed loop of datagrams without a protocol stack, on a device of its own. A server
 * that returns frames as they are (dpos --stack=l2) is measured by it in full bursts: sockets would take longer for a
 * datagram than the server does.
 *
 *     rb-frames SERVER_MAC OPTION_OF_DPOS… -- OPTION_OF_RBLOAD…
 *
 * The document it writes, and the exit status, are rbload's.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/options.h"
#include "dpos/machine.h"
#include "frames/frames.h"
#include "load/result.h"
#include "user/backend.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, EXIT_NOT_MEASURED = 3 };

/* As rbload's: whoever else has just begun comes to rest meanwhile. */
#define START_DELAY_NS (20U * RB_NS_PER_MS)

static const struct rb_backend backend = {.name = "frames"};
/* Of a message, behind its number. */
static const uint8_t zeros[2048];

struct generator {
	struct dpos machine;
	struct dpos_config config;
	struct rb_load_config load;
	struct rb_result result;
	struct frames_end server;
	uint64_t cpu_ns;
	int status; /* 0 or -errno */
};

/* ---- the loop ---- */

/* Answers go out again in the buffers in which they came, as in l2; what is none is dropped. */
static void answer(struct frames *f, struct core *core)
{
	uint64_t dropped[CORE_BATCH_MAX];
	unsigned again = 0, dropped_count = 0;

	for (unsigned i = 0; i < core->packets_count; i++) {
		const struct rb_net_packet *packet = &core->packets[i];
		if (frames_again(f, rb_nic_data(packet), packet->length, core->now_ns))
			core->packets[again++] = *packet;
		else
			dropped[dropped_count++] = packet->buffer;
	}
	rb_nic_return(core->queue, core->packets, again);
	if (dropped_count > 0)
		rb_nic_ops.release(core->queue, dropped, dropped_count);
}

/* What no answer brings into being: the first of each flow, and those that follow a loss. */
static void begin(struct frames *f, struct core *core)
{
	const uint32_t rest = (uint32_t)f->config->message_bytes - FRAMES_NUMBER_BYTES;
	uint8_t head[FRAMES_HEAD_BYTES];

	while (frames_begin(f, head, core->now_ns)) {
		struct rb_net_header header;
		core->busy = true;
		/* Without a buffer the datagram is lost before it has gone, and will be noticed like any other. */
		if (rb_nic_ops.headers(core->queue, &header, 1) == 0)
			continue;
		struct rb_net_frame frame = {.header = header.header, .owner = header.owner};
		memcpy(frame.header, head, sizeof(head));
		frame.header_length = sizeof(head);
		frame.length = sizeof(head) + rest;
		frame.flags = RB_NET_FRAME_TRANSIENT;
		frame.pieces[0] = (struct rb_net_piece){.base = zeros, .length = rest};
		frame.pieces_count = rest > 0;
		rb_nic_ops.output(core->queue, &frame, 1);
	}
}

static void run(struct frames *f, struct core *core)
{
	while (!frames_are_over(f)) {
		core_poll(core);
		frames_advance(f, core->now_ns);
		answer(f, core);
		begin(f, core);
		core_turn_end(core);
	}
}

static int measure(struct generator *g)
{
	struct core *core = &g->machine.cores[0];
	struct frames_end client = {.address = g->config.address};
	struct frames frames;

	rb_nic_mac(g->machine.nic, client.mac);
	core_begin(core);
	int result =
		frames_init(&frames, &g->load, &g->result.total, &client, &g->server, core->now_ns + START_DELAY_NS);
	if (result != 0)
		return result;
	g->result.open_at_start = frames.count;
	run(&frames, core);
	g->result.requests_total = frames.answered;
	frames_free(&frames);
	return 0;
}

static void *run_thread(void *user)
{
	struct generator *g = user;

	g->status = dpos_pin(g->config.cpus.cpu[0]);
	if (g->status != 0)
		return NULL;
	g->status = rb_nic_thread_begin();
	if (g->status != 0)
		return NULL;
	g->status = measure(g);
	rb_nic_thread_end();
	g->cpu_ns = rb_clock_thread_cpu_ns();
	return NULL;
}

/* ---- from the options to the document ---- */

/* dpos takes its own options, up to "--"; what stands behind it, rbload's. */
static enum rb_options_outcome read_options(struct generator *g, int argc, char **argv)
{
	int own = 1;

	if (argc < 2 || rb_parse_mac(argv[1], g->server.mac) != 0) {
		fprintf(stderr, "usage: rb-frames SERVER_MAC OPTION_OF_DPOS... -- OPTION_OF_RBLOAD...\n");
		return RB_OPTIONS_ERROR;
	}
	enum rb_options_outcome outcome = dpos_config_read(argc - 1, argv + 1, &g->config);
	if (outcome != RB_OPTIONS_OK)
		return outcome;
	while (strcmp(argv[own], "--") != 0)
		own++;
	outcome = rb_load_config_parse(&g->load, argc - own, argv + own, stdout, stderr);
	if (outcome != RB_OPTIONS_OK)
		return outcome;
	g->load.backend = &backend;
	g->server.address = g->load.target;
	return frames_check(&g->load, stderr) ? RB_OPTIONS_OK : RB_OPTIONS_ERROR;
}

static int drive(struct generator *g)
{
	char why[RB_NIC_ERROR_MAX];
	pthread_t thread;

	if (dpos_open(&g->machine, &g->config) != 0)
		return -1;
	if (rb_nic_start(g->machine.nic, why) != 0) {
		rb_log(RB_LOG_ERROR, "%s", why);
		return -1;
	}
	if (pthread_create(&thread, NULL, run_thread, g) != 0 || pthread_join(thread, NULL) != 0) {
		rb_log(RB_LOG_ERROR, "no thread");
		return -1;
	}
	if (g->status != 0)
		rb_log(RB_LOG_ERROR, "the core cannot begin: %s", strerror(-g->status));
	return g->status;
}

static int tell(struct generator *g)
{
	struct rb_result *result = &g->result;

	result->threads[0].connections = (uint32_t)g->load.connections;
	result->threads[0].cpu_ns = g->cpu_ns;
	rb_result_judge(result);
	for (unsigned i = 0; i < result->reasons_count; i++)
		rb_log(RB_LOG_WARNING, "invalid: %s", result->reasons[i]);
	if (rb_json_write_file(g->load.output, rb_result_write, result) != 0) {
		rb_log(RB_LOG_ERROR, "cannot write %s", g->load.output);
		return EXIT_FAILURE;
	}
	return result->requests_total > 0 ? 0 : EXIT_NOT_MEASURED;
}

int main(int argc, char **argv)
{
	static struct generator g;
	int status = EXIT_FAILURE;

	rb_log_init("rb-frames", RB_LOG_INFO);
	switch (read_options(&g, argc, argv)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return EXIT_USAGE;
	case RB_OPTIONS_OK:
		break;
	}
	if (rb_result_init(&g.result, &g.load) == 0) {
		if (drive(&g) == 0)
			status = tell(&g);
		dpos_close(&g.machine);
		rb_result_free(&g.result);
	}
	rb_load_config_free(&g.load);
	return status;
}

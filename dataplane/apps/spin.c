// SPDX-License-Identifier: Apache-2.0
/* rb-spin: each request names its service time; the server is busy that long and sends the request back. */
#include <errno.h>
#include <stdlib.h>

#include "apps/server.h"
#include "apps/spin_protocol.h"
#include "apps/work.h"
#include "base/log.h"
#include "user/request.h"

struct spin_config {
	struct app_options server;
	unsigned work; /* enum work_kind */
};

static const struct rb_option spin_options[] = {
	APP_OPTION_ROWS(struct spin_config, server),
	{.name = "work",
	 .type = RB_OPTION_CHOICE,
	 .offset = offsetof(struct spin_config, work),
	 .default_value = "clock",
	 .choices = work_kind_names,
	 .help = "Be busy until the clock says so, or for a calibrated number of loop rounds."},
};

static const struct rb_option_table spin_table = {
	.program = "rb-spin",
	.summary = "TCP server whose requests name their service time",
	.example = "rb-spin --port 9000 --threads 2 --listen reuseport --cpus 0-1 --stats server.json",
	.options = spin_options,
	.count = sizeof(spin_options) / sizeof(spin_options[0]),
};

/* One thread's. */
struct spin {
	struct rb_server *server;
	struct work work;
};

static void handle(const uint8_t *request, size_t length, struct rb_reply *reply, void *user)
{
	const struct app_thread *thread = user;
	const struct spin *spin = thread->state;
	work_run(&spin->work, rb_spin_service_ns(request));
	rb_reply_write(reply, request, length);
}

static const struct rb_service spin_service = {
	.frame = rb_spin_frame,
	.handle = handle,
	.request_max = RB_SPIN_MESSAGE_MAX,
	.reply_max = RB_SPIN_MESSAGE_MAX,
};

static int spin_start(struct app_thread *thread, const struct rb_context_config *context)
{
	const struct spin_config *spin_config = thread->app->config;
	struct rb_service_config config = {.service = &spin_service, .context = *context, .user = thread};
	struct spin *spin = calloc(1, sizeof(*spin));
	if (spin == NULL)
		return -ENOMEM;
	work_init(&spin->work, (enum work_kind)spin_config->work);
	int result = rb_server_create(&config, &spin->server);
	if (result != 0) {
		free(spin);
		return result;
	}
	thread->context = rb_loop_context(rb_server_loop(spin->server));
	thread->state = spin;
	return 0;
}

static int spin_listen(struct app_thread *thread, struct rb_listener *listener)
{
	return rb_server_listen(((const struct spin *)thread->state)->server, listener);
}

static int spin_turn(struct app_thread *thread)
{
	const struct spin *spin = thread->state;
	return rb_loop_turn(rb_server_loop(spin->server), RB_WAIT);
}

static int spin_run(struct app_thread *thread)
{
	int result = 0;
	while (result == 0 && app_goes_on(thread))
		result = spin_turn(thread);
	return result;
}

static void spin_stop(struct app_thread *thread)
{
	struct spin *spin = thread->state;
	rb_server_destroy(spin->server);
	free(spin);
}

static uint64_t spin_requests(const struct app_thread *thread)
{
	return rb_server_stats(((const struct spin *)thread->state)->server)->requests;
}

int main(int argc, char **argv)
{
	struct spin_config config = {0};
	switch (rb_options_parse(&spin_table, argc, argv, &config, stdout, stderr)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return 2;
	case RB_OPTIONS_OK:
		break;
	}
	rb_log_init("rb-spin", (enum rb_log_level)config.server.log);
	const struct app app = {.name = "spin",
				.start = spin_start,
				.listen = spin_listen,
				.run = spin_run,
				.stop = spin_stop,
				.requests = spin_requests,
				.config = &config};
	return app_run(&app, &config.server);
}

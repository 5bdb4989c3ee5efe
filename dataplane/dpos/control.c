// SPDX-License-Identifier: Apache-2.0
#include "dpos/control.h"

#include "base/clock.h"
#include "base/log.h"
#include "dpos/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DRAIN_LOOK_MS = 5, BACKLOG = 8, WRITE_TIMEOUT_S = 1 };

/* ---- opening ---- */

static int open_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (error != 0)
		return -error;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* what a dpos that was killed has left; of one that runs, too, who would then be unreachable: its own fault */
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0) {
		int result = -errno;
		close(fd);
		return result;
	}
	return fd;
}

int dpos_control_open(struct dpos_control *control, struct dpos *dpos)
{
	const char *path = dpos->config->control;
	*control = (struct dpos_control){.dpos = dpos, .socket = -1, .drained_ns = UINT64_MAX};
	control->signals = open_signals();
	control->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control->signals < 0 || control->ended < 0) {
		rb_log(RB_LOG_ERROR, "no descriptors for signals: %s", strerror(errno));
		return -EMFILE;
	}
	if (path == NULL)
		return 0;
	control->socket = listen_at(path);
	if (control->socket < 0) {
		rb_log(RB_LOG_ERROR, "--control %s: %s", path, strerror(-control->socket));
		return control->socket;
	}
	return 0;
}

void dpos_control_close(struct dpos_control *control)
{
	if (control->socket >= 0) {
		unlink(control->dpos->config->control);
		close(control->socket);
	}
	if (control->ended >= 0)
		close(control->ended);
	if (control->signals >= 0)
		close(control->signals);
}

void dpos_control_ended(struct dpos_control *control)
{
	uint64_t one = 1;
	ssize_t written = write(control->ended, &one, sizeof(one));
	(void)written; /* it counts to 2^64 */
	for (unsigned i = 0; i < control->dpos->config->cpus.count; i++)
		core_request(&control->dpos->cores[i], CORE_REQUEST_END);
}

/* ---- what comes ---- */

static void save(struct dpos *dpos)
{
	const char *path = dpos->config->stats;
	int result = path != NULL ? rb_json_write_file(path, dpos_stats_write, dpos) : 0;
	if (result != 0)
		rb_log(RB_LOG_ERROR, "cannot write %s: %s", path, strerror(-result));
}

static void drain(struct dpos_control *control)
{
	struct dpos *dpos = control->dpos;
	uint64_t now_ns = rb_clock_now(rb_clock_monotonic());
	for (unsigned i = 0; i < dpos->config->cpus.count; i++)
		core_request(&dpos->cores[i], CORE_REQUEST_DRAIN);
	control->drained_ns = control->drained_ns == UINT64_MAX ? now_ns + dpos->config->drain_ns : now_ns;
}

/* True: it ends dpos, now. */
static bool take_signal(struct dpos_control *control)
{
	struct signalfd_siginfo info;
	if (read(control->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	struct dpos *dpos = control->dpos;
	if (info.ssi_signo == SIGUSR1) {
		save(dpos);
		if (dpos->app != NULL)
			rb_app_signal(dpos->app, SIGUSR1);
		return false;
	}
	if (dpos->app == NULL)
		return true;
	drain(control);
	return false;
}

static void end_drain(struct dpos_control *control)
{
	uint64_t left = dpos_connections(control->dpos);
	bool over = rb_clock_now(rb_clock_monotonic()) >= control->drained_ns;
	if (left > 0 && !over)
		return;
	if (left > 0)
		rb_log(RB_LOG_WARNING, "%llu connections were still open", (unsigned long long)left);
	control->drained_ns = UINT64_MAX;
	rb_app_signal(control->dpos->app, SIGTERM);
}

/* Whoever connects gets the counters, and the connection is closed. */
static void answer(struct dpos_control *control)
{
	int fd = accept4(control->socket, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct timeval timeout = {.tv_sec = WRITE_TIMEOUT_S};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	FILE *out = fdopen(fd, "w");
	if (out == NULL) {
		close(fd);
		return;
	}
	struct rb_json json;
	rb_json_init(&json, out);
	dpos_stats_write(&json, control->dpos);
	rb_json_finish(&json); /* who does not read has no answer */
	fclose(out);
}

void dpos_control_run(struct dpos_control *control)
{
	for (;;) {
		struct pollfd watched[] = {
			{.fd = control->signals, .events = POLLIN},
			{.fd = control->ended, .events = POLLIN},
			{.fd = control->socket, .events = POLLIN}, /* -1 is ignored */
		};
		bool draining = control->drained_ns != UINT64_MAX;
		poll(watched, sizeof(watched) / sizeof(watched[0]), draining ? DRAIN_LOOK_MS : -1);
		if (watched[1].revents != 0)
			break;
		if (watched[0].revents != 0 && take_signal(control))
			break;
		if (watched[2].revents != 0)
			answer(control);
		if (control->drained_ns != UINT64_MAX)
			end_drain(control);
	}
	save(control->dpos);
}

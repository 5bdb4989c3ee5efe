// SPDX-License-Identifier: Apache-2.0
/* The epoll back-end: one turn of run_io(). See epoll_defs.h for the design. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "user/backend.h"
#include "user/epoll_defs.h"

enum { EPOLL_BATCH_MAX = 1024 };

/* ---- events ---- */

struct rb_event *epoll_emit(struct epoll_context *context, enum rb_event_type type, const struct connection *connection)
{
	RB_ASSERT_LT(context->events_count, context->events_max);
	struct rb_event *event = &context->events[context->events_count++];
	*event = (struct rb_event){.type = (uint16_t)type};
	if (connection != NULL) {
		event->handle = connection->handle;
		event->cookie = connection->cookie;
	}
	return event;
}

static void deliver_pending(struct epoll_context *context)
{
	while (context->pending_count > 0 && epoll_has_room(context)) {
		context->events[context->events_count++] = context->pending[context->pending_first];
		context->pending_first = (context->pending_first + 1) % context->pending_max;
		context->pending_count--;
	}
}

/* One pass over what is ready now; what becomes ready during the pass is left for the next one. */
static void deliver_ready(struct epoll_context *context)
{
	struct rb_list batch;
	struct rb_list *node;
	rb_list_move(&context->ready, &batch);
	while (epoll_has_room(context) && (node = rb_list_pop(&batch)) != NULL)
		epoll_connection_progress(context, RB_CONTAINER_OF(node, struct connection, ready));
	/* No room for the others: they keep their place before the newcomers. */
	while ((node = rb_list_pop(&context->ready)) != NULL)
		rb_list_append(&batch, node);
	rb_list_move(&batch, &context->ready);
	for (uint32_t i = 0; i < context->listening_count && epoll_has_room(context); i++) {
		if (context->listening[i].ready)
			epoll_listen_accept(context, &context->listening[i]);
	}
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(const struct epoll_context *context)
{
	uint64_t deadline = context->timer_deadline_ns;
	if (!rb_list_empty(&context->closing)) {
		struct connection *oldest = RB_CONTAINER_OF(context->closing.next, struct connection, closing);
		deadline = earlier(deadline, oldest->close_deadline_ns);
	}
	for (uint32_t i = 0; i < context->listening_count; i++) {
		if (context->listening[i].paused)
			deadline = earlier(deadline, context->listening[i].resume_ns);
	}
	return deadline;
}

/*
 * Has the peer acknowledged anything since this was asked last? What the kernel still has to send is seen by this alone.
 * The first time it is not known, and there is a timeout more for it.
 */
static bool is_draining(struct epoll_context *context, struct connection *connection)
{
	uint32_t before = connection->unacknowledged,
		 now = rb_socket_unacknowledged(connection->fd, context->stats->syscalls);
	connection->unacknowledged = now;
	return now < before && (now != 0 || before != UINT32_MAX);
}

static void expire_closing(struct epoll_context *context, uint64_t now_ns)
{
	while (!rb_list_empty(&context->closing)) {
		struct connection *oldest = RB_CONTAINER_OF(context->closing.next, struct connection, closing);
		if (oldest->close_deadline_ns > now_ns)
			return;
		if (is_draining(context, oldest))
			epoll_connection_extend_close_deadline(context, oldest);
		else
			epoll_connection_reset(context, oldest, -ETIMEDOUT);
	}
}

static void expire(struct epoll_context *context)
{
	if (next_deadline(context) == RB_DEADLINE_NONE)
		return; /* saves reading the clock */
	uint64_t now_ns = rb_clock_now(context->config.clock);
	expire_closing(context, now_ns);
	epoll_listen_resume(context, now_ns);
	if (context->timer_deadline_ns <= now_ns && epoll_has_room(context)) {
		struct rb_event *event = epoll_emit(context, RB_EVENT_TIMER, NULL);
		event->cookie = context->timer_cookie;
		event->timer.deadline_ns = context->timer_deadline_ns;
		context->timer_deadline_ns = RB_DEADLINE_NONE;
	}
}

/* How long epoll may block: returns NULL for ever, else *timeout. */
static const struct timespec *wait_time(const struct epoll_context *context, enum rb_wait wait,
					struct timespec *timeout)
{
	*timeout = (struct timespec){0};
	if (wait == RB_POLL || context->events_count > 0 || !rb_list_empty(&context->ready) ||
	    context->config.spin_ns == UINT64_MAX)
		return timeout;
	uint64_t deadline = next_deadline(context);
	if (deadline == RB_DEADLINE_NONE)
		return NULL;
	uint64_t now_ns = rb_clock_now(context->config.clock);
	uint64_t spin_from = deadline > context->config.spin_ns ? deadline - context->config.spin_ns : 0;
	if (now_ns < spin_from) {
		timeout->tv_sec = (time_t)((spin_from - now_ns) / RB_NS_PER_S);
		timeout->tv_nsec = (long)((spin_from - now_ns) % RB_NS_PER_S);
	}
	return timeout;
}

/* ---- readiness ---- */

static void drain_wake(struct epoll_context *context)
{
	uint64_t count;
	context->stats->syscalls[RB_SYS_READ]++;
	ssize_t got = read(context->wake_fd, &count, sizeof(count));
	(void)got; /* EAGAIN: somebody was faster; the wake counts all the same */
	context->woken = true;
}

static void note_readiness(struct epoll_context *context, const struct epoll_event *ready)
{
	uint64_t data = ready->data.u64;
	if (data == EPOLL_DATA_WAKE) {
		drain_wake(context);
		return;
	}
	if (rb_handle_generation(data) == 0) {
		context->listening[(data >> 32) - 1].ready = true;
		return;
	}
	struct connection *connection = epoll_connection_find(context, data);
	if (connection != NULL) /* else it was closed after epoll had queued this */
		epoll_connection_mark(context, connection, ready->events);
}

/* Asks epoll once. Returns 0, -EINTR or a fatal -errno. */
static int poll_once(struct epoll_context *context, enum rb_wait wait)
{
	struct epoll_event ready[EPOLL_BATCH_MAX];
	struct timespec storage;
	const struct timespec *timeout = wait_time(context, wait, &storage);
	bool spins = timeout != NULL && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
	context->stats->polls++;
	context->stats->syscalls[RB_SYS_EPOLL_PWAIT2]++;
	int count = epoll_pwait2(context->epoll_fd, ready, (int)context->config.batch_max, timeout, NULL);
	if (count < 0)
		return -errno;
	if (count == 0) {
		context->stats->empty_polls++;
		if (spins)
			__builtin_ia32_pause(); /* lets the hyperthread, or another vCPU, run */
	}
	for (int i = 0; i < count; i++)
		note_readiness(context, &ready[i]);
	return 0;
}

static void deliver(struct epoll_context *context)
{
	deliver_pending(context);
	expire(context);
	deliver_ready(context);
}

/* ---- the back-end's functions ---- */

static void release_ended(struct epoll_context *context)
{
	struct rb_list *node;
	if (rb_list_empty(&context->ended))
		return;
	while ((node = rb_list_pop(&context->ended)) != NULL)
		epoll_connection_give(context, RB_CONTAINER_OF(node, struct connection, ready));
	epoll_listen_hurry(context);
}

/* Timer slack belongs to the thread, and only now it is known which one that is. */
static void set_timer_slack(struct epoll_context *context)
{
	context->slack_set = true;
	if (context->config.timer_slack_ns != 0)
		prctl(PR_SET_TIMERSLACK, context->config.timer_slack_ns, 0, 0, 0);
}

/*
 * When the commands alone have produced events (SENT of a reply, say), these are returned without asking epoll:
 * the application's next call will. But not twice in a row, or a connection that always has something to say
 * would shut out the others.
 */
static bool may_skip_poll(struct epoll_context *context)
{
	bool skip = context->events_count > 0 && !context->skipped_poll;
	context->skipped_poll = skip;
	return skip || !epoll_has_room(context);
}

static int epoll_run_io(void *state, const struct rb_command *commands, uint32_t commands_count,
			struct rb_event *events, uint32_t events_max, enum rb_wait wait)
{
	struct epoll_context *context = state;
	context->events = events;
	context->events_count = 0;
	context->events_max = events_max;
	context->woken = false;
	if (!context->slack_set)
		set_timer_slack(context);
	release_ended(context);
	for (uint32_t i = 0; i < commands_count; i++)
		epoll_command_execute(context, &commands[i]);
	deliver(context);
	if (may_skip_poll(context))
		return (int)context->events_count;
	do {
		int result = poll_once(context, wait);
		if (result == -EINTR)
			break;
		if (result != 0)
			return result;
		deliver(context);
	} while (wait == RB_WAIT && context->events_count == 0 && !context->woken);
	return (int)context->events_count;
}

static void epoll_wake(void *state)
{
	const struct epoll_context *context = state;
	uint64_t one = 1;
	int saved = errno; /* async-signal-safe */
	ssize_t written = write(context->wake_fd, &one, sizeof(one));
	(void)written; /* EAGAIN: the counter is full, so a wake is pending */
	errno = saved;
}

static int watch_wake(struct epoll_context *context)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = EPOLL_DATA_WAKE};
	return epoll_ctl(context->epoll_fd, EPOLL_CTL_ADD, context->wake_fd, &event) != 0 ? -errno : 0;
}

static int open_descriptors(struct epoll_context *context)
{
	context->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (context->epoll_fd < 0)
		return -errno;
	context->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (context->wake_fd < 0)
		return -errno;
	return watch_wake(context);
}

static int allocate(struct epoll_context *context)
{
	const struct rb_context_config *config = &context->config;
	context->pending_max = config->commands_max;
	context->pending = calloc(context->pending_max, sizeof(*context->pending));
	context->connections = calloc(config->connections_max, sizeof(*context->connections));
	if (context->pending == NULL || context->connections == NULL)
		return -ENOMEM;
	int result = tx_pool_init(&context->tx, config->tx_entries_max);
	if (result != 0)
		return result;
	return rx_pool_init(&context->rx, config->connections_max, config->rx_buffers_per_connection,
			    config->rx_buffer_bytes);
}

static void close_connections(struct epoll_context *context)
{
	for (uint32_t i = 0; i < context->untouched; i++) {
		if (context->connections[i].fd >= 0 && context->connections[i].state != CONNECTION_FREE)
			rb_socket_abort(context->connections[i].fd, context->stats->syscalls);
	}
}

static void epoll_context_destroy(void *state)
{
	struct epoll_context *context = state;
	close_connections(context);
	epoll_listen_close(context);
	if (context->wake_fd >= 0)
		close(context->wake_fd);
	if (context->epoll_fd >= 0)
		close(context->epoll_fd);
	rx_pool_free(&context->rx);
	tx_pool_free(&context->tx);
	free(context->connections);
	free(context->pending);
	free(context);
}

static int epoll_context_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	if (config->batch_max > EPOLL_BATCH_MAX)
		return -EINVAL;
	struct epoll_context *context = calloc(1, sizeof(*context));
	if (context == NULL)
		return -ENOMEM;
	context->config = *config;
	context->stats = stats;
	context->epoll_fd = -1;
	context->wake_fd = -1;
	context->timer_deadline_ns = RB_DEADLINE_NONE;
	rb_list_init(&context->ready);
	rb_list_init(&context->closing);
	rb_list_init(&context->ended);
	int result = allocate(context);
	if (result == 0)
		result = open_descriptors(context);
	if (result != 0) {
		epoll_context_destroy(context);
		return result;
	}
	*state = context;
	return 0;
}

const struct rb_backend rb_backend_epoll = {
	.name = "epoll",
	.sockets = true,
	.syscall_names = rb_linux_syscall_names,
	.context_create = epoll_context_create,
	.context_destroy = epoll_context_destroy,
	.run_io = epoll_run_io,
	.wake = epoll_wake,
	.listener_create = socket_listener_create,
	.listener_destroy = socket_listener_destroy,
	.listener_address = socket_listener_address,
	.listen = epoll_listen,
};

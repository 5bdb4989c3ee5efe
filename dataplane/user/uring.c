// SPDX-License-Identifier: Apache-2.0
/* The io_uring back-end: one turn of run_io(). See uring_defs.h for the design. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "user/backend.h"
#include "user/uring_defs.h"

/* ---- submissions ---- */

static int enter(struct uring_context *context, bool wait, const struct __kernel_timespec *timeout)
{
	uring_rx_offer(&context->rx, &context->ring);
	context->stats->syscalls[RB_SYS_IO_URING_ENTER]++;
	int result = rb_ring_enter(&context->ring, wait, timeout);
	if (result != 0 && result != -EINTR)
		context->failure = result;
	return result;
}

struct io_uring_sqe *uring_submit(struct uring_context *context, uint8_t opcode, int fd, enum uring_operation operation,
				  rb_handle handle)
{
	struct io_uring_sqe *sqe;
	while ((sqe = rb_ring_next(&context->ring)) == NULL) {
		enter(context, false, NULL);
		if (context->failure != 0) {
			sqe = &context->lost;
			break;
		}
	}
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = rb_handle_make(operation, rb_handle_index(handle), rb_handle_generation(handle));
	return sqe;
}

struct uring_message *uring_message(struct uring_context *context, const struct io_uring_sqe *sqe)
{
	size_t number = sqe == &context->lost ? 0 : (size_t)(sqe - context->ring.sqes);
	return &context->messages[number];
}

/* ---- events ---- */

struct rb_event *uring_emit(struct uring_context *context, enum rb_event_type type,
			    const struct uring_connection *connection)
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

static void deliver_pending(struct uring_context *context)
{
	while (context->pending_count > 0 && uring_has_room(context)) {
		context->events[context->events_count++] = context->pending[context->pending_first];
		context->pending_first = (context->pending_first + 1) % context->pending_max;
		context->pending_count--;
	}
}

/* One pass over what is ready now; what becomes ready during the pass is left for the next one. */
static void deliver_ready(struct uring_context *context)
{
	struct rb_list batch;
	struct rb_list *node;
	rb_list_move(&context->ready, &batch);
	while (uring_has_room(context) && (node = rb_list_pop(&batch)) != NULL)
		uring_connection_progress(context, RB_CONTAINER_OF(node, struct uring_connection, ready));
	/* No room for the others: they keep their place before the newcomers. */
	while ((node = rb_list_pop(&context->ready)) != NULL)
		rb_list_append(&batch, node);
	rb_list_move(&batch, &context->ready);
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(const struct uring_context *context)
{
	uint64_t deadline = context->timer_deadline_ns;
	if (!rb_list_empty(&context->closing)) {
		struct uring_connection *oldest =
			RB_CONTAINER_OF(context->closing.next, struct uring_connection, closing);
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
static bool is_draining(struct uring_context *context, struct uring_connection *connection)
{
	uint32_t before = connection->unacknowledged,
		 now = rb_socket_unacknowledged(connection->fd, context->stats->syscalls);
	connection->unacknowledged = now;
	return now < before && (now != 0 || before != UINT32_MAX);
}

static void expire_closing(struct uring_context *context, uint64_t now_ns)
{
	while (!rb_list_empty(&context->closing)) {
		struct uring_connection *oldest =
			RB_CONTAINER_OF(context->closing.next, struct uring_connection, closing);
		if (oldest->close_deadline_ns > now_ns)
			return;
		if (is_draining(context, oldest))
			uring_connection_extend_close_deadline(context, oldest);
		else
			uring_connection_end(context, oldest, -ETIMEDOUT, true);
	}
}

static void expire(struct uring_context *context)
{
	if (next_deadline(context) == RB_DEADLINE_NONE)
		return; /* saves reading the clock */
	uint64_t now_ns = rb_clock_now(context->config.clock);
	expire_closing(context, now_ns);
	uring_listen_resume(context, now_ns);
	if (context->timer_deadline_ns <= now_ns && uring_has_room(context)) {
		struct rb_event *event = uring_emit(context, RB_EVENT_TIMER, NULL);
		event->cookie = context->timer_cookie;
		event->timer.deadline_ns = context->timer_deadline_ns;
		context->timer_deadline_ns = RB_DEADLINE_NONE;
	}
}

/* May the kernel block? Then *timeout is how long, or NULL for ever. */
static bool may_block(const struct uring_context *context, enum rb_wait wait, struct __kernel_timespec *storage,
		      const struct __kernel_timespec **timeout)
{
	*timeout = NULL;
	if (wait == RB_POLL || context->events_count > 0 || !rb_list_empty(&context->ready) ||
	    context->config.spin_ns == UINT64_MAX)
		return false;
	uint64_t deadline = next_deadline(context);
	if (deadline == RB_DEADLINE_NONE)
		return true;
	uint64_t now_ns = rb_clock_now(context->config.clock);
	uint64_t spin_from = deadline > context->config.spin_ns ? deadline - context->config.spin_ns : 0;
	if (now_ns >= spin_from)
		return false;
	storage->tv_sec = (int64_t)((spin_from - now_ns) / RB_NS_PER_S);
	storage->tv_nsec = (long long)((spin_from - now_ns) % RB_NS_PER_S);
	*timeout = storage;
	return true;
}

/* ---- completions ---- */

static void complete(struct uring_context *context, uint64_t data, int result, uint32_t flags)
{
	enum uring_operation operation = (enum uring_operation)rb_handle_group(data);
	uint32_t index = rb_handle_index(data), generation = rb_handle_generation(data);
	switch (operation) {
	case URING_IGNORED:
		break;
	case URING_WAKE:
		context->wake_armed = false;
		context->woken = true;
		break;
	case URING_ACCEPT:
		uring_listen_complete(context, index, generation, result);
		break;
	default:
		RB_ASSERT_EQ(rb_handle_generation(context->connections[index].handle), generation);
		uring_connection_complete(context, &context->connections[index], operation, result, flags);
		break;
	}
}

/* Takes a batch of completions. Returns whether there were any. */
static bool reap(struct uring_context *context)
{
	const struct io_uring_cqe *cqe;
	uint32_t count = 0;
	while (count < context->config.batch_max && (cqe = rb_ring_peek(&context->ring)) != NULL) {
		uint64_t data = cqe->user_data;
		int result = cqe->res;
		uint32_t flags = cqe->flags;
		rb_ring_done(&context->ring);
		complete(context, data, result, flags);
		count++;
	}
	return count > 0;
}

static void arm_wake(struct uring_context *context)
{
	if (context->wake_armed)
		return;
	struct io_uring_sqe *sqe = uring_submit(context, IORING_OP_READ, context->wake_fd, URING_WAKE, 0);
	sqe->addr = (uintptr_t)&context->wake_count;
	sqe->len = sizeof(context->wake_count);
	context->wake_armed = true;
}

/* Asks the kernel once, if there is anything to ask. Returns 0, -EINTR or a fatal -errno. */
static int poll_once(struct uring_context *context, enum rb_wait wait)
{
	struct __kernel_timespec storage;
	const struct __kernel_timespec *timeout;
	bool block = may_block(context, wait, &storage, &timeout);
	int result = 0;
	context->stats->polls++;
	uring_listen_arm(context);
	arm_wake(context);
	if (block || rb_ring_has_work(&context->ring))
		result = enter(context, block, timeout);
	if (!reap(context)) {
		context->stats->empty_polls++;
		if (!block)
			__builtin_ia32_pause(); /* lets the hyperthread, or another vCPU, run */
	}
	return context->failure != 0 ? context->failure : result;
}

static void deliver(struct uring_context *context)
{
	deliver_pending(context);
	expire(context);
	deliver_ready(context);
	uring_listen_deliver(context);
}

/* ---- the back-end's functions ---- */

static void release_ended(struct uring_context *context)
{
	struct rb_list *node;
	if (rb_list_empty(&context->ended))
		return;
	while ((node = rb_list_pop(&context->ended)) != NULL)
		uring_connection_give(context, RB_CONTAINER_OF(node, struct uring_connection, ready));
	uring_listen_hurry(context);
}

/*
 * Events that are left from the last turn are returned without asking the kernel if there is nothing to tell it. But
 * not twice in a row, or a connection that always has something to say would shut out the others.
 */
static bool may_skip_enter(struct uring_context *context)
{
	bool skip = context->events_count > 0 && !context->skipped_enter && !rb_ring_has_work(&context->ring);
	context->skipped_enter = skip;
	return skip;
}

static int uring_run_io(void *state, const struct rb_command *commands, uint32_t commands_count,
			struct rb_event *events, uint32_t events_max, enum rb_wait wait)
{
	struct uring_context *context = state;
	int result = 0;
	context->events = events;
	context->events_count = 0;
	context->events_max = events_max;
	context->woken = false;
	if (!context->enabled) {
		result = rb_ring_enable(&context->ring);
		if (result != 0)
			return result;
		context->enabled = true;
	}
	release_ended(context);
	for (uint32_t i = 0; i < commands_count; i++)
		uring_command_execute(context, &commands[i]);
	deliver(context);
	if (may_skip_enter(context))
		return (int)context->events_count;
	do {
		result = poll_once(context, wait);
		if (result != 0 && result != -EINTR)
			return result;
		deliver(context);
	} while (result == 0 && wait == RB_WAIT && context->events_count == 0 && !context->woken);
	return (int)context->events_count;
}

static void uring_wake(void *state)
{
	const struct uring_context *context = state;
	uint64_t one = 1;
	int saved = errno; /* async-signal-safe */
	ssize_t written = write(context->wake_fd, &one, sizeof(one));
	(void)written; /* it fails, or blocks, after 2^64 - 2 wakes only */
	errno = saved;
}

static const char *why_not(int error)
{
	switch (error) {
	case -ENOSYS:
		return "this kernel has none";
	case -EPERM:
		return "it is forbidden here, by the sysctl kernel.io_uring_disabled or by seccomp";
	case -EINVAL:
		return "this kernel's is older than Linux 6.1";
	default:
		return strerror(-error);
	}
}

static int open_descriptors(struct uring_context *context)
{
	int result = rb_ring_open(&context->ring, URING_SUBMISSIONS, URING_COMPLETIONS);
	if (result != 0) {
		rb_log(RB_LOG_ERROR, "cannot use io_uring: %s (errno %d)", why_not(result), -result);
		return result;
	}
	context->wake_fd = eventfd(0, EFD_CLOEXEC);
	return context->wake_fd < 0 ? -errno : 0;
}

static int allocate(struct uring_context *context)
{
	const struct rb_context_config *config = &context->config;
	context->pending_max = config->commands_max;
	context->pending = calloc(context->pending_max, sizeof(*context->pending));
	context->connections = calloc(config->connections_max, sizeof(*context->connections));
	context->messages = calloc(URING_SUBMISSIONS, sizeof(*context->messages));
	if (context->pending == NULL || context->connections == NULL || context->messages == NULL)
		return -ENOMEM;
	int result = tx_pool_init(&context->tx, config->tx_entries_max);
	if (result != 0)
		return result;
	return uring_rx_init(&context->rx, &context->ring, config->connections_max, config->rx_buffers_per_connection,
			     config->rx_buffer_bytes);
}

static void close_connections(struct uring_context *context)
{
	for (uint32_t i = 0; i < context->untouched; i++) {
		if (context->connections[i].fd >= 0 && context->connections[i].state != URING_FREE)
			rb_socket_abort(context->connections[i].fd, context->stats->syscalls);
	}
}

static void uring_context_destroy(void *state)
{
	struct uring_context *context = state;
	rb_ring_close(&context->ring); /* first: it knows descriptors by their numbers */
	close_connections(context);
	uring_listen_close(context);
	if (context->wake_fd >= 0)
		close(context->wake_fd);
	uring_rx_free(&context->rx);
	tx_pool_free(&context->tx);
	free(context->messages);
	free(context->connections);
	free(context->pending);
	free(context);
}

static int uring_context_create(const struct rb_context_config *config, struct rb_context_stats *stats, void **state)
{
	struct uring_context *context = calloc(1, sizeof(*context));
	if (context == NULL)
		return -ENOMEM;
	context->config = *config;
	context->stats = stats;
	context->ring.fd = -1;
	context->wake_fd = -1;
	context->timer_deadline_ns = RB_DEADLINE_NONE;
	rb_list_init(&context->ready);
	rb_list_init(&context->closing);
	rb_list_init(&context->ended);
	int result = open_descriptors(context);
	if (result == 0)
		result = allocate(context);
	if (result != 0) {
		uring_context_destroy(context);
		return result;
	}
	*state = context;
	return 0;
}

const struct rb_backend rb_backend_io_uring = {
	.name = "io_uring",
	.sockets = true,
	.syscall_names = rb_linux_syscall_names,
	.context_create = uring_context_create,
	.context_destroy = uring_context_destroy,
	.run_io = uring_run_io,
	.wake = uring_wake,
	.listener_create = socket_listener_create,
	.listener_destroy = socket_listener_destroy,
	.listener_address = socket_listener_address,
	.listen = uring_listen,
};

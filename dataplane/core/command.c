// SPDX-License-Identifier: Apache-2.0
/*
 * The way down: from commands of the ABI to calls of the instance. Each is copied and checked before anything is done;
 * the instance's own calls do all or nothing. /
 */
#include "core/context.h"

#include "base/assert.h"

#include <errno.h>

/* Not more than once, whatever the compiler thinks: what stands in the array may change meanwhile. */
static inline void copy_in(struct rb_command *command, const struct rb_command *from)
{
	__asm__ volatile("" : : : "memory");
	*command = *from;
	__asm__ volatile("" : "+m"(*command) : : "memory");
}

/* -EBADF for a handle of another context. What is left of it is the instance's to check. */
static inline int net_handle_of(const struct core_context *context, rb_handle handle, rb_net_handle *found)
{
	*found = handle ^ context->group;
	return rb_handle_group(*found) == 0 ? 0 : -EBADF;
}

/* Whom an error is for: the connection's own cookie says it. ACCEPT has brought it; who has no handle has no other. */
static uint64_t cookie_of(const struct core_context *context, uint32_t type, rb_handle from, uint64_t own)
{
	rb_net_handle handle;
	struct rb_net_info info;
	if (type == RB_COMMAND_ACCEPT || type == RB_COMMAND_TIMER || net_handle_of(context, from, &handle) != 0 ||
	    rb_net_info(context->net, handle, &info) != 0)
		return own;
	return info.cookie;
}

/* `cookie`: the command's. */
static __attribute__((noinline)) void refuse(struct core_context *context, uint32_t type, rb_handle handle,
					     uint64_t cookie, int status)
{
	uint64_t whose = cookie_of(context, type, handle, cookie);
	struct rb_event *event = core_context_event(context, RB_EVENT_ERROR);
	event->status = status;
	event->handle = handle;
	event->cookie = whose;
	event->error.command = type;
	event->error.count = 1;
}

/* ---- sending and receiving ---- */

/* At any address: the pointer to the list is the application's. */
struct loose_sg {
	struct rb_sg sg;
} __attribute__((packed));

static inline int piece_of(const struct core_context *context, struct rb_sg entry, struct rb_net_piece *piece)
{
	if (entry.length - 1 >= UINT32_MAX) /* or none */
		return -EINVAL;
	if (!core_range_has(&context->memory, entry.base, entry.length))
		return -EFAULT;
	*piece = (struct rb_net_piece){.base = entry.base, .length = (uint32_t)entry.length};
	return 0;
}

/* An answer with its request, in one; or only bytes to send. */
static inline int send_or_reply(struct core_context *context, rb_net_handle handle, uint32_t done,
				const struct rb_net_piece *pieces, uint32_t count)
{
	if (__builtin_expect(done > 0, 1))
		return rb_net_reply(context->net, handle, done, pieces, count);
	return rb_net_send(context->net, handle, pieces, count);
}

static __attribute__((noinline)) int do_sendv_several(struct core_context *context, rb_net_handle handle, uint32_t done,
						      const struct loose_sg *list, uint32_t count)
{
	struct rb_net_piece pieces[RB_SENDV_ENTRIES_MAX];
	if (count == 0 || count > RB_SENDV_ENTRIES_MAX)
		return -EINVAL;
	if (!core_range_has(&context->memory, list, count * sizeof(*list)))
		return -EFAULT;
	for (uint32_t i = 0; i < count; i++) {
		int result = piece_of(context, ((const volatile struct loose_sg *)&list[i])->sg, &pieces[i]);
		if (result != 0)
			return result;
	}
	return send_or_reply(context, handle, done, pieces, count);
}

/* Nearly always it is one piece. Each field is read once. */
static inline int do_sendv(struct core_context *context, const volatile struct rb_command *there, rb_handle handle)
{
	rb_net_handle found;
	struct rb_net_piece piece;
	int result = net_handle_of(context, handle, &found);
	if (__builtin_expect(result != 0, 0))
		return result;
	const uint32_t count = there->sendv.count, done = there->sendv.done;
	if (__builtin_expect(count != 1, 0))
		return do_sendv_several(context, found, done, (const struct loose_sg *)there->sendv.sg, count);
	const struct rb_sg one = {.base = there->sendv.one.base, .length = there->sendv.one.length};
	result = piece_of(context, one, &piece);
	return __builtin_expect(result != 0, 0) ? result : send_or_reply(context, found, done, &piece, 1);
}

static int do_recv_done(struct core_context *context, const struct rb_command *command, rb_net_handle handle)
{
	uint64_t bytes = command->recv_done.bytes;
	if (command->flags != 0 || bytes == 0 || bytes > UINT32_MAX)
		return -EINVAL;
	return rb_net_received(context->net, handle, (uint32_t)bytes);
}

/* ---- connections ---- */

static int do_accept(struct core_context *context, const struct rb_command *command, rb_net_handle handle)
{
	if (command->flags != 0)
		return -EINVAL;
	int result = rb_net_accept(context->net, handle, command->cookie);
	context->counters.accepted += result == 0;
	context->accepted |= result == 0;
	return result;
}

static int do_reject(struct core_context *context, const struct rb_command *command, rb_net_handle handle)
{
	return command->flags != 0 ? -EINVAL : rb_net_reject(context->net, handle);
}

static int do_close(struct core_context *context, const struct rb_command *command, rb_net_handle handle)
{
	static const enum rb_net_close how[] = {[RB_CLOSE_ORDERLY] = RB_NET_CLOSE_BOTH,
						[RB_CLOSE_WRITE] = RB_NET_CLOSE_WRITE,
						[RB_CLOSE_ABORT] = RB_NET_CLOSE_ABORT};
	if (command->flags > RB_CLOSE_ABORT)
		return -EINVAL;
	if (command->flags == RB_CLOSE_ORDERLY && context->close_timeout_us > 0)
		return rb_net_close_within(context->net, handle, context->close_timeout_us);
	return rb_net_close(context->net, handle, how[command->flags]);
}

static int open_connection(struct core_context *context, const struct rb_command *command)
{
	struct rb_endpoint local = core_endpoint(command->connect.local);
	struct rb_endpoint remote = core_endpoint(command->connect.remote);
	rb_net_handle handle;
	if (command->flags != 0 || command->connect.remote.ip == 0 || command->connect.remote.port == 0)
		return -EINVAL;
	int result = rb_net_connect(context->net, &local, &remote, command->cookie, &handle);
	if (result == 0 && !context->nagle)
		result = rb_net_set(context->net, handle, RB_NET_OPTION_NODELAY, 1);
	return result;
}

/* CONNECTED tells the outcome, also of an attempt that never began. */
static int do_connect(struct core_context *context, const struct rb_command *command)
{
	int result = open_connection(context, command);
	if (result != 0) {
		struct rb_event *event = core_context_event(context, RB_EVENT_CONNECTED);
		event->status = result;
		event->cookie = command->cookie;
		event->connected.local = command->connect.local;
		event->connected.remote = command->connect.remote;
	}
	return 0;
}

static int do_timer(struct core_context *context, const struct rb_command *command)
{
	if (command->flags != 0)
		return -EINVAL;
	context->deadline_ns = command->timer.deadline_ns;
	context->deadline_cookie = command->cookie;
	return 0;
}

static __attribute__((noinline)) int carry_out(struct core_context *context, const struct rb_command *command)
{
	rb_net_handle handle;
	if (command->type == RB_COMMAND_TIMER)
		return do_timer(context, command);
	if (command->type == RB_COMMAND_CONNECT)
		return do_connect(context, command);
	int result = net_handle_of(context, command->handle, &handle);
	if (result != 0)
		return result;
	switch (command->type) {
	case RB_COMMAND_RECV_DONE:
		return do_recv_done(context, command, handle);
	case RB_COMMAND_ACCEPT:
		return do_accept(context, command, handle);
	case RB_COMMAND_REJECT:
		return do_reject(context, command, handle);
	case RB_COMMAND_CLOSE:
		return do_close(context, command, handle);
	default:
		return -EINVAL;
	}
}

/* Any but a SENDV without flags: as that, it would be refused, having become one meanwhile. */
static __attribute__((noinline)) void take_other(struct core_context *context, const struct rb_command *from)
{
	struct rb_command command;
	copy_in(&command, from);
	int result = carry_out(context, &command);
	if (result != 0)
		refuse(context, command.type, command.handle, command.cookie, result);
}

/* Type and flags of a command, which are next to each other. */
typedef uint32_t __attribute__((may_alias)) beginning;
RB_BUILD_ASSERT(offsetof(struct rb_command, type) == 0 && offsetof(struct rb_command, flags) == 2, "read as one");

/* Most commands are answers. */
static inline void take(struct core_context *context, const struct rb_command *from)
{
	const volatile struct rb_command *there = from;
	if (__builtin_expect(*(const volatile beginning *)from != RB_COMMAND_SENDV, 0)) {
		take_other(context, from);
		return;
	}
	rb_handle handle = there->handle;
	int result = do_sendv(context, there, handle);
	if (__builtin_expect(result != 0, 0))
		refuse(context, RB_COMMAND_SENDV, handle, there->cookie, result);
}

void core_context_execute(struct core_context *context, uint64_t count)
{
	context->places.next = (struct rb_net_event *)(void *)context->events;
	if (count > context->commands_max) {
		struct rb_event *event = core_context_event(context, RB_EVENT_ERROR);
		event->status = -EINVAL;
		event->error.count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
		return;
	}
	const struct rb_command *end = &context->commands[count];
	for (const struct rb_command *at = context->commands; at < end; at++)
		take(context, at);
}

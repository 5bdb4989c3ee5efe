// SPDX-License-Identifier: Apache-2.0
#include "tests/net/tap/work.h"

#include "base/json.h"
#include "base/random.h"
#include "tests/net/fixture.h"

static uint64_t seed_of(uint64_t seed, uint16_t port, bool from_connecting)
{
	uint64_t state = seed + UINT64_C(2) * port + from_connecting;
	return rb_splitmix64(&state);
}

void work_begin(struct work *work, uint64_t seed, uint16_t connecting_port, bool connects, uint64_t to_send,
		uint64_t to_receive)
{
	*work = (struct work){
		.send_seed = seed_of(seed, connecting_port, connects),
		.receive_seed = seed_of(seed, connecting_port, !connects),
		.to_send = to_send,
		.to_receive = to_receive,
	};
}

size_t work_fill(const struct work *work, uint8_t *bytes, size_t size)
{
	const uint64_t left = work->to_send - work->sent;
	const size_t now = left < size ? (size_t)left : size;
	fixture_fill(bytes, now, work->send_seed, work->sent);
	return now;
}

void work_sent(struct work *work, size_t bytes)
{
	work->sent += bytes;
}

void work_receive(struct work *work, const uint8_t *bytes, size_t length, uint64_t now_ns)
{
	size_t at;
	if (work->received == 0)
		work->first_ns = now_ns;
	work->last_ns = now_ns;
	if (work->ended)
		work->fault = "bytes after the end";
	else if (work->received + length > work->to_receive)
		work->fault = "more bytes than were sent";
	else if (!fixture_check(bytes, length, work->receive_seed, work->received, &at))
		work->fault = "a wrong byte";
	work->received += length;
	if (work->half_ns == 0 && work->received >= work->to_receive / 2) {
		work->half_ns = now_ns;
		work->half = work->received;
	}
}

void work_end(struct work *work)
{
	work->ended = true;
	if (work->received != work->to_receive && work->fault == NULL)
		work->fault = "the stream ended early";
}

bool work_is_done(const struct work *work)
{
	return work->ended && work->sent == work->to_send;
}

int work_report(struct rb_json *json, const struct work *work, unsigned count)
{
	uint64_t sent = 0, received = 0, first_ns = UINT64_MAX, last_ns = 0;
	unsigned done = 0;
	const char *fault = NULL;
	for (unsigned i = 0; i < count; i++) {
		sent += work[i].sent;
		received += work[i].received;
		done += work_is_done(&work[i]);
		first_ns = work[i].received > 0 && work[i].first_ns < first_ns ? work[i].first_ns : first_ns;
		last_ns = work[i].last_ns > last_ns ? work[i].last_ns : last_ns;
		fault = work[i].fault != NULL ? work[i].fault : fault;
	}
	if (fault == NULL && done < count)
		fault = "a connection did not end";
	rb_json_uint(json, "connections", count);
	rb_json_uint(json, "sent_bytes", sent);
	rb_json_uint(json, "received_bytes", received);
	rb_json_uint(json, "receiving_ns", received > 0 ? last_ns - first_ns : 0);
	if (count == 1) { /* without the beginning, which is another regime than the rest */
		rb_json_uint(json, "second_half_bytes", received - work->half);
		rb_json_uint(json, "second_half_ns", last_ns - work->half_ns);
	}
	if (fault != NULL)
		rb_json_string(json, "fault", fault);
	return fault != NULL;
}

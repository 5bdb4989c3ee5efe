// SPDX-License-Identifier: Apache-2.0

#include "load/recorder.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Range of the histograms per second: later replies count in the last bucket, their maximum stays exact. */
#define SECOND_LATENCY_MAX_NS ((UINT64_C(1) << 36) - 1U)

const char *const rb_load_error_names[] = {"connect", "reset", "timeout", "protocol", "short", "other", NULL};

static int init_histograms(struct rb_recorder *r)
{
	struct rb_histogram *const whole[] = {&r->latency, &r->lateness, &r->get, &r->set};

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		const int rc = rb_histogram_init(whole[i], RB_RECORDER_PRECISION_BITS, UINT64_MAX);
		if (rc != 0)
			return rc;
	}
	for (uint32_t i = 0; i < r->seconds_count; i++) {
		const int rc =
			rb_histogram_init(&r->seconds[i].latency, RB_RECORDER_PRECISION_BITS, SECOND_LATENCY_MAX_NS);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int rb_recorder_init(struct rb_recorder *r, const struct rb_recorder_config *config)
{
	memset(r, 0, sizeof(*r));
	if (config->duration_ns == 0)
		return -EINVAL;
	r->config = *config;
	r->seconds_count = (uint32_t)((config->duration_ns + RB_NS_PER_S - 1U) / RB_NS_PER_S);
	r->seconds = calloc(r->seconds_count, sizeof(*r->seconds));
	const int rc = r->seconds == NULL ? -ENOMEM : init_histograms(r);
	if (rc != 0)
		rb_recorder_free(r);
	return rc;
}

void rb_recorder_free(struct rb_recorder *r)
{
	for (uint32_t i = 0; r->seconds != NULL && i < r->seconds_count; i++)
		rb_histogram_free(&r->seconds[i].latency);
	free(r->seconds);
	rb_histogram_free(&r->latency);
	rb_histogram_free(&r->lateness);
	rb_histogram_free(&r->get);
	rb_histogram_free(&r->set);
	memset(r, 0, sizeof(*r));
}

void rb_recorder_start(struct rb_recorder *r, uint64_t start_ns)
{
	r->start_ns = start_ns;
	r->measured_ns = r->config.duration_ns;
}

/* The second of a time inside the window. */
static struct rb_load_second *second_of(struct rb_recorder *r, uint64_t time_ns)
{
	return &r->seconds[(time_ns - r->start_ns) / RB_NS_PER_S];
}

void rb_recorder_handed(struct rb_recorder *r, uint64_t intended_ns, uint64_t now_ns)
{
	if (!rb_recorder_measures(r, intended_ns))
		return;
	const uint64_t lateness_ns = now_ns > intended_ns ? now_ns - intended_ns : 0;
	r->counters.scheduled++;
	rb_histogram_record(&r->lateness, lateness_ns);
	if (lateness_ns > r->config.late_after_ns) {
		r->counters.late++;
		second_of(r, intended_ns)->late++;
	} else {
		r->counters.on_time++;
	}
}

void rb_recorder_sent(struct rb_recorder *r, uint64_t intended_ns, uint32_t bytes)
{
	if (!rb_recorder_measures(r, intended_ns))
		return;
	r->counters.sent++;
	r->counters.bytes_sent += bytes;
	second_of(r, intended_ns)->sent++;
}

void rb_recorder_received(struct rb_recorder *r, uint64_t intended_ns, uint64_t bytes)
{
	if (rb_recorder_measures(r, intended_ns))
		r->counters.bytes_received += bytes;
}

static void record_latency(struct rb_recorder *r, uint64_t intended_ns, uint64_t now_ns, enum rb_operation operation)
{
	const uint64_t latency_ns = now_ns > intended_ns ? now_ns - intended_ns : 0;
	const uint32_t bucket = rb_histogram_index(RB_RECORDER_PRECISION_BITS, latency_ns); /* of all of them */

	rb_histogram_record_at(&r->latency, bucket, latency_ns);
	rb_histogram_record_at(&second_of(r, intended_ns)->latency, bucket, latency_ns);
	if (operation == RB_OPERATION_GET)
		rb_histogram_record_at(&r->get, bucket, latency_ns);
	else if (operation == RB_OPERATION_SET)
		rb_histogram_record_at(&r->set, bucket, latency_ns);
}

static void count_outcome(struct rb_load_counters *c, enum rb_operation operation, enum rb_reply_status status)
{
	if (operation == RB_OPERATION_SET)
		c->stored++;
	else if (operation == RB_OPERATION_GET)
		(*(status == RB_REPLY_MISS ? &c->misses : &c->hits))++;
}

void rb_recorder_reply(struct rb_recorder *r, uint64_t intended_ns, uint64_t now_ns, enum rb_operation operation,
		       enum rb_reply_status status)
{
	if (status == RB_REPLY_REFUSED) {
		r->counters.refused += rb_recorder_measures(r, intended_ns) ? 1U : 0U;
		rb_recorder_error(r, intended_ns, RB_LOAD_ERROR_OTHER);
		return;
	}
	if (rb_recorder_measures(r, now_ns)) {
		r->counters.completed_in_window++;
		second_of(r, now_ns)->completed++;
	}
	if (!rb_recorder_measures(r, intended_ns))
		return;
	r->counters.completed++;
	count_outcome(&r->counters, operation, status);
	record_latency(r, intended_ns, now_ns, operation);
}

void rb_recorder_error(struct rb_recorder *r, uint64_t intended_ns, enum rb_load_error error)
{
	if (rb_recorder_measures(r, intended_ns))
		r->counters.errors[error]++;
	else
		r->counters.errors_unmeasured++;
}

void rb_recorder_timeout(struct rb_recorder *r, uint64_t intended_ns, uint64_t now_ns, enum rb_operation operation)
{
	if (!rb_recorder_measures(r, intended_ns)) {
		r->counters.errors_unmeasured++;
		return;
	}
	r->counters.errors[RB_LOAD_ERROR_TIMEOUT]++;
	record_latency(r, intended_ns, now_ns, operation);
}

void rb_recorder_unfinished(struct rb_recorder *r, uint64_t intended_ns)
{
	if (rb_recorder_measures(r, intended_ns))
		r->counters.unfinished++;
}

/* The counters are all uint64_t: added as one array. */
static void add_counters(struct rb_load_counters *into, const struct rb_load_counters *from)
{
	uint64_t sum[sizeof(*into) / sizeof(uint64_t)];
	uint64_t add[sizeof(*into) / sizeof(uint64_t)];

	memcpy(sum, into, sizeof(sum));
	memcpy(add, from, sizeof(add));
	for (size_t i = 0; i < sizeof(sum) / sizeof(sum[0]); i++)
		sum[i] += add[i];
	memcpy(into, sum, sizeof(sum));
}

int rb_recorder_merge(struct rb_recorder *into, const struct rb_recorder *from)
{
	if (into->seconds_count != from->seconds_count)
		return -EINVAL;
	add_counters(&into->counters, &from->counters);
	int rc = rb_histogram_merge(&into->latency, &from->latency);
	rc = rc != 0 ? rc : rb_histogram_merge(&into->lateness, &from->lateness);
	rc = rc != 0 ? rc : rb_histogram_merge(&into->get, &from->get);
	rc = rc != 0 ? rc : rb_histogram_merge(&into->set, &from->set);
	for (uint32_t i = 0; rc == 0 && i < from->seconds_count; i++) {
		into->seconds[i].sent += from->seconds[i].sent;
		into->seconds[i].late += from->seconds[i].late;
		into->seconds[i].completed += from->seconds[i].completed;
		rc = rb_histogram_merge(&into->seconds[i].latency, &from->seconds[i].latency);
	}
	return rc;
}

// SPDX-License-Identifier: Apache-2.0

#include "load/result.h"

#include "base/clock.h"
#include "user/backend.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char latency_policy[] =
	"reply time minus intended send time of every measured request; a request without a reply at the end of the "
	"run-down counts with its age at that time; requests ended by another error are not included";

int rb_result_init(struct rb_result *result, const struct rb_load_config *config)
{
	const struct rb_recorder_config recorder = {.duration_ns = config->duration_ns,
						    .late_after_ns = config->late_after_ns,
						    .operations = rb_load_is_memcached(config)};

	memset(result, 0, sizeof(*result));
	result->config = config;
	result->fill_complete = true;
	return rb_recorder_init(&result->total, &recorder);
}

void rb_result_free(struct rb_result *result)
{
	rb_recorder_free(&result->total);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void rb_result_add(struct rb_result *result, const struct rb_worker *worker, uint64_t cpu_ns)
{
	struct rb_result_thread *thread = &result->threads[worker->config.thread];

	/* Cannot fail: both were made from the same configuration. */
	(void)rb_recorder_merge(&result->total, &worker->recorder);
	thread->connections = worker->config.pool.connections;
	thread->cpu_ns = cpu_ns;
	thread->stats = *rb_context_stats(worker->context);
	result->get_share = worker->config.protocol->kv.get_share;
	result->requests_total += worker->requests_total;
	result->open_ns = larger(result->open_ns, worker->open_ns);
	result->fill_ns = larger(result->fill_ns, worker->fill_ns);
	result->open_at_start += worker->open_at_start;
	result->queue_peak = (uint32_t)larger(result->queue_peak, worker->queue_peak);
	if (worker->config.fill && !worker->fill_complete)
		result->fill_complete = false;
	if (worker->schedule.exhausted)
		result->trace_exhausted = true;
	if (result->failure == 0)
		result->failure = worker->failure;
}

__attribute__((format(printf, 2, 3))) static void add_reason(struct rb_result *result, const char *format, ...)
{
	va_list arguments;

	if (result->reasons_count == RB_RESULT_REASONS_MAX)
		return;
	va_start(arguments, format);
	(void)vsnprintf(result->reasons[result->reasons_count++], RB_RESULT_REASON_BYTES, format, arguments);
	va_end(arguments);
}

static double share_on_time(const struct rb_load_counters *c)
{
	const uint64_t all = c->on_time + c->late;

	return all == 0 ? 0.0 : (double)c->on_time / (double)all;
}

/* What kept the run from taking place as ordered. */
static void judge_course(struct rb_result *result)
{
	const struct rb_load_config *config = result->config;
	const struct rb_load_counters *c = &result->total.counters;

	if (result->signal != 0)
		add_reason(result, "interrupted by signal %d (%s)", result->signal, strsignal(result->signal));
	if (result->failure != 0)
		add_reason(result, "the network back-end failed: %s", strerror(-result->failure));
	if (result->signal != 0 || result->failure != 0)
		return;
	if (result->open_at_start < config->connections)
		add_reason(result,
			   "only %" PRIu32 " of %" PRIu64 " connections could be opened within %.3f s (%" PRIu64
			   " attempts failed)",
			   result->open_at_start, config->connections, (double)config->connect_timeout_ns / 1e9,
			   c->errors[RB_LOAD_ERROR_CONNECT]);
	if (!result->fill_complete && result->open_at_start > 0)
		add_reason(result, "storing the keys was not finished within %.3f s: %" PRIu64 " of %" PRIu64 " done",
			   (double)config->fill_timeout_ns / 1e9, c->filled, config->keys);
	else if (c->fill_failed > 0)
		add_reason(result, "%" PRIu64 " of %" PRIu64 " keys could not be stored", c->fill_failed, config->keys);
	if (result->trace_exhausted)
		add_reason(
			result,
			"the trace ended before the measured window did (--trace-period tells how long a trace lasts)");
}

/* What makes its figures no measurement of the server. */
static void judge_figures(struct rb_result *result)
{
	const struct rb_load_config *config = result->config;
	const struct rb_load_counters *c = &result->total.counters;

	if (c->scheduled > 0 && share_on_time(c) < config->min_on_time)
		add_reason(result,
			   "the generator was late: %.4f of %" PRIu64 " requests were handed over within %" PRIu64
			   " ns of their intended time, at least %.4f are required (largest lateness %" PRIu64 " ns)",
			   share_on_time(c), c->scheduled, config->late_after_ns, config->min_on_time,
			   result->total.lateness.max);
	if (c->overflow > 0)
		add_reason(result,
			   "%" PRIu64 " requests were dropped: %" PRIu64
			   " waited for a connection with room already (queue limit)",
			   c->overflow, config->queue_limit);
	if (c->errors[RB_LOAD_ERROR_PROTOCOL] > 0)
		add_reason(result, "%" PRIu64 " replies were not what was expected, or stood behind such a reply",
			   c->errors[RB_LOAD_ERROR_PROTOCOL]);
	if (c->completed == 0)
		add_reason(result, "no request of the measured window was answered (%" PRIu64 " were due)",
			   c->scheduled);
}

void rb_result_judge(struct rb_result *result)
{
	result->reasons_count = 0;
	judge_course(result);
	judge_figures(result);
}

/* ---- the document ---- */

static void write_percentiles(struct rb_json *json, const struct rb_histogram *h)
{
	static const struct {
		const char *name;
		double quantile;
	} percentiles[] = {{"50", 0.5}, {"90", 0.9}, {"95", 0.95}, {"99", 0.99}, {"99.9", 0.999}, {"99.99", 0.9999}};

	rb_json_object_begin(json, "percentiles");
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		rb_json_uint(json, percentiles[i].name, rb_histogram_quantile(h, percentiles[i].quantile));
	rb_json_object_end(json);
}

static void write_histogram(struct rb_json *json, const char *key, const struct rb_histogram *h)
{
	rb_json_object_begin(json, key);
	rb_json_string(json, "unit", "ns");
	rb_json_uint(json, "precision_bits", h->precision_bits);
	rb_json_uint(json, "count", h->count);
	rb_json_uint(json, "min", h->count == 0 ? 0 : h->min);
	rb_json_uint(json, "max", h->max);
	rb_json_real(json, "mean", rb_histogram_mean(h));
	rb_json_uint(json, "sum", h->sum);
	rb_json_array_begin(json, "buckets");
	for (uint32_t i = 0; i < h->buckets; i++) {
		if (h->counts[i] == 0)
			continue;
		rb_json_array_begin(json, NULL);
		rb_json_uint(json, NULL, i);
		rb_json_uint(json, NULL, h->counts[i]);
		rb_json_array_end(json);
	}
	rb_json_array_end(json);
	write_percentiles(json, h);
	rb_json_object_end(json);
}

static void write_asked(struct rb_json *json, const struct rb_load_config *c)
{
	static const char *const arrivals[] = {"poisson", "fixed", "trace"};
	const bool closed = c->mode == RB_LOAD_CLOSED;

	rb_json_string(json, "mode", closed ? "closed" : "open");
	rb_json_string(json, "arrival", closed ? "closed" : arrivals[c->arrival]);
	rb_json_string(json, "protocol", rb_protocol_names[c->protocol]);
	rb_json_string(json, "transport", c->transport == RB_LOAD_UDP ? "udp" : "tcp");
	if (c->transport == RB_LOAD_UDP)
		rb_json_uint(json, "reply_timeout_ns", c->reply_timeout_ns);
	rb_json_uint(json, "seed", c->seed);
	rb_json_uint(json, "threads", c->threads);
	rb_json_uint(json, "connections", c->connections);
	rb_json_uint(json, "rpcs_per_connection", c->rpcs_per_connection);
	rb_json_uint(json, "depth", c->depth);
	if (c->users > 0)
		rb_json_uint(json, "users", c->users);
	rb_json_uint(json, "message_bytes", rb_load_is_memcached(c) ? 0 : c->message_bytes);
	rb_json_real(json, "offered_rps", rb_load_offered_rps(c));
	rb_json_uint(json, "warmup_ns", c->warmup_ns);
	rb_json_uint(json, "duration_ns", c->duration_ns);
	rb_json_uint(json, "rundown_ns", c->rundown_ns);
	if (closed) {
		rb_json_uint(json, "think_ns", c->think_ns);
		rb_json_string(json, "think_distribution", rb_think_names[c->think]);
	}
}

static void write_counts(struct rb_json *json, const struct rb_result *result)
{
	const struct rb_load_counters *c = &result->total.counters;

	rb_json_uint(json, "scheduled", c->scheduled);
	rb_json_uint(json, "sent", c->sent);
	rb_json_uint(json, "completed", c->completed);
	rb_json_uint(json, "completed_in_window", c->completed_in_window);
	rb_json_real(json, "achieved_rps",
		     (double)c->completed_in_window / ((double)result->config->duration_ns / (double)RB_NS_PER_S));
	rb_json_uint(json, "unfinished", c->unfinished);
	rb_json_uint(json, "requests_total", result->requests_total);
	rb_json_uint(json, "bytes_sent", c->bytes_sent);
	rb_json_uint(json, "bytes_received", c->bytes_received);
}

static void write_adherence(struct rb_json *json, const struct rb_result *result)
{
	const struct rb_load_counters *c = &result->total.counters;

	rb_json_object_begin(json, "adherence");
	rb_json_uint(json, "late_after_ns", result->config->late_after_ns);
	rb_json_real(json, "min_on_time", result->config->min_on_time);
	rb_json_uint(json, "on_time", c->on_time);
	rb_json_uint(json, "late", c->late);
	rb_json_real(json, "share", share_on_time(c));
	rb_json_uint(json, "max_lateness_ns", result->total.lateness.max);
	write_histogram(json, "histogram", &result->total.lateness);
	rb_json_object_end(json);
}

static void write_validity(struct rb_json *json, const struct rb_result *result)
{
	const struct rb_load_counters *c = &result->total.counters;

	rb_json_bool(json, "valid", rb_result_valid(result));
	rb_json_array_begin(json, "reasons");
	for (unsigned i = 0; i < result->reasons_count; i++)
		rb_json_string(json, NULL, result->reasons[i]);
	rb_json_array_end(json);
	rb_json_object_begin(json, "errors");
	for (unsigned i = 0; i < RB_LOAD_ERRORS; i++)
		rb_json_uint(json, rb_load_error_names[i], c->errors[i]);
	rb_json_object_end(json);
	rb_json_uint(json, "errors_unmeasured", c->errors_unmeasured);
}

static void write_memcached(struct rb_json *json, const struct rb_result *result)
{
	const struct rb_load_config *config = result->config;
	const struct rb_load_counters *c = &result->total.counters;

	rb_json_object_begin(json, "per_operation");
	write_histogram(json, "get", &result->total.get);
	write_histogram(json, "set", &result->total.set);
	rb_json_object_end(json);
	rb_json_object_begin(json, "memcached");
	rb_json_string(json, "workload", rb_kv_profile_names[config->workload]);
	rb_json_uint(json, "keys", config->keys);
	rb_json_string(json, "popularity", rb_kv_popularity_names[config->popularity]);
	if (config->popularity == RB_KV_ZIPF)
		rb_json_real(json, "zipf_exponent", config->zipf_exponent);
	rb_json_real(json, "get_share", result->get_share);
	rb_json_uint(json, "hits", c->hits);
	rb_json_uint(json, "misses", c->misses);
	rb_json_uint(json, "stored", c->stored);
	rb_json_uint(json, "refused", c->refused);
	rb_json_uint(json, "filled", c->filled);
	rb_json_uint(json, "fill_failed", c->fill_failed);
	rb_json_object_end(json);
}

static void write_service_time(struct rb_json *json, const struct rb_load_config *config)
{
	const struct rb_protocol_config protocol = rb_load_protocol_config(config);

	rb_json_object_begin(json, "service_time");
	rb_json_string(json, "distribution", rb_service_time_names[config->service_distribution]);
	rb_json_uint(json, "mean_ns", config->service_mean_ns);
	if (config->service_distribution == RB_SERVICE_LOGNORMAL)
		rb_json_real(json, "sigma", config->service_sigma);
	rb_json_real(json, "scv", rb_service_time_scv(&protocol.service_time));
	rb_json_object_end(json);
}

static void write_series(struct rb_json *json, const struct rb_recorder *total)
{
	rb_json_array_begin(json, "series");
	for (uint32_t i = 0; i < total->seconds_count; i++) {
		const struct rb_load_second *second = &total->seconds[i];

		rb_json_object_begin(json, NULL);
		rb_json_uint(json, "second", i);
		rb_json_uint(json, "sent", second->sent);
		rb_json_uint(json, "completed", second->completed);
		rb_json_uint(json, "late", second->late);
		rb_json_uint(json, "p50_ns", rb_histogram_quantile(&second->latency, 0.5));
		rb_json_uint(json, "p99_ns", rb_histogram_quantile(&second->latency, 0.99));
		rb_json_uint(json, "max_ns", second->latency.max);
		rb_json_object_end(json);
	}
	rb_json_array_end(json);
}

static void write_course(struct rb_json *json, const struct rb_result *result)
{
	const struct rb_load_counters *c = &result->total.counters;

	rb_json_object_begin(json, "queue");
	rb_json_uint(json, "limit", result->config->queue_limit);
	rb_json_uint(json, "peak", result->queue_peak);
	rb_json_uint(json, "dropped", c->overflow);
	rb_json_object_end(json);
	rb_json_object_begin(json, "connection_events");
	rb_json_uint(json, "opened", c->connections_opened);
	rb_json_uint(json, "closed", c->connections_closed);
	rb_json_uint(json, "lost", c->connections_lost);
	rb_json_uint(json, "aborted", c->connections_aborted);
	rb_json_object_end(json);
	rb_json_object_begin(json, "phases");
	rb_json_uint(json, "open_ns", result->open_ns);
	rb_json_uint(json, "fill_ns", result->fill_ns);
	rb_json_object_end(json);
}

static void write_thread(struct rb_json *json, const struct rb_result *result, unsigned index)
{
	const struct rb_result_thread *thread = &result->threads[index];
	const char *const *names = result->config->backend->syscall_names;

	rb_json_object_begin(json, NULL);
	rb_json_uint(json, "index", index);
	rb_json_uint(json, "connections", thread->connections);
	rb_json_uint(json, "cpu_ns", thread->cpu_ns);
	rb_json_uint(json, "polls", thread->stats.polls);
	rb_json_uint(json, "empty_polls", thread->stats.empty_polls);
	rb_json_object_begin(json, "syscalls");
	for (unsigned i = 0; names != NULL && i < RB_SYSCALLS_MAX && names[i] != NULL; i++)
		rb_json_uint(json, names[i], thread->stats.syscalls[i]);
	rb_json_object_end(json);
	rb_json_object_end(json);
}

static void write_generator(struct rb_json *json, const struct rb_result *result)
{
	const struct rb_load_config *config = result->config;

	rb_json_object_begin(json, "generator");
	rb_json_string(json, "backend", config->backend->name);
	rb_json_string(json, "timing", config->poll ? "poll" : config->poll_before_ns > 0 ? "hybrid" : "sleep");
	rb_json_uint(json, "poll_before_ns", config->poll ? 0 : config->poll_before_ns);
	rb_json_array_begin(json, "threads");
	for (unsigned i = 0; i < config->threads; i++)
		write_thread(json, result, i);
	rb_json_array_end(json);
	rb_json_object_end(json);
}

void rb_result_write(struct rb_json *json, void *arg)
{
	const struct rb_result *result = arg;

	rb_json_object_begin(json, NULL);
	rb_json_uint(json, "schema", 1);
	write_asked(json, result->config);
	write_counts(json, result);
	write_adherence(json, result);
	write_validity(json, result);
	write_histogram(json, "latency", &result->total.latency);
	rb_json_string(json, "latency_policy", latency_policy);
	if (rb_load_is_memcached(result->config))
		write_memcached(json, result);
	if (result->config->protocol == RB_PROTOCOL_SPIN)
		write_service_time(json, result->config);
	write_series(json, &result->total);
	write_course(json, result);
	write_generator(json, result);
	rb_json_object_end(json);
}

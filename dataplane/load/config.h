// SPDX-License-Identifier: Apache-2.0
/*
 * The load generator's configuration: one table of options, checks that concern more than one option, and what each
 * thread gets of it.
 */
#pragma once

#include "base/options.h"
#include "load/trace.h"
#include "load/worker.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { RB_LOAD_THREADS_MAX = 64 };

enum rb_load_mode { RB_LOAD_OPEN, RB_LOAD_CLOSED };
enum rb_load_transport { RB_LOAD_TCP, RB_LOAD_UDP };

struct rb_load_config {
	/* as given */
	struct rb_address target;
	uint64_t target_ports;
	struct rb_address_list sources;
	unsigned protocol; /* enum rb_protocol_kind */
	unsigned mode;	   /* enum rb_load_mode */
	unsigned arrival;  /* enum rb_arrival_kind */
	double rate_rps;
	const char *trace_path;
	uint64_t trace_period_ns;
	uint64_t think_ns;
	unsigned think; /* enum rb_think_kind */
	uint64_t threads, connections, depth, users, rpcs_per_connection, message_bytes;
	unsigned transport; /* enum rb_load_transport */
	uint64_t reply_timeout_ns;
	struct rb_cpu_list cpus;
	uint64_t connect_rate;
	uint64_t connect_timeout_ns, warmup_ns, duration_ns, rundown_ns;
	uint64_t late_after_ns;
	double min_on_time;
	uint64_t queue_limit;
	unsigned service_distribution; /* enum rb_service_kind */
	uint64_t service_mean_ns;
	double service_sigma;
	unsigned workload; /* enum rb_kv_profile */
	uint64_t keys, key_bytes, value_bytes;
	unsigned popularity; /* enum rb_kv_popularity */
	double zipf_exponent, get_share;
	bool fill;
	uint64_t fill_timeout_ns;
	bool poll;
	uint64_t poll_before_ns;
	const char *backend_name;
	uint64_t seed;
	const char *output;
	bool verbose;
	/* derived */
	const struct rb_backend *backend;
	struct rb_trace trace; /* owned */
};

extern const struct rb_option_table rb_load_options;

/*
 * Reads argv into *config and checks it, a trace included. Returns RB_OPTIONS_OK, _HELP (printed on out) or _ERROR
 * (printed on err). After RB_OPTIONS_OK free with rb_load_config_free.
 */
enum rb_options_outcome rb_load_config_parse(struct rb_load_config *config, int argc, char **argv, FILE *out,
					     FILE *err);
void rb_load_config_free(struct rb_load_config *config);

/* The protocol's part of the configuration. */
struct rb_protocol_config rb_load_protocol_config(const struct rb_load_config *config);

bool rb_load_is_memcached(const struct rb_load_config *config);

/* What thread number `thread` is to do; `protocol` and `run` are shared by all. */
struct rb_worker_config rb_load_worker_config(const struct rb_load_config *config, const struct rb_protocol *protocol,
					      struct rb_run *run, unsigned thread);

/*
 * The rate that the schedule offers in the measured window, requests per second; 0 in a closed loop, where the replies
 * decide. For a trace it is counted in the trace.
 */
double rb_load_offered_rps(const struct rb_load_config *config);

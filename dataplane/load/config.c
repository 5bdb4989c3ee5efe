// SPDX-License-Identifier: Apache-2.0

#include "load/config.h"

#include "apps/spin_protocol.h"
#include "user/backend.h"

#include <stddef.h>
#include <string.h>

static const char *const mode_names[] = {"open", "closed", NULL};
static const char *const transport_names[] = {"tcp", "udp", NULL};
static const char *const arrival_names[] = {"poisson", "fixed", "trace", NULL};

/* Room per connection while keys are stored; more than the measured depth may be, so that filling is not bound by round
 * trips. */
enum { FILL_RING = 16 };

#define RETRY_NS  (10U * RB_NS_PER_MS)
#define HOUR_NS	  (3600U * RB_NS_PER_S)
#define FIELD(f)  offsetof(struct rb_load_config, f)
#define RATE_MAX  1e8
#define KEYS_MAX  UINT64_C(10000000000)
#define DEPTH_MAX 4096
/* What fits into one Ethernet frame behind the headers of IPv4 and UDP: fragments are not made. */
#define DATAGRAM_MAX 1472

static const struct rb_option options[] = {
	{.name = "target", .type = RB_OPTION_ENDPOINT, .offset = FIELD(target), .required = 1, .help = "server"},
	{.name = "target-ports",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(target_ports),
	 .default_value = "1",
	 .min = 1,
	 .max = UINT16_MAX,
	 .help = "connect to so many ports from the target's on, in turn: to each, an address has no more than 64 k ports"},
	{.name = "protocol",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(protocol),
	 .default_value = "echo",
	 .choices = rb_protocol_names,
	 .help = "what requests look like"},
	{.name = "transport",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(transport),
	 .default_value = "tcp",
	 .choices = transport_names,
	 .help = "tcp, or udp: a request and its reply are a datagram each, a connection is a socket (echo and spin)"},
	{.name = "reply-timeout",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(reply_timeout_ns),
	 .default_value = "1s",
	 .min = RB_NS_PER_MS / 10,
	 .max = HOUR_NS,
	 .help = "udp: a request without a reply after this time is lost (a timeout), and its socket replaced"},
	{.name = "mode",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(mode),
	 .default_value = "open",
	 .choices = mode_names,
	 .help = "open: arrivals do not wait for replies; closed: each of --users has one request outstanding"},
	{.name = "arrival",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(arrival),
	 .default_value = "poisson",
	 .choices = arrival_names,
	 .help = "open loop: arrival process"},
	{.name = "rate",
	 .type = RB_OPTION_REAL,
	 .offset = FIELD(rate_rps),
	 .unit = "requests/s",
	 .real_min = 0.001,
	 .real_max = RATE_MAX,
	 .default_value = "1000",
	 .help = "open loop: offered rate of all threads together"},
	{.name = "trace",
	 .type = RB_OPTION_STRING,
	 .offset = FIELD(trace_path),
	 .unit = "file",
	 .help = "arrival trace: lines '<time in ns>' or '<time in ns> <count>'"},
	{.name = "trace-period",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(trace_period_ns),
	 .default_value = "0",
	 .help = "start the trace anew after this time; 0: play it once"},
	{.name = "think-time",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(think_ns),
	 .default_value = "0",
	 .max = HOUR_NS,
	 .help = "closed loop: mean time from a reply to the next request"},
	{.name = "think-distribution",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(think),
	 .default_value = "exponential",
	 .choices = rb_think_names,
	 .help = "closed loop: distribution of the think time"},
	{.name = "threads",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(threads),
	 .default_value = "1",
	 .min = 1,
	 .max = RB_LOAD_THREADS_MAX,
	 .help = "threads, each with its own connections and arrivals"},
	{.name = "cpus",
	 .type = RB_OPTION_CPUS,
	 .offset = FIELD(cpus),
	 .help = "pin thread i to the i-th of these CPUs"},
	{.name = "connections",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(connections),
	 .default_value = "16",
	 .min = 1,
	 .max = RB_CONNECTIONS_PER_GROUP_MAX / 2,
	 .help = "connections of all threads together"},
	{.name = "depth",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(depth),
	 .default_value = "1",
	 .min = 1,
	 .max = DEPTH_MAX,
	 .help = "most requests outstanding on a connection (pipelining)"},
	{.name = "users",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(users),
	 .default_value = "0",
	 .max = UINT32_MAX,
	 .help = "closed loop: requests outstanding on all connections together, which take turns; 0: depth on each"},
	{.name = "rpcs-per-connection",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(rpcs_per_connection),
	 .default_value = "0",
	 .help = "requests after which a connection is closed (FIN) and replaced; 0: never"},
	{.name = "message-bytes",
	 .type = RB_OPTION_SIZE,
	 .offset = FIELD(message_bytes),
	 .default_value = "64",
	 .min = 1,
	 .max = RB_MESSAGE_MAX,
	 .unit = "bytes",
	 .help = "echo, spin: size of request and reply"},
	{.name = "source",
	 .type = RB_OPTION_ADDRESSES,
	 .offset = FIELD(sources),
	 .help = "client addresses, ranges or networks, taken in turn by the connections; each gives some 28000 ports"},
	{.name = "connect-rate",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(connect_rate),
	 .default_value = "2000",
	 .min = 1,
	 .max = 10000000,
	 .unit = "connections/s",
	 .help = "pace of the first openings, all threads together"},
	{.name = "connect-timeout",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(connect_timeout_ns),
	 .default_value = "10s",
	 .min = RB_NS_PER_MS,
	 .max = HOUR_NS,
	 .help = "time for all connections to come up"},
	{.name = "warmup",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(warmup_ns),
	 .default_value = "1s",
	 .max = HOUR_NS,
	 .help = "load before the measured window"},
	{.name = "duration",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(duration_ns),
	 .default_value = "5s",
	 .min = RB_NS_PER_MS,
	 .max = HOUR_NS,
	 .help = "measured window"},
	{.name = "rundown",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(rundown_ns),
	 .default_value = "2s",
	 .max = HOUR_NS,
	 .help = "time for outstanding replies after the window; what is missing then is a timeout"},
	{.name = "late-after",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(late_after_ns),
	 .default_value = "1ms",
	 .max = HOUR_NS,
	 .help = "a request handed over later than this after its intended time is late"},
	{.name = "min-on-time",
	 .type = RB_OPTION_REAL,
	 .offset = FIELD(min_on_time),
	 .default_value = "0.99",
	 .real_min = 0.0,
	 .real_max = 1.0,
	 .help = "least share of requests on time; below it the point is invalid"},
	{.name = "queue-limit",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(queue_limit),
	 .default_value = "1000000",
	 .min = 64,
	 .max = 100000000,
	 .help = "requests per thread that may wait for a connection with room"},
	{.name = "service-distribution",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(service_distribution),
	 .default_value = "fixed",
	 .choices = rb_service_time_names,
	 .help = "spin: distribution of the service time"},
	{.name = "service-mean",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(service_mean_ns),
	 .default_value = "10us",
	 .max = RB_SPIN_SERVICE_MAX_NS,
	 .help = "spin: mean service time"},
	{.name = "service-sigma",
	 .type = RB_OPTION_REAL,
	 .offset = FIELD(service_sigma),
	 .default_value = "1",
	 .real_min = 0.0,
	 .real_max = 5.0,
	 .help = "spin: sigma of the lognormal distribution"},
	{.name = "workload",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(workload),
	 .default_value = "etc",
	 .choices = rb_kv_profile_names,
	 .help = "memcached: key and value sizes, GET share (Atikoglu et al. 2012, or fixed)"},
	{.name = "keys",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(keys),
	 .default_value = "100000",
	 .min = 1,
	 .max = KEYS_MAX,
	 .help = "memcached: number of keys"},
	{.name = "popularity",
	 .type = RB_OPTION_CHOICE,
	 .offset = FIELD(popularity),
	 .default_value = "uniform",
	 .choices = rb_kv_popularity_names,
	 .help = "memcached: how often each key is asked for"},
	{.name = "zipf-exponent",
	 .type = RB_OPTION_REAL,
	 .offset = FIELD(zipf_exponent),
	 .default_value = "0.99",
	 .real_min = 0.01,
	 .real_max = 10.0,
	 .help = "memcached: exponent of --popularity=zipf"},
	{.name = "key-bytes",
	 .type = RB_OPTION_SIZE,
	 .offset = FIELD(key_bytes),
	 .default_value = "30",
	 .min = 1,
	 .max = RB_KV_KEY_MAX,
	 .unit = "bytes",
	 .help = "memcached: key size of --workload=fixed"},
	{.name = "value-bytes",
	 .type = RB_OPTION_SIZE,
	 .offset = FIELD(value_bytes),
	 .default_value = "200",
	 .min = 0,
	 .max = RB_KV_VALUE_MAX,
	 .unit = "bytes",
	 .help = "memcached: value size of --workload=fixed"},
	{.name = "get-share",
	 .type = RB_OPTION_REAL,
	 .offset = FIELD(get_share),
	 .default_value = "-1",
	 .real_min = -1.0,
	 .real_max = 1.0,
	 .help = "memcached: share of GETs, 0 to 1; negative: the workload's own (etc 30/31, usr 0.998, fixed 1)"},
	{.name = "fill",
	 .type = RB_OPTION_FLAG,
	 .offset = FIELD(fill),
	 .default_value = "yes",
	 .help = "memcached: store all keys before the warm-up"},
	{.name = "fill-timeout",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(fill_timeout_ns),
	 .default_value = "120s",
	 .min = RB_NS_PER_MS,
	 .max = HOUR_NS,
	 .help = "memcached: time for storing all keys"},
	{.name = "poll",
	 .type = RB_OPTION_FLAG,
	 .offset = FIELD(poll),
	 .help = "never sleep: best precision, takes a whole CPU per thread"},
	{.name = "poll-before",
	 .type = RB_OPTION_DURATION,
	 .offset = FIELD(poll_before_ns),
	 .default_value = "0",
	 .max = RB_NS_PER_S,
	 .help = "sleep, but poll when the next request is nearer than this"},
	{.name = "backend",
	 .type = RB_OPTION_STRING,
	 .offset = FIELD(backend_name),
	 .help = "network stack; default: epoll"},
	{.name = "seed",
	 .type = RB_OPTION_UINT,
	 .offset = FIELD(seed),
	 .default_value = "1",
	 .help = "of all random numbers; threads use separate streams of it"},
	{.name = "output",
	 .type = RB_OPTION_STRING,
	 .offset = FIELD(output),
	 .unit = "file",
	 .help = "where the result goes, written in one piece; default: standard output"},
	{.name = "verbose",
	 .type = RB_OPTION_FLAG,
	 .offset = FIELD(verbose),
	 .help = "a progress line per second (also -v)"},
};

const struct rb_option_table rb_load_options = {
	.program = "rbload",
	.summary = "Drives a server with requests and measures their latency from the intended send time.",
	.example = "rbload --target=10.0.0.2:7000 --rate=20000 --connections=64 --duration=10s --output=load.json",
	.options = options,
	.count = sizeof(options) / sizeof(options[0]),
};

bool rb_load_is_memcached(const struct rb_load_config *c)
{
	return c->protocol == RB_PROTOCOL_MEMCACHED_TEXT || c->protocol == RB_PROTOCOL_MEMCACHED_BINARY;
}

static uint64_t digits(uint64_t n)
{
	uint64_t count = 1;

	while (n >= 10U) {
		n /= 10U;
		count++;
	}
	return count;
}

/* Conditions between options. Prints what is wrong and what would be right; false then. */
static bool check(const struct rb_load_config *c, FILE *err)
{
	const uint64_t pieces =
		2U * c->connections * (c->depth > FILL_RING ? c->depth : FILL_RING) * RB_REQUEST_PIECES_MAX;

	if (c->connections < c->threads)
		fprintf(err, "rbload: --connections=%ju is fewer than --threads=%ju; each thread needs at least one\n",
			(uintmax_t)c->connections, (uintmax_t)c->threads);
	else if (c->users > 0 && c->mode != RB_LOAD_CLOSED)
		fprintf(err, "rbload: --users needs --mode=closed\n");
	else if (c->users > 0 && (c->users < c->threads || c->users > c->connections * c->depth))
		fprintf(err,
			"rbload: --users=%ju is not right for %ju threads and %ju connections of depth %ju; valid are %ju to "
			"%ju, and 0\n",
			(uintmax_t)c->users, (uintmax_t)c->threads, (uintmax_t)c->connections, (uintmax_t)c->depth,
			(uintmax_t)c->threads, (uintmax_t)(c->connections * c->depth));
	else if (c->target.port + c->target_ports - 1U > UINT16_MAX)
		fprintf(err, "rbload: --target-ports=%ju: there are only %d ports from %d on\n",
			(uintmax_t)c->target_ports, UINT16_MAX - c->target.port + 1, c->target.port);
	else if (c->transport == RB_LOAD_UDP && rb_load_is_memcached(c))
		fprintf(err, "rbload: --transport=udp speaks echo and spin, not %s\n", rb_protocol_names[c->protocol]);
	else if (c->transport == RB_LOAD_UDP && c->depth != 1)
		fprintf(err, "rbload: --transport=udp has one request outstanding on a connection, not --depth=%ju\n",
			(uintmax_t)c->depth);
	else if (c->transport == RB_LOAD_UDP && c->message_bytes > DATAGRAM_MAX)
		fprintf(err, "rbload: --message-bytes=%ju does not fit into a datagram; at most %d do\n",
			(uintmax_t)c->message_bytes, DATAGRAM_MAX);
	else if (pieces > INT32_MAX)
		fprintf(err,
			"rbload: --connections=%ju times --depth=%ju is too much; their product may be at most %d\n",
			(uintmax_t)c->connections, (uintmax_t)c->depth, INT32_MAX / (2 * RB_REQUEST_PIECES_MAX));
	else if (c->protocol == RB_PROTOCOL_SPIN && c->message_bytes < RB_SPIN_MESSAGE_MIN)
		fprintf(err, "rbload: --message-bytes=%ju is too small for spin; valid are %d to %d\n",
			(uintmax_t)c->message_bytes, RB_SPIN_MESSAGE_MIN, RB_MESSAGE_MAX);
	else if (rb_load_is_memcached(c) && c->workload == RB_KV_FIXED && c->key_bytes < digits(c->keys - 1U))
		fprintf(err, "rbload: --key-bytes=%ju cannot tell --keys=%ju apart; valid are %ju to %d\n",
			(uintmax_t)c->key_bytes, (uintmax_t)c->keys, (uintmax_t)digits(c->keys - 1U), RB_KV_KEY_MAX);
	else if (c->mode == RB_LOAD_OPEN && c->arrival == RB_ARRIVAL_TRACE && c->trace_path == NULL)
		fprintf(err, "rbload: --arrival=trace needs --trace=FILE\n");
	else if (c->trace_path != NULL && (c->mode != RB_LOAD_OPEN || c->arrival != RB_ARRIVAL_TRACE))
		fprintf(err, "rbload: --trace=%s has a meaning only with --mode=open --arrival=trace\n", c->trace_path);
	else
		return true;
	return false;
}

static bool find_backend(struct rb_load_config *c, FILE *err)
{
	c->backend = c->backend_name == NULL ? rb_backend_default() : rb_backend_find(c->backend_name);
	if (c->backend != NULL)
		return true;
	fprintf(err, "rbload: --backend=%s is not known; valid are:", c->backend_name);
	for (size_t i = 0; rb_backends[i] != NULL; i++)
		fprintf(err, " %s", rb_backends[i]->name);
	fprintf(err, "\n");
	return false;
}

static bool load_trace(struct rb_load_config *c, FILE *err)
{
	struct rb_trace_error error;

	if (c->trace_path == NULL)
		return true;
	if (rb_trace_load(&c->trace, c->trace_path, &error) != 0) {
		if (error.line > 0)
			fprintf(err, "rbload: --trace: %s:%zu: %s\n", c->trace_path, error.line, error.why);
		else
			fprintf(err, "rbload: --trace: %s: %s\n", c->trace_path, error.why);
		return false;
	}
	const uint64_t last_ns = c->trace.entries[c->trace.length - 1U].time_ns;
	if (c->trace_period_ns == 0 || c->trace_period_ns > last_ns)
		return true;
	fprintf(err, "rbload: --trace-period=%juns must be later than the trace's last time, %ju ns\n",
		(uintmax_t)c->trace_period_ns, (uintmax_t)last_ns);
	rb_trace_free(&c->trace);
	return false;
}

enum rb_options_outcome rb_load_config_parse(struct rb_load_config *config, int argc, char **argv, FILE *out, FILE *err)
{
	memset(config, 0, sizeof(*config));
	for (int i = 1; i < argc; i++) {
		static char verbose[] = "--verbose";

		if (strcmp(argv[i], "-v") == 0)
			argv[i] = verbose;
	}
	const enum rb_options_outcome outcome = rb_options_parse(&rb_load_options, argc, argv, config, out, err);
	if (outcome != RB_OPTIONS_OK)
		return outcome;
	if (!check(config, err) || !find_backend(config, err) || !load_trace(config, err))
		return RB_OPTIONS_ERROR;
	return RB_OPTIONS_OK;
}

void rb_load_config_free(struct rb_load_config *config)
{
	rb_trace_free(&config->trace);
}

struct rb_protocol_config rb_load_protocol_config(const struct rb_load_config *c)
{
	return (struct rb_protocol_config){
		.kind = (enum rb_protocol_kind)c->protocol,
		.message_bytes = (uint32_t)c->message_bytes,
		.service_time = {.kind = (enum rb_service_kind)c->service_distribution,
				 .mean_ns = (double)c->service_mean_ns,
				 .sigma = c->service_sigma},
		.kv = {.profile = (enum rb_kv_profile)c->workload,
		       .keys = c->keys,
		       .popularity = (enum rb_kv_popularity)c->popularity,
		       .zipf_exponent = c->zipf_exponent,
		       .fixed_key_bytes = (uint32_t)c->key_bytes,
		       .fixed_value_bytes = (uint32_t)c->value_bytes,
		       .get_share = c->get_share},
	};
}

static bool is_filling(const struct rb_load_config *c)
{
	return c->fill && rb_load_is_memcached(c);
}

/* A thread's share of so many, of which each thread gets as many as the others or one more. */
static uint32_t share_of(const struct rb_load_config *c, uint64_t count, unsigned thread)
{
	return (uint32_t)(count / c->threads + (thread < count % c->threads ? 1U : 0U));
}

static struct rb_pool_config pool_config(const struct rb_load_config *c, const struct rb_protocol *protocol,
					 unsigned thread)
{
	const uint64_t share = c->connections / c->threads;
	const uint64_t rest = c->connections % c->threads;
	const uint64_t depth = is_filling(c) && c->depth < FILL_RING ? FILL_RING : c->depth;

	return (struct rb_pool_config){
		.protocol = protocol,
		.target = c->target,
		.target_ports = (uint32_t)c->target_ports,
		.sources = c->sources.address,
		.sources_count = c->sources.count,
		.first_path = (uint32_t)(thread * share + (thread < rest ? thread : rest)),
		.connections = share_of(c, c->connections, thread),
		.ring = (uint32_t)depth,
		.open_interval_ns = RB_NS_PER_S * c->threads / c->connect_rate,
		.retry_ns = RETRY_NS,
		.rpcs_per_connection = c->rpcs_per_connection,
		.depth = (uint32_t)c->depth,
		.reply_timeout_ns = c->transport == RB_LOAD_UDP ? c->reply_timeout_ns : 0,
	};
}

struct rb_worker_config rb_load_worker_config(const struct rb_load_config *c, const struct rb_protocol *protocol,
					      struct rb_run *run, unsigned thread)
{
	return (struct rb_worker_config){
		.protocol = protocol,
		.run = run,
		.thread = thread,
		.threads = (unsigned)c->threads,
		.seed = c->seed,
		.context = {.backend = c->backend,
			    .spin_ns = c->poll ? UINT64_MAX : c->poll_before_ns,
			    .timer_slack_ns = 1,
			    .datagrams = c->transport == RB_LOAD_UDP},
		.pool = pool_config(c, protocol, thread),
		.schedule = {.closed = c->mode == RB_LOAD_CLOSED,
			     .tokens = share_of(c, c->users, thread),
			     .arrival = {.kind = (enum rb_arrival_kind)c->arrival,
					 .rate_rps = c->rate_rps,
					 .trace = c->trace_path != NULL ? &c->trace : NULL,
					 .trace_period_ns = c->trace_period_ns},
			     .think = (enum rb_think_kind)c->think,
			     .think_ns = c->think_ns},
		.recorder = {.duration_ns = c->duration_ns,
			     .late_after_ns = c->late_after_ns,
			     .operations = rb_load_is_memcached(c)},
		.open_timeout_ns = c->connect_timeout_ns,
		.fill = is_filling(c),
		.fill_timeout_ns = c->fill_timeout_ns,
		.warmup_ns = c->warmup_ns,
		.rundown_ns = c->rundown_ns,
		.queue_limit = (uint32_t)c->queue_limit,
	};
}

/* Requests of the trace that are due in [0, end), with its repetitions. */
static double trace_requests_before(const struct rb_load_config *c, uint64_t end_ns)
{
	double requests = 0;

	if (c->trace_period_ns != 0) {
		const uint64_t periods = end_ns / c->trace_period_ns;

		requests = (double)periods * (double)c->trace.total;
		end_ns %= c->trace_period_ns;
	}
	for (size_t i = 0; i < c->trace.length && c->trace.entries[i].time_ns < end_ns; i++)
		requests += (double)c->trace.entries[i].count;
	return requests;
}

double rb_load_offered_rps(const struct rb_load_config *c)
{
	if (c->mode == RB_LOAD_CLOSED)
		return 0.0;
	if (c->arrival != RB_ARRIVAL_TRACE)
		return c->rate_rps;
	return (trace_requests_before(c, c->warmup_ns + c->duration_ns) - trace_requests_before(c, c->warmup_ns)) /
	       ((double)c->duration_ns / (double)RB_NS_PER_S);
}

// SPDX-License-Identifier: Apache-2.0
/* An instance: its settings, its beginning and end, its time. */
#include "sockets/defs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, VALUE_MAX = 63 };

enum kind { KIND_U8, KIND_U16, KIND_U32, KIND_U64, KIND_BOOL, KIND_CONGESTION, KIND_IP4, KIND_IP6 };

struct setting {
	const char *name;
	enum kind kind;
	size_t offset; /* in struct rbs_config */
};

#define NET(kind, name) {#name, kind, offsetof(struct rbs_config, net.name)}
#define OWN(kind, name) {#name, kind, offsetof(struct rbs_config, name)}

static const struct setting settings_table[] = {
	OWN(KIND_U64, seed),
	OWN(KIND_U32, send_buffer),
	NET(KIND_IP4, ip4),
	NET(KIND_IP6, ip6),
	NET(KIND_U16, mtu),
	NET(KIND_U32, connections),
	NET(KIND_U32, listeners),
	NET(KIND_U32, receive_window),
	NET(KIND_U16, mss),
	NET(KIND_U16, backlog),
	NET(KIND_U32, initial_window),
	NET(KIND_U32, delayed_ack_us),
	NET(KIND_U32, rto_initial_us),
	NET(KIND_U32, rto_min_us),
	NET(KIND_U32, rto_max_us),
	NET(KIND_U32, time_wait_us),
	NET(KIND_U32, user_timeout_us),
	NET(KIND_U32, keepalive_ms),
	NET(KIND_U32, keepalive_interval_ms),
	NET(KIND_U8, keepalive_probes),
	NET(KIND_U8, syn_retries),
	NET(KIND_CONGESTION, congestion),
	NET(KIND_BOOL, timestamps),
	NET(KIND_BOOL, window_scaling),
	NET(KIND_BOOL, sack),
	NET(KIND_BOOL, ecn),
	NET(KIND_BOOL, rack),
	NET(KIND_BOOL, tlp),
	NET(KIND_BOOL, cookies),
};

static int set_number(void *field, const char *text, uint64_t max, size_t size)
{
	char *end;
	errno = 0;
	const unsigned long long value = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value > max)
		return -EINVAL;
	memcpy(field, &value, size); /* little-endian */
	return 0;
}

/* The place of the text in the list. */
static int set_choice(const char *text, const char *const *choices, unsigned *value)
{
	for (*value = 0; choices[*value] != NULL; ++*value) {
		if (strcmp(text, choices[*value]) == 0)
			return 0;
	}
	return -EINVAL;
}

static int set_value(const struct setting *setting, struct rbs_config *config, const char *text)
{
	static const char *const flags[] = {"no", "yes", NULL};
	static const char *const congestions[] = {"newreno", "cubic", "dctcp", NULL};
	void *field = (char *)config + setting->offset;
	unsigned choice = 0;
	int status;
	switch (setting->kind) {
	case KIND_U8:
		return set_number(field, text, UINT8_MAX, sizeof(uint8_t));
	case KIND_U16:
		return set_number(field, text, UINT16_MAX, sizeof(uint16_t));
	case KIND_U32:
		return set_number(field, text, UINT32_MAX, sizeof(uint32_t));
	case KIND_U64:
		return set_number(field, text, UINT64_MAX, sizeof(uint64_t));
	case KIND_BOOL:
		status = set_choice(text, flags, &choice);
		*(bool *)field = choice == 1;
		return status;
	case KIND_CONGESTION:
		status = set_choice(text, congestions, &choice);
		config->net.congestion = (enum rb_net_congestion)choice;
		return status;
	case KIND_IP4:
		status = inet_pton(AF_INET, text, field) == 1 ? 0 : -EINVAL;
		config->net.ip4 = ntohl(config->net.ip4);
		return status;
	case KIND_IP6:
		return inet_pton(AF_INET6, text, field) == 1 ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int set_one(struct rbs_config *config, const char *name, size_t name_length, const char *value)
{
	for (size_t i = 0; i < sizeof(settings_table) / sizeof(settings_table[0]); i++) {
		const struct setting *setting = &settings_table[i];
		if (strlen(setting->name) == name_length && strncmp(setting->name, name, name_length) == 0)
			return set_value(setting, config, value);
	}
	return -ENOENT;
}

/* Reads "name=value ..."; on an error `*where` is the setting that makes no sense. */
static int settings_read(struct rbs_config *config, const char *settings, const char **where)
{
	for (*where = settings; *(*where += strspn(*where, " ")) != '\0'; *where += strcspn(*where, " ")) {
		char value[VALUE_MAX + 1];
		const size_t length = strcspn(*where, " "), name_length = strcspn(*where, "= ");
		if (name_length == length || length - name_length - 1 > VALUE_MAX)
			return -EINVAL;
		memcpy(value, *where + name_length + 1, length - name_length - 1);
		value[length - name_length - 1] = '\0';
		const int status = set_one(config, *where, name_length, value);
		if (status != 0)
			return status;
	}
	return 0;
}

static int config_make(struct rbs_config *config, const char *settings, char *why, size_t why_size)
{
	enum { SEND_BUFFER = 256 << 10 };
	const char *where;
	*config = (struct rbs_config){.send_buffer = SEND_BUFFER};
	rb_net_config_default(&config->net);
	config->net.connections = 1024;
	config->net.listeners = 64;
	config->net.udp_sockets = 0;
	config->net.neighbours = 8;
	const int status = settings_read(config, settings, &where);
	if (status != 0) {
		(void)snprintf(why, why_size, "%s: %.*s", status == -ENOENT ? "no such setting" : "wrong value",
			       (int)strcspn(where, " "), where);
		return status;
	}
	if (config->net.ip4 == 0 && rb_ip_is_any(&config->net.ip6[0])) {
		(void)snprintf(why, why_size, "ip4 or ip6 is needed");
		return -EINVAL;
	}
	config->net.send_queue = config->send_buffer;
	device_configure(&config->net);
	const char *sentence = "";
	if (rb_net_config_check(&config->net, &sentence) != 0) {
		(void)snprintf(why, why_size, "%s", sentence);
		return -EINVAL;
	}
	return 0;
}

struct rbs *rbs_new(const char *settings, rbs_output *output, void *context, uint64_t now_ns, char *why,
		    size_t why_size)
{
	struct rbs_config config;
	if (config_make(&config, settings, why, why_size) != 0)
		return NULL;
	struct rbs *rbs = calloc(1, sizeof(*rbs));
	const size_t size = (rb_net_size(&config.net) + ALIGN - 1) / ALIGN * ALIGN;
	void *memory = aligned_alloc(ALIGN, size);
	if (rbs == NULL || memory == NULL) {
		free(rbs);
		free(memory);
		(void)snprintf(why, why_size, "no memory");
		return NULL;
	}
	rbs->config = config;
	rbs->memory = memory;
	rbs->output = output;
	rbs->context = context;
	rbs->now_ns = now_ns;
	rb_random_init(&rbs->random, config.seed, 0);
	device_open(rbs);
	event_turn(rbs);
	return rbs;
}

void rbs_delete(struct rbs *rbs)
{
	if (rbs == NULL)
		return;
	rb_net_drop(rbs->net);
	while (rbs->sockets_count > 0)
		socket_free(rbs, rbs->sockets[0]);
	free(rbs->sockets);
	free(rbs->fds);
	free(rbs->memory);
	free(rbs);
}

int rbs_input(struct rbs *rbs, const uint8_t *packet, size_t length)
{
	const int status = device_input(rbs, packet, length);
	event_turn(rbs);
	return status;
}

void rbs_advance(struct rbs *rbs, uint64_t now_ns)
{
	if (now_ns > rbs->now_ns)
		rbs->now_ns = now_ns;
	rb_net_advance(rbs->net, rbs->now_ns);
	event_turn(rbs);
}

uint64_t rbs_deadline_ns(const struct rbs *rbs)
{
	return rb_net_deadline_ns(rbs->net);
}

int rbs_wait(struct rbs *rbs, int fd, short events, uint64_t deadline_ns, rbs_step *step, void *context)
{
	for (;;) {
		struct pollfd one = {.fd = fd, .events = events};
		if (rbs_poll(rbs, &one, 1) > 0)
			return one.revents;
		if (rbs->now_ns >= deadline_ns)
			return 0;
		const uint64_t due_ns = rbs_deadline_ns(rbs);
		const int status = step(context, rbs, due_ns < deadline_ns ? due_ns : deadline_ns);
		if (status != 0)
			return status;
	}
}

uint64_t rbs_counter(const struct rbs *rbs, const char *name)
{
	const struct rb_net_counters *counters = rb_net_counters(rbs->net);
#define RBS_COUNTER(counter, text)       \
	if (strcmp(name, #counter) == 0) \
		return counters->counter;
	RB_NET_COUNTERS(RBS_COUNTER)
#undef RBS_COUNTER
	return UINT64_MAX;
}

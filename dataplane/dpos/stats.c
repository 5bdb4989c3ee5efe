// SPDX-License-Identifier: Apache-2.0
#include "dpos/stats.h"

static void write_loop(struct rb_json *json, const struct core_counters *counters)
{
	rb_json_object_begin(json, "loop");
	rb_json_uint(json, "turns", counters->turns);
	rb_json_uint(json, "idle_turns", counters->idle_turns);
	rb_json_uint(json, "batches", counters->batches);
	rb_json_uint(json, "packets", counters->packets);
	rb_json_uint(json, "crossings", counters->crossings);
	rb_json_uint(json, "busy_cycles", counters->busy_cycles);
	rb_json_uint(json, "idle_cycles", counters->idle_cycles);
	rb_json_object_begin(json, "timed_cycles");
#define WRITE_STAGE(name, text) rb_json_uint(json, #name, counters->cycles[CORE_STAGE_##name]);
	CORE_STAGES(WRITE_STAGE)
#undef WRITE_STAGE
	rb_json_object_end(json);
	rb_json_object_end(json);
}

static void write_queue(struct rb_json *json, const struct rb_nic_counters *counters)
{
	rb_json_object_begin(json, "queue");
#define WRITE_COUNTER(name, text) rb_json_uint(json, #name, counters->name);
	RB_NIC_COUNTERS(WRITE_COUNTER)
#undef WRITE_COUNTER
	rb_json_object_end(json);
}

static void write_buffers(struct rb_json *json, const struct rb_nic_queue *queue)
{
	struct rb_nic_buffers used;
	rb_nic_buffers(queue, &used);
	rb_json_object_begin(json, "buffers");
	rb_json_uint(json, "rx", used.rx);
	rb_json_uint(json, "tx", used.tx);
	rb_json_uint(json, "pieces", used.pieces);
	rb_json_object_end(json);
}

static void write_net(struct rb_json *json, const struct rb_net_counters *counters)
{
	rb_json_object_begin(json, "net");
#define WRITE_COUNTER(name, text) rb_json_uint(json, #name, counters->name);
	RB_NET_COUNTERS(WRITE_COUNTER)
#undef WRITE_COUNTER
	rb_json_object_end(json);
}

static void write_usage(struct rb_json *json, const struct rb_net *net)
{
	struct rb_net_usage usage = {0};
	if (net != NULL)
		rb_net_usage(net, &usage);
	rb_json_object_begin(json, "used");
	rb_json_uint(json, "connections", usage.connections);
	rb_json_uint(json, "send_pieces", usage.send_pieces);
	rb_json_uint(json, "receive_parts", usage.receive_parts);
	rb_json_object_end(json);
}

static void write_application(struct rb_json *json, const struct rb_gate_counters *counters)
{
	rb_json_object_begin(json, "application");
	rb_json_uint(json, "accepted", counters->accepted);
	rb_json_uint(json, "connected", counters->connected);
	rb_json_uint(json, "closed", counters->closed);
	rb_json_uint(json, "bytes_in", counters->bytes_in);
	rb_json_uint(json, "bytes_out", counters->bytes_out);
	rb_json_object_end(json);
}

static void write_core(struct rb_json *json, const struct dpos *dpos, const struct core *core)
{
	rb_json_object_begin(json, NULL);
	rb_json_uint(json, "core", core->index);
	rb_json_uint(json, "cpu", dpos->config->cpus.cpu[core->index]);
	write_loop(json, &core->counters);
	write_queue(json, rb_nic_counters(core->queue));
	write_buffers(json, core->queue);
	if (dpos->policy->application) {
		const struct rb_gate_counters application = core_context_counters(&core->context);
		write_application(json, &application);
		write_net(json, core->net != NULL ? rb_net_counters(core->net) : &core->net_counters);
		write_usage(json, core->net);
	}
	rb_json_object_end(json);
}

void dpos_stats_write(struct rb_json *json, void *user)
{
	struct dpos *dpos = user;
	uint64_t missed, no_buffers;
	/* contexts stay while they are looked at */
	pthread_mutex_lock(&dpos->lock);
	rb_nic_missed(dpos->nic, &missed, &no_buffers);
	rb_json_object_begin(json, NULL);
	rb_json_uint(json, "schema", 1);
	rb_json_string(json, "stack", dpos->policy->name);
	rb_json_uint(json, "tsc_hz", rb_nic_tsc_hz());
	rb_json_uint(json, "time_ns", core_clock_ns(&dpos->clock, core_tsc()));
	rb_json_bool(json, "link", rb_nic_link_up(dpos->nic));
	rb_json_bool(json, "rss", rb_nic_has_rss(dpos->nic));
	rb_json_uint(json, "rx_missed", missed);
	rb_json_uint(json, "rx_no_buffers", no_buffers);
	rb_json_array_begin(json, "cores");
	for (unsigned i = 0; i < dpos->config->cpus.count; i++)
		write_core(json, dpos, &dpos->cores[i]);
	rb_json_array_end(json);
	rb_json_object_end(json);
	pthread_mutex_unlock(&dpos->lock);
}

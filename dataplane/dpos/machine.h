// SPDX-License-Identifier: Apache-2.0
/* The device and the cores on it, from the configuration; and what an application may ask of them. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "core/app.h"
#include "core/core.h"
#include "dpos/config.h"
#include "policy/policy.h"

enum { DPOS_LISTENERS_MAX = CORE_LISTENERS_MAX, DPOS_PORT_FIRST = 49152 };

struct dpos_listener {
	bool used, nagle;
	struct rb_address address;
};

struct dpos {
	const struct dpos_config *config;
	const struct core_policy *policy;
	struct rb_nic *nic;
	struct core_clock clock;
	struct core *cores; /* config->cpus.count */
	const struct rb_guard_ops *guard;
	struct rb_app *app; /* NULL: the policy needs none */
	struct core_range memory;

	/* contexts and listeners come and go under this */
	pthread_mutex_t lock;
	struct dpos_listener listeners[DPOS_LISTENERS_MAX];
	uint16_t last_port; /* that was given to who asked for any */
};

/* Opens the device, and makes the cores. 0, or -errno after a message. */
int dpos_open(struct dpos *dpos, const struct dpos_config *config);
void dpos_close(struct dpos *dpos);

/* The calling thread keeps to that CPU. 0, or -errno after a message. */
int dpos_pin(unsigned cpu);

/* Connections of all cores that are neither closed nor in TIME-WAIT. */
uint64_t dpos_connections(const struct dpos *dpos);

/*
 * A core's TCP/IP instance, of the configuration's size. 0 or -errno. It goes with everything in it: connections get an
 * RST. /
 */
int dpos_net_open(struct dpos *dpos, struct core *core);
void dpos_net_close(struct core *core);

/* A call of the gate (abi/page.h); an rb_app_gate. `user` is the struct dpos. / */
int64_t dpos_call(void *user, struct rb_app_thread *thread, const struct rb_guard_call *call);

/* What the application's page says of the machine. */
void dpos_page(const struct dpos *dpos, struct rb_page *page);

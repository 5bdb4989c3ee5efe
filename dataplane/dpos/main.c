// SPDX-License-Identifier: Apache-2.0
/*
 * dpos: the dataplane. Takes a network device, and runs an application on it.
 *
 * Exit code: the application's; 1: dpos could not start, after a message; 2: wrong options. /
 */
#include "dpos/control.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct dpos machine;
static struct dpos_control control;

static void on_ended(void *user)
{
	(void)user;
	dpos_control_ended(&control);
}

/* ---- with an application ---- */

static int describe(struct rb_app_config *app, struct rb_region *region)
{
	const char *why;
	machine.guard = rb_guard_find("none");
	if (machine.guard->init(&why) != 0) {
		rb_log(RB_LOG_ERROR, "%s", why);
		return -EOPNOTSUPP;
	}
	*app = (struct rb_app_config){
		.guard = machine.guard,
		.region = region,
		.path = machine.config->application[0],
		.argv = (const char *const *)machine.config->application,
		.envp = (const char *const *)environ,
		.gate = dpos_call,
		.ended = on_ended,
		.user = &machine,
	};
	dpos_page(&machine, &app->page);
	return 0;
}

static int register_memory(struct rb_region *region)
{
	char why[RB_NIC_ERROR_MAX];
	int result = rb_nic_register(machine.nic, region->memory, region->bytes, region->page_bytes, why);
	if (result != 0)
		rb_log(RB_LOG_ERROR, "%s", why);
	return result;
}

static int start_device(void)
{
	char why[RB_NIC_ERROR_MAX];
	int result = rb_nic_start(machine.nic, why);
	if (result != 0)
		rb_log(RB_LOG_ERROR, "%s", why);
	return result;
}

/* Returns the exit code. */
static int run_application(struct rb_region *region)
{
	struct rb_app_config config;
	char why[RB_WHY_MAX];
	int status = EXIT_FAILURE;
	if (describe(&config, region) != 0 || register_memory(region) != 0)
		return status;
	if (rb_app_create(&config, &machine.app, why) != 0) {
		rb_log(RB_LOG_ERROR, "%s", why);
		return status;
	}
	machine.memory = (struct core_range){(uintptr_t)region->memory, region->bytes};
	int result = start_device();
	if (result == 0)
		result = rb_app_start(machine.app);
	if (result == 0) {
		dpos_control_run(&control);
		status = rb_app_wait(machine.app);
	}
	for (unsigned i = 0; i < machine.config->cpus.count; i++)
		dpos_net_close(&machine.cores[i]);
	rb_app_destroy(machine.app);
	machine.app = NULL;
	return status;
}

static int with_application(void)
{
	struct rb_region region;
	char why[RB_WHY_MAX];
	bool huge = machine.config->plain_memory == 0;
	if (rb_region_create(&region, machine.config->app_memory, huge ? RB_REGION_HUGE : RB_REGION_PLAIN, why) != 0) {
		rb_log(RB_LOG_ERROR, "%s", why);
		return EXIT_FAILURE;
	}
	int status = run_application(&region);
	return status;
}

/* ---- without ---- */

static void *run_core(void *user)
{
	struct core *core = user;
	int result = dpos_pin(machine.config->cpus.cpu[core->index]);
	if (result == 0)
		result = rb_nic_thread_begin();
	if (result == 0) {
		machine.policy->run(core);
		rb_nic_thread_end();
	}
	return NULL;
}

static int without_application(void)
{
	pthread_t threads[RB_NIC_QUEUES_MAX];
	unsigned count = 0;
	if (start_device() != 0)
		return EXIT_FAILURE;
	while (count < machine.config->cpus.count &&
	       pthread_create(&threads[count], NULL, run_core, &machine.cores[count]) == 0)
		count++;
	if (count == machine.config->cpus.count) {
		printf("ready\n");
		fflush(stdout);
		dpos_control_run(&control);
	}
	for (unsigned i = 0; i < count; i++) {
		core_request(&machine.cores[i], CORE_REQUEST_END);
		pthread_join(threads[i], NULL);
	}
	return count == machine.config->cpus.count ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct dpos_config config;
	switch (dpos_config_read(argc, argv, &config)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return 2;
	case RB_OPTIONS_OK:
		break;
	}
	rb_log_init("dpos", (enum rb_log_level)config.log);
	machine.config = &config;
	int status = EXIT_FAILURE;
	if (dpos_control_open(&control, &machine) == 0 && dpos_open(&machine, &config) == 0)
		status = machine.policy->application ? with_application() : without_application();
	dpos_close(&machine);
	dpos_control_close(&control);
	return status;
}

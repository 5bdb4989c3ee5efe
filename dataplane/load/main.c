// SPDX-License-Identifier: Apache-2.0
/*
 * rbload: the load generator. See --help for its options, load/result.h for the document it writes.
 *
 * Exit status: 0 measured (whether the point is valid is in the document), 1 there is no document (no memory, say), 2
 * wrong usage, 3 nothing could be measured (no connection; the document says why), 130 or 143 interrupted by SIGINT or
 * SIGTERM (the document has what there was, marked invalid).
 */

#include "base/log.h"
#include "load/config.h"
#include "load/result.h"
#include "load/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, EXIT_NOT_MEASURED = 3, EXIT_SIGNAL = 128 };

/* Signals come through sigtimedwait() of the main thread; a peer's reset must not kill the process. */
static void set_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

static int write_result(struct rb_result *result)
{
	const char *path = result->config->output;
	struct rb_json json;
	int rc;

	if (path != NULL) {
		rc = rb_json_write_file(path, rb_result_write, result);
	} else {
		rb_json_init(&json, stdout);
		rb_result_write(&json, result);
		rc = rb_json_finish(&json);
	}
	if (rc != 0)
		rb_log(RB_LOG_ERROR, "cannot write the result to %s: %s", path != NULL ? path : "standard output",
		       strerror(-rc));
	return rc;
}

static int exit_status(const struct rb_result *result)
{
	if (result->signal != 0)
		return EXIT_SIGNAL + result->signal;
	if (result->open_at_start == 0 || result->failure != 0)
		return EXIT_NOT_MEASURED;
	return 0;
}

static int measure(const struct rb_load_config *config)
{
	struct rb_result result;
	int status = EXIT_FAILURE;

	if (rb_result_init(&result, config) != 0) {
		rb_log(RB_LOG_ERROR, "out of memory");
		return EXIT_FAILURE;
	}
	if (rb_load_run(config, &result) == 0) {
		rb_result_judge(&result);
		for (unsigned i = 0; i < result.reasons_count; i++)
			rb_log(RB_LOG_WARNING, "invalid: %s", result.reasons[i]);
		if (write_result(&result) == 0)
			status = exit_status(&result);
	}
	rb_result_free(&result);
	return status;
}

int main(int argc, char **argv)
{
	struct rb_load_config config;

	rb_log_init("rbload", RB_LOG_INFO);
	set_signals();
	switch (rb_load_config_parse(&config, argc, argv, stdout, stderr)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return EXIT_USAGE;
	case RB_OPTIONS_OK:
		break;
	}
	const int status = measure(&config);
	rb_load_config_free(&config);
	return status;
}

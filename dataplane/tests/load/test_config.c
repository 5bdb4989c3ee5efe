// SPDX-License-Identifier: Apache-2.0
/*
 * Options of rbload: what is refused and how it is told, and how a run is divided among threads.
 */

#include "load/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 12, LINES_MAX = 32, LINE_MAX_BYTES = 256 };

/* Parses a command line given as one text; *message gets what was printed (the caller frees it). */
static enum rb_options_outcome parse(struct rb_load_config *config, const char *line, char **message)
{
	/* Strings of the configuration point into its line: kept for the whole test. */
	static char lines[LINES_MAX][LINE_MAX_BYTES];
	static unsigned used;
	char *argv[ARGUMENTS_MAX + 1] = {NULL};
	size_t length = 0;
	int argc = 0;

	assert_true(used < LINES_MAX && strlen(line) < LINE_MAX_BYTES);
	char *words = strcpy(lines[used++], line);
	for (char *word = strtok(words, " "); word != NULL && argc < ARGUMENTS_MAX; word = strtok(NULL, " "))
		argv[argc++] = word;
	FILE *out = open_memstream(message, &length);
	assert_non_null(out);
	const enum rb_options_outcome outcome = rb_load_config_parse(config, argc, argv, out, out);
	assert_int_equal(fclose(out), 0);
	return outcome;
}

static void wrong_values_are_named(void **state)
{
	static const struct {
		const char *line;
		const char *says[2];
	} bad[] = {
		{"rbload", {"target", ""}},
		{"rbload --target=10.0.0.1:80 --protocol=http", {"protocol", "memcached-text"}},
		{"rbload --target=10.0.0.1:80 --rate=0", {"rate", "0.001"}},
		{"rbload --target=10.0.0.1:65500 --target-ports=37", {"--target-ports=37", "only 36 ports from 65500"}},
		{"rbload --target=10.0.0.1:80 --threads=65", {"threads", "64"}},
		{"rbload --target=10.0.0.1:80 --threads=4 --connections=3", {"--connections=3", "--threads=4"}},
		{"rbload --target=10.0.0.1:80 --users=4", {"--users", "--mode=closed"}},
		{"rbload --target=10.0.0.1:80 --mode=closed --users=17", {"--users=17", "1 to 16"}},
		{"rbload --target=10.0.0.1:80 --mode=closed --threads=4 --users=3", {"--users=3", "4 to 16"}},
		{"rbload --target=10.0.0.1:80 --connections=500000 --depth=4096", {"--depth=4096", "product"}},
		{"rbload --target=10.0.0.1:80 --protocol=spin --message-bytes=15",
		 {"--message-bytes=15", "16 to 65536"}},
		{"rbload --target=10.0.0.1:80 --protocol=memcached-text --workload=fixed --key-bytes=2 --keys=1000",
		 {"--key-bytes=2", "valid are 3 to 250"}},
		{"rbload --target=10.0.0.1:80 --transport=udp --depth=2", {"--depth=2", "one request"}},
		{"rbload --target=10.0.0.1:80 --transport=udp --message-bytes=1473", {"=1473", "1472"}},
		{"rbload --target=10.0.0.1:80 --transport=udp --protocol=memcached-text", {"echo and spin", "text"}},
		{"rbload --target=10.0.0.1:80 --arrival=trace", {"--trace=FILE", ""}},
		{"rbload --target=10.0.0.1:80 --trace=/x", {"--trace=/x", "--arrival=trace"}},
		{"rbload --target=10.0.0.1:80 --arrival=trace --trace=/does/not/exist",
		 {"/does/not/exist", "No such file"}},
		{"rbload --target=10.0.0.1:80 --backend=none", {"--backend=none", "valid are:"}},
		{"rbload --target=10.0.0.1:80 --duration=0", {"duration", ""}},
		{"rbload --target=10.0.0.1:80 --bananas=1", {"bananas", ""}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rb_load_config config;
		char *message = NULL;

		assert_int_equal(parse(&config, bad[i].line, &message), RB_OPTIONS_ERROR);
		for (unsigned s = 0; s < 2; s++) {
			if (strstr(message, bad[i].says[s]) == NULL)
				print_error("%s\nsays: %s", bad[i].line, message);
			assert_non_null(strstr(message, bad[i].says[s]));
		}
		free(message);
	}
}

static void help_names_every_option(void **state)
{
	struct rb_load_config config;
	char *message = NULL;

	(void)state;
	assert_int_equal(parse(&config, "rbload --help", &message), RB_OPTIONS_HELP);
	for (size_t i = 0; i < rb_load_options.count; i++)
		assert_non_null(strstr(message, rb_load_options.options[i].name));
	assert_non_null(strstr(message, rb_load_options.example));
	free(message);
}

/* All connections are given out, each thread starts where the one before ends, fill makes the rings deeper than the
 * measured depth. */
static void work_is_divided(void **state)
{
	const struct rb_protocol protocol = {.ops = &rb_protocol_memcached_text};
	struct rb_load_config config;
	struct rb_run run = {0};
	char *message = NULL;
	uint32_t total = 0;

	(void)state;
	assert_int_equal(parse(&config,
			       "rbload --target=10.0.0.1:80 --threads=3 --connections=11 --protocol=memcached-text -v "
			       "--connect-rate=300 --poll-before=50us --seed=9",
			       &message),
			 RB_OPTIONS_OK);
	assert_true(config.verbose);
	for (unsigned i = 0; i < 3; i++) {
		const struct rb_worker_config w = rb_load_worker_config(&config, &protocol, &run, i);

		assert_int_equal(w.pool.first_path, total);
		total += w.pool.connections;
		assert_int_equal(w.pool.ring, 16);
		assert_int_equal(w.pool.depth, 1);
		assert_int_equal(w.pool.open_interval_ns, 10 * RB_NS_PER_MS);
		assert_int_equal(w.context.spin_ns, 50000);
		assert_int_equal(w.thread, i);
		assert_true(w.fill);
	}
	assert_int_equal(total, 11);
	assert_true(rb_load_offered_rps(&config) == 1000.0);
	rb_load_config_free(&config);
	free(message);
}

/* The offered rate of a trace is what lies in the window: 3 passes of 4 requests in 300 us, without those of the
 * warm-up. */
static void trace_rate_is_counted(void **state)
{
	char path[] = "/tmp/rbload-trace-XXXXXX";
	const int fd = mkstemp(path);
	struct rb_load_config config;
	char line[200];
	char *message = NULL;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0\n50000 3\n", 10), 10);
	assert_int_equal(close(fd), 0);
	(void)snprintf(
		line, sizeof(line),
		"rbload --target=1.2.3.4:5 --arrival=trace --trace=%s --trace-period=100us --warmup=1ms --duration=3ms",
		path);
	assert_int_equal(parse(&config, line, &message), RB_OPTIONS_OK);
	assert_true(rb_load_offered_rps(&config) == 40000.0);
	rb_load_config_free(&config);
	free(message);
	(void)snprintf(line, sizeof(line), "rbload --target=1.2.3.4:5 --arrival=trace --trace=%s --trace-period=50us",
		       path);
	assert_int_equal(parse(&config, line, &message), RB_OPTIONS_ERROR);
	assert_non_null(strstr(message, "later than the trace's last time, 50000 ns"));
	free(message);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_values_are_named),
		cmocka_unit_test(help_names_every_option),
		cmocka_unit_test(work_is_divided),
		cmocka_unit_test(trace_rate_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

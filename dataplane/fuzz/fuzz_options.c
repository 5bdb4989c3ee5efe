// SPDX-License-Identifier: Apache-2.0
/*
 * The option parser. Input: command line words separated by newlines. Promises: no crash, values inside
 * their ranges when accepted, a message when not.
 */
#include "fuzz/target.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/options.h"

struct config {
	bool flag;
	uint64_t number, size, time;
	double real;
	const char *text;
	unsigned choice;
	struct rb_address address, endpoint;
	struct rb_address_list addresses;
	struct rb_cpu_list cpus;
};

static const char *const choices[] = {"one", "two", "three", NULL};

#define FIELD(member) .offset = offsetof(struct config, member)
static const struct rb_option rows[] = {
	{.name = "flag", .type = RB_OPTION_FLAG, FIELD(flag), .help = "h"},
	{.name = "number",
	 .type = RB_OPTION_UINT,
	 FIELD(number),
	 .default_value = "7",
	 .min = 1,
	 .max = 100,
	 .help = "h"},
	{.name = "size", .type = RB_OPTION_SIZE, FIELD(size), .help = "h"},
	{.name = "time", .type = RB_OPTION_DURATION, FIELD(time), .max = 1000000000, .help = "h"},
	{.name = "real", .type = RB_OPTION_REAL, FIELD(real), .real_min = -1, .real_max = 1, .help = "h"},
	{.name = "text", .type = RB_OPTION_STRING, FIELD(text), .help = "h"},
	{.name = "choice", .type = RB_OPTION_CHOICE, FIELD(choice), .choices = choices, .help = "h"},
	{.name = "address", .type = RB_OPTION_ADDRESS, FIELD(address), .help = "h"},
	{.name = "endpoint", .type = RB_OPTION_ENDPOINT, FIELD(endpoint), .help = "h"},
	{.name = "addresses", .type = RB_OPTION_ADDRESSES, FIELD(addresses), .help = "h"},
	{.name = "cpus", .type = RB_OPTION_CPUS, FIELD(cpus), .help = "h"},
};

static const struct rb_option_table table = {
	.program = "p", .summary = "s", .options = rows, .count = sizeof(rows) / sizeof(rows[0])};

enum { WORDS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char program[] = "p";
	static struct config config;
	char *argv[WORDS_MAX] = {program};
	int argc = 1;
	char *line = strndup((const char *)data, size);
	char *printed = NULL;
	size_t printed_size = 0;
	FILE *out = open_memstream(&printed, &printed_size);
	if (line == NULL || out == NULL)
		abort();
	char *rest = line;
	for (char *word = strsep(&rest, "\n"); word != NULL && argc < WORDS_MAX; word = strsep(&rest, "\n"))
		argv[argc++] = word;
	memset(&config, 0, sizeof(config));
	enum rb_options_outcome outcome = rb_options_parse(&table, argc, argv, &config, out, out);
	fclose(out);
	RB_ASSERT_EQ(outcome == RB_OPTIONS_OK, printed_size == 0);
	if (outcome == RB_OPTIONS_OK) {
		RB_ASSERT(config.number >= 1 && config.number <= 100);
		RB_ASSERT_LE(config.time, 1000000000U);
		RB_ASSERT(config.real >= -1 && config.real <= 1);
		RB_ASSERT_LT(config.choice, 3U);
		RB_ASSERT_LE(config.cpus.count, RB_CPUS_MAX + 0U);
		RB_ASSERT_LE(config.addresses.count, RB_ADDRESSES_MAX + 0U);
	}
	free(printed);
	free(line);
	return 0;
}

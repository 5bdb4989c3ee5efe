// SPDX-License-Identifier: Apache-2.0
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	uint64_t needed;
};

static const char *const colours[] = {"red", "green", NULL};

#define FIELD(member) .offset = offsetof(struct config, member)
static const struct rb_option rows[] = {
	{.name = "flag", .type = RB_OPTION_FLAG, FIELD(flag), .default_value = "no", .help = "A flag."},
	{.name = "number",
	 .type = RB_OPTION_UINT,
	 FIELD(number),
	 .default_value = "7",
	 .min = 1,
	 .max = 100,
	 .unit = "apples",
	 .help = "A number."},
	{.name = "size", .type = RB_OPTION_SIZE, FIELD(size), .default_value = "4k", .help = "A size."},
	{.name = "time",
	 .type = RB_OPTION_DURATION,
	 FIELD(time),
	 .default_value = "10us",
	 .max = 5000000000,
	 .help = "A time."},
	{.name = "real",
	 .type = RB_OPTION_REAL,
	 FIELD(real),
	 .default_value = "0.5",
	 .real_min = 0,
	 .real_max = 1,
	 .help = "A share."},
	{.name = "text", .type = RB_OPTION_STRING, FIELD(text), .help = "A text."},
	{.name = "colour",
	 .type = RB_OPTION_CHOICE,
	 FIELD(choice),
	 .default_value = "green",
	 .choices = colours,
	 .help = "A colour."},
	{.name = "address", .type = RB_OPTION_ADDRESS, FIELD(address), .help = "An address."},
	{.name = "endpoint", .type = RB_OPTION_ENDPOINT, FIELD(endpoint), .help = "An endpoint."},
	{.name = "addresses", .type = RB_OPTION_ADDRESSES, FIELD(addresses), .help = "Addresses."},
	{.name = "cpus", .type = RB_OPTION_CPUS, FIELD(cpus), .help = "CPUs."},
	{.name = "needed", .type = RB_OPTION_UINT, FIELD(needed), .required = 1, .help = "Must be given."},
};

static const struct rb_option_table table = {.program = "prog",
					     .summary = "does things",
					     .example = "prog --needed 1",
					     .options = rows,
					     .count = sizeof(rows) / sizeof(rows[0])};

/* Parses a command line written as one string; returns what was printed, to be freed. */
static char *parse(const char *line, struct config *config, enum rb_options_outcome expected)
{
	static char words[1024];
	static char program[] = "prog";
	char *argv[32] = {program};
	int argc = 1;
	char *printed = NULL;
	size_t size = 0;
	snprintf(words, sizeof(words), "%s", line);
	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	FILE *out = open_memstream(&printed, &size);
	memset(config, 0, sizeof(*config));
	assert_int_equal(rb_options_parse(&table, argc, argv, config, out, out), expected);
	fclose(out);
	return printed;
}

static void test_defaults(void **state)
{
	struct config config;
	(void)state;
	char *printed = parse("--needed 1", &config, RB_OPTIONS_OK);
	assert_string_equal(printed, "");
	free(printed);
	assert_false(config.flag);
	assert_int_equal(config.number, 7);
	assert_int_equal(config.size, 4096);
	assert_int_equal(config.time, 10000);
	assert_true(config.real == 0.5);
	assert_null(config.text);
	assert_int_equal(config.choice, 1);
	assert_int_equal(config.cpus.count, 0);
}

static void test_values(void **state)
{
	struct config config;
	(void)state;
	free(parse("--needed=2 --flag --number 100 --size=3m --time 2s --real 1e-3 --text=a=b --colour red "
		   "--address 10.1.2.3 --endpoint 255.255.255.255:65535 --addresses 1.2.3.4,5.6.7.8 "
		   "--cpus 0-2,9 --number 3",
		   &config, RB_OPTIONS_OK));
	assert_true(config.flag);
	assert_int_equal(config.number, 3); /* the later one wins */
	assert_int_equal(config.size, 3 << 20);
	assert_int_equal(config.time, 2000000000);
	assert_true(config.real == 0.001);
	assert_string_equal(config.text, "a=b");
	assert_int_equal(config.choice, 0);
	assert_int_equal(config.address.ip, 0x0a010203);
	assert_int_equal(config.endpoint.ip, 0xffffffff);
	assert_int_equal(config.endpoint.port, 65535);
	assert_int_equal(config.addresses.count, 2);
	assert_int_equal(config.addresses.address[1].ip, 0x05060708);
	assert_int_equal(config.cpus.count, 4);
	assert_int_equal(config.cpus.cpu[3], 9);
}

static void expect_error(const char *line, const char *message)
{
	struct config config;
	char *printed = parse(line, &config, RB_OPTIONS_ERROR);
	assert_string_equal(printed, message);
	free(printed);
}

static void test_errors(void **state)
{
	(void)state;
	expect_error("--number 101", "prog: --number: '101' is not valid; expected 1..100\n");
	expect_error("--number=0", "prog: --number: '0' is not valid; expected 1..100\n");
	expect_error("--number -1", "prog: --number: '-1' is not valid; expected 1..100\n");
	expect_error("--number", "prog: --number needs a value: 1..100\n");
	expect_error("--numbre 1", "prog: unknown option '--numbre'; did you mean '--number'?\n");
	expect_error("--zzzzzzzz=1", "prog: unknown option '--zzzzzzzz'; see --help\n");
	expect_error("number", "prog: unexpected argument 'number'; options begin with --, see --help\n");
	expect_error("--", "prog: unexpected argument '--'; options begin with --, see --help\n");
	expect_error("--colour blue", "prog: --colour: 'blue' is not valid; expected red | green\n");
	expect_error("--flag=maybe", "prog: --flag: 'maybe' is not valid; expected yes or no\n");
	expect_error("--real 1.5", "prog: --real: '1.5' is not valid; expected 0..1\n");
	expect_error("--time 5",
		     "prog: --time: '5' is not valid; expected 0..5000000000 ns, written like 250us (ns, us, ms, s)\n");
	expect_error("--flag", "prog: --needed is required; see --help\n");
}

static void test_help(void **state)
{
	struct config config;
	(void)state;
	char *printed = parse("--number 3 --help --nonsense", &config, RB_OPTIONS_HELP);
	for (size_t i = 0; i < table.count; i++) {
		assert_non_null(strstr(printed, rows[i].name));
		assert_non_null(strstr(printed, rows[i].help));
	}
	assert_non_null(strstr(printed, "Example: prog --needed 1\n"));
	assert_non_null(strstr(printed, "Value: 1..100 (apples). Default: 7\n"));
	free(printed);
}

static void test_numbers(void **state)
{
	uint64_t value;
	double real;
	(void)state;
	assert_int_equal(rb_parse_uint("18446744073709551615", &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(rb_parse_uint("18446744073709551616", &value), -ERANGE);
	assert_int_equal(rb_parse_uint("99999999999999999999999", &value), -ERANGE);
	assert_int_equal(rb_parse_uint("", &value), -EINVAL);
	assert_int_equal(rb_parse_uint(" 1", &value), -EINVAL);
	assert_int_equal(rb_parse_uint("0x10", &value), -EINVAL);
	assert_int_equal(rb_parse_size("17179869184g", &value), -ERANGE);
	assert_int_equal(rb_parse_size("1kb", &value), -EINVAL);
	assert_int_equal(rb_parse_duration("0", &value), 0);
	assert_int_equal(rb_parse_duration("1h", &value), -EINVAL);
	assert_int_equal(rb_parse_duration("18446744074s", &value), -ERANGE);
	assert_int_equal(rb_parse_real("nan", &real), -EINVAL);
	assert_int_equal(rb_parse_real("inf", &real), -EINVAL);
	assert_int_equal(rb_parse_real("1e999", &real), -ERANGE);
	assert_int_equal(rb_parse_real("1e", &real), -EINVAL);
	assert_int_equal(rb_parse_real(" 1", &real), -EINVAL);
}

static void test_lists(void **state)
{
	static struct rb_cpu_list cpus;
	static struct rb_address_list addresses;
	struct rb_address address;
	char text[RB_ADDRESS_TEXT_MAX];
	(void)state;
	assert_int_equal(rb_parse_cpus("0-255", &cpus), 0);
	assert_int_equal(cpus.count, 256);
	assert_int_equal(rb_parse_cpus("0-256", &cpus), -ERANGE);
	assert_int_equal(rb_parse_cpus("3-1", &cpus), -EINVAL);
	assert_int_equal(rb_parse_cpus("1,", &cpus), -EINVAL);
	assert_int_equal(rb_parse_cpus("", &cpus), -EINVAL);
	assert_int_equal(rb_parse_cpus("0-99999999999", &cpus), -ERANGE);
	assert_int_equal(rb_parse_addresses("1.2.3.4,", &addresses), -EINVAL);
	assert_int_equal(rb_parse_addresses("1.2.3.4-1.2.3.3", &addresses), -EINVAL);
	assert_int_equal(rb_parse_addresses("1.2.3.4/24", &addresses), -EINVAL);
	assert_int_equal(rb_parse_addresses("1.2.3.0/33", &addresses), -EINVAL);
	assert_int_equal(rb_parse_addresses("0.0.0.0/0", &addresses), -EINVAL);
	assert_int_equal(rb_parse_addresses("10.0.0.0/8", &addresses), -ERANGE);
	assert_int_equal(rb_parse_addresses("0.0.0.0-255.255.255.255", &addresses), -ERANGE);
	assert_int_equal(rb_parse_addresses("1.2.3.0/24,1.2.4.0/30,1.2.5.0", &addresses), -ERANGE);
	assert_int_equal(rb_parse_addresses("9.9.9.9,1.2.3.254-1.2.4.1,1.2.5.0/30,1.2.6.0/31,7.7.7.7/32", &addresses),
			 0);
	static const uint32_t expected[] = {0x09090909, 0x010203fe, 0x010203ff, 0x01020400, 0x01020401,
					    0x01020501, 0x01020502, 0x01020600, 0x01020601, 0x07070707};
	assert_int_equal(addresses.count, sizeof(expected) / sizeof(expected[0]));
	for (unsigned i = 0; i < addresses.count; i++)
		assert_int_equal(addresses.address[i].ip, expected[i]);
	assert_int_equal(rb_parse_address("1.2.3.256", &address), -EINVAL);
	assert_int_equal(rb_parse_address("1.2.3", &address), -EINVAL);
	assert_int_equal(rb_parse_address("1.2.3.4:5", &address), -EINVAL);
	assert_int_equal(rb_parse_endpoint("1.2.3.4:0", &address), -ERANGE);
	assert_int_equal(rb_parse_endpoint("1.2.3.4", &address), -EINVAL);
	assert_int_equal(rb_parse_endpoint("255.255.255.255:65535", &address), 0);
	assert_string_equal(rb_address_format(address, text), "255.255.255.255:65535");
}

static void test_mac(void **state)
{
	static const char *const wrong[] = {
		"",
		"52:54:00:ab:cd",
		"52:54:00:ab:cd:e",
		"52:54:00:ab:cd:ef:",
		"52:54:00:ab:cd:ef0",
		"52-54-00-ab-cd-ef",
		"52:54:00:ab:cd:eg",
		"5:254:00:ab:cd:ef",
		"0x:54:00:ab:cd:ef",
		" 1:54:00:ab:cd:ef",
	};
	static const uint8_t expected[6] = {0x52, 0x54, 0x00, 0xab, 0xCD, 0xef};
	uint8_t mac[6];

	(void)state;
	assert_int_equal(rb_parse_mac("52:54:00:ab:CD:ef", mac), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(rb_parse_mac(wrong[i], mac), -EINVAL);
	assert_memory_equal(mac, expected, sizeof(mac));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),	 cmocka_unit_test(test_errors),
		cmocka_unit_test(test_help),	 cmocka_unit_test(test_numbers), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_mac),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

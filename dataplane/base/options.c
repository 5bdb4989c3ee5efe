// SPDX-License-Identifier: Apache-2.0
#include "base/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static uint64_t upper_limit(const struct rb_option *option)
{
	return option->max != 0 ? option->max : UINT64_MAX;
}

static bool real_is_limited(const struct rb_option *option)
{
	return option->real_min != 0 || option->real_max != 0;
}

static int parse_flag(const char *text, bool *value)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return -EINVAL;
	*value = text[0] == 'y';
	return 0;
}

static int parse_choice(const struct rb_option *option, const char *text, unsigned *value)
{
	for (unsigned i = 0; option->choices[i] != NULL; i++) {
		if (strcmp(option->choices[i], text) == 0) {
			*value = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_integer(const struct rb_option *option, const char *text, uint64_t *value)
{
	int result = option->type == RB_OPTION_SIZE	  ? rb_parse_size(text, value)
		     : option->type == RB_OPTION_DURATION ? rb_parse_duration(text, value)
							  : rb_parse_uint(text, value);
	if (result != 0)
		return result;
	return *value < option->min || *value > upper_limit(option) ? -ERANGE : 0;
}

static int parse_limited_real(const struct rb_option *option, const char *text, double *value)
{
	int result = rb_parse_real(text, value);
	if (result != 0 || !real_is_limited(option))
		return result;
	return *value < option->real_min || *value > option->real_max ? -ERANGE : 0;
}

static int set_value(const struct rb_option *option, const char *text, void *config)
{
	void *field = (char *)config + option->offset;
	switch (option->type) {
	case RB_OPTION_FLAG:
		return parse_flag(text, field);
	case RB_OPTION_UINT:
	case RB_OPTION_SIZE:
	case RB_OPTION_DURATION:
		return parse_integer(option, text, field);
	case RB_OPTION_REAL:
		return parse_limited_real(option, text, field);
	case RB_OPTION_STRING:
		*(const char **)field = text;
		return 0;
	case RB_OPTION_CHOICE:
		return parse_choice(option, text, field);
	case RB_OPTION_ADDRESS:
		return rb_parse_address(text, field);
	case RB_OPTION_ENDPOINT:
		return rb_parse_endpoint(text, field);
	case RB_OPTION_ADDRESSES:
		return rb_parse_addresses(text, field);
	case RB_OPTION_CPUS:
		return rb_parse_cpus(text, field);
	}
	return -EINVAL;
}

static void print_integer_range(const struct rb_option *option, FILE *out)
{
	const char *unit = option->type == RB_OPTION_DURATION ? " ns" : option->type == RB_OPTION_SIZE ? " bytes" : "";
	if (option->max != 0)
		fprintf(out, "%" PRIu64 "..%" PRIu64 "%s", option->min, option->max, unit);
	else
		fprintf(out, "%" PRIu64 "%s or more", option->min, unit);
	if (option->type == RB_OPTION_DURATION)
		fputs(", written like 250us (ns, us, ms, s)", out);
	if (option->type == RB_OPTION_SIZE)
		fputs(", optionally with k, m or g", out);
}

/* What the option takes, as a phrase: for --help and for errors. */
static void print_range(const struct rb_option *option, FILE *out)
{
	switch (option->type) {
	case RB_OPTION_FLAG:
		fputs("yes or no", out);
		break;
	case RB_OPTION_UINT:
	case RB_OPTION_SIZE:
	case RB_OPTION_DURATION:
		print_integer_range(option, out);
		break;
	case RB_OPTION_REAL:
		if (real_is_limited(option))
			fprintf(out, "%g..%g", option->real_min, option->real_max);
		else
			fputs("a finite number", out);
		break;
	case RB_OPTION_STRING:
		fputs("text", out);
		break;
	case RB_OPTION_CHOICE:
		for (size_t i = 0; option->choices[i] != NULL; i++)
			fprintf(out, "%s%s", i > 0 ? " | " : "", option->choices[i]);
		break;
	case RB_OPTION_ADDRESS:
		fputs("an IPv4 address", out);
		break;
	case RB_OPTION_ENDPOINT:
		fputs("IPv4 address:port", out);
		break;
	case RB_OPTION_ADDRESSES:
		fprintf(out, "up to %d IPv4 addresses, like 10.0.0.1,10.0.0.8-10.0.0.11,10.0.1.0/28", RB_ADDRESSES_MAX);
		break;
	case RB_OPTION_CPUS:
		fprintf(out, "up to %d CPU numbers, like 0-3,8", RB_CPUS_MAX);
		break;
	}
}

void rb_options_help(const struct rb_option_table *table, FILE *out)
{
	fprintf(out, "%s - %s\n\nUsage: %s [options]\n", table->program, table->summary, table->program);
	if (table->example != NULL)
		fprintf(out, "Example: %s\n", table->example);
	fputs("\nOptions:\n", out);
	for (size_t i = 0; i < table->count; i++) {
		const struct rb_option *option = &table->options[i];
		fprintf(out, "  --%s%s\n      %s", option->name, option->type == RB_OPTION_FLAG ? "" : " VALUE",
			option->help);
		fputs("\n      Value: ", out);
		print_range(option, out);
		if (option->unit != NULL)
			fprintf(out, " (%s)", option->unit);
		if (option->required)
			fputs(". Required.\n", out);
		else if (option->default_value != NULL)
			fprintf(out, ". Default: %s\n", option->default_value);
		else
			fputs(". Default: none\n", out);
	}
	fputs("  --help\n      Print this text and exit.\n", out);
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;
	return ab < c ? ab : c;
}

/* Levenshtein distance of a (whole) and b (its first b_length characters), both cut at 31 characters. */
static size_t edit_distance(const char *a, const char *b, size_t b_length)
{
	enum { LENGTH_MAX = 31 };
	size_t row[LENGTH_MAX + 1];
	size_t a_length = strnlen(a, LENGTH_MAX);
	if (b_length > LENGTH_MAX)
		b_length = LENGTH_MAX;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t above = row[j];
			row[j] = smallest(row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_length];
}

static void report_unknown(const struct rb_option_table *table, const char *name, size_t length, FILE *err)
{
	const char *nearest = NULL;
	size_t best = 4; /* farther than 3 edits is no help */
	for (size_t i = 0; i < table->count; i++) {
		size_t distance = edit_distance(table->options[i].name, name, length);
		if (distance < best) {
			best = distance;
			nearest = table->options[i].name;
		}
	}
	fprintf(err, "%s: unknown option '--%.*s'", table->program, (int)length, name);
	if (nearest != NULL)
		fprintf(err, "; did you mean '--%s'?\n", nearest);
	else
		fputs("; see --help\n", err);
}

static int report_value(const struct rb_option_table *table, const struct rb_option *option, const char *text,
			FILE *err)
{
	fprintf(err, "%s: --%s: '%s' is not valid; expected ", table->program, option->name, text);
	print_range(option, err);
	fputc('\n', err);
	return -EINVAL;
}

static const struct rb_option *find(const struct rb_option_table *table, const char *name, size_t length)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct rb_option *option = &table->options[i];
		if (strlen(option->name) == length && strncmp(option->name, name, length) == 0)
			return option;
	}
	return NULL;
}

static void set_defaults(const struct rb_option_table *table, void *config)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct rb_option *option = &table->options[i];
		if (option->default_value == NULL)
			continue;
		int result = set_value(option, option->default_value, config);
		RB_ASSERT_EQ(result, 0); /* a default that is not valid is an error in the table */
	}
}

/* Handles the option at argv[*index] and moves *index to its last word. Returns its table index or -EINVAL. */
static ssize_t take_option(const struct rb_option_table *table, int argc, char *const *argv, int *index, void *config,
			   FILE *err)
{
	const char *word = argv[*index];
	if (strncmp(word, "--", 2) != 0 || word[2] == '\0') {
		fprintf(err, "%s: unexpected argument '%s'; options begin with --, see --help\n", table->program, word);
		return -EINVAL;
	}
	const char *name = word + 2;
	size_t length = strcspn(name, "=");
	const struct rb_option *option = find(table, name, length);
	if (option == NULL) {
		report_unknown(table, name, length, err);
		return -EINVAL;
	}
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	if (value == NULL && option->type == RB_OPTION_FLAG)
		value = "yes";
	if (value == NULL && *index + 1 < argc)
		value = argv[++*index];
	if (value == NULL) {
		fprintf(err, "%s: --%s needs a value: ", table->program, option->name);
		print_range(option, err);
		fputc('\n', err);
		return -EINVAL;
	}
	if (set_value(option, value, config) != 0)
		return report_value(table, option, value, err);
	return option - table->options;
}

enum rb_options_outcome rb_options_parse(const struct rb_option_table *table, int argc, char *const *argv, void *config,
					 FILE *out, FILE *err)
{
	uint64_t given = 0; /* bit per option */
	RB_ASSERT_LE(table->count, 64U);
	set_defaults(table, config);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			rb_options_help(table, out);
			return RB_OPTIONS_HELP;
		}
		ssize_t option = take_option(table, argc, argv, &i, config, err);
		if (option < 0)
			return RB_OPTIONS_ERROR;
		given |= UINT64_C(1) << option;
	}
	for (size_t i = 0; i < table->count; i++) {
		if (table->options[i].required && (given >> i & 1) == 0) {
			fprintf(err, "%s: --%s is required; see --help\n", table->program, table->options[i].name);
			return RB_OPTIONS_ERROR;
		}
	}
	return RB_OPTIONS_OK;
}

enum rb_options_outcome rb_options_again(const struct rb_option_table *table, int argc, char *const *argv, void *config,
					 FILE *err)
{
	for (int i = 1; i < argc; i++) {
		if (take_option(table, argc, argv, &i, config, err) < 0)
			return RB_OPTIONS_ERROR;
	}
	return RB_OPTIONS_OK;
}

/* ---- files ---- */

/* Cuts the line into its two words; what is between them and around them goes. False: it is not two words. */
static bool cut(char *line, char **name, char **value)
{
	static const char blanks[] = " \t\r\n";
	line[strcspn(line, "#\n")] = '\0';
	*name = line + strspn(line, blanks);
	char *end = *name + strcspn(*name, " \t\r=");
	*value = end + strspn(end, " \t\r=");
	*end = '\0';
	for (char *last = *value + strlen(*value); last > *value && strchr(blanks, last[-1]) != NULL;)
		*--last = '\0';
	return (**name == '\0') == (**value == '\0');
}

static bool take_line(const struct rb_option_table *table, char *line, void *config, FILE *err)
{
	char *name, *value, *kept;
	if (!cut(line, &name, &value)) {
		fprintf(err, "%s: '%s' needs a value: NAME VALUE\n", table->program, name);
		return false;
	}
	if (*name == '\0')
		return true;
	const struct rb_option *option = find(table, name, strlen(name));
	if (option == NULL) {
		report_unknown(table, name, strlen(name), err);
		return false;
	}
	kept = option->type == RB_OPTION_STRING ? strdup(value) : value;
	return kept != NULL && (set_value(option, kept, config) == 0 || report_value(table, option, value, err) == 0);
}

enum rb_options_outcome rb_options_file(const struct rb_option_table *table, const char *path, void *config, FILE *err)
{
	char line[1024];
	unsigned number = 0;
	bool good = true;
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		fprintf(err, "%s: cannot read %s: %s\n", table->program, path, strerror(errno));
		return RB_OPTIONS_ERROR;
	}
	while (good && fgets(line, sizeof(line), file) != NULL) {
		number++;
		good = take_line(table, line, config, err);
		if (!good)
			fprintf(err, "%s: in %s, line %u\n", table->program, path, number);
	}
	if (ferror(file)) {
		fprintf(err, "%s: cannot read %s\n", table->program, path);
		good = false;
	}
	fclose(file);
	return good ? RB_OPTIONS_OK : RB_OPTIONS_ERROR;
}

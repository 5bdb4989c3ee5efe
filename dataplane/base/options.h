// SPDX-License-Identifier: Apache-2.0
/*
 * Command line options from one table: name, type, default, unit, range, help. The table drives the parser, --help and
 * the error messages, so an option is written down once.
 *
 * Accepted forms: --name value, --name=value, and for flags --name (or --name=yes|no). Anything else is an error that
 * names the option, the value given and the values that are valid. /
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "abi/abi.h"

enum {
	RB_CPUS_MAX = 256,
	RB_ADDRESSES_MAX = 256,
};

/* CPU numbers in the order given ("0-3,8"). */
struct rb_cpu_list {
	unsigned count;
	uint16_t cpu[RB_CPUS_MAX];
};

/*
 * IPv4 addresses in the order given ("10.0.0.1,10.0.0.8-10.0.0.11,10.0.1.0/28": single ones, ranges, the hosts of a
 * network); ports are 0.
 */
struct rb_address_list {
	unsigned count;
	struct rb_address address[RB_ADDRESSES_MAX];
};

/* The type fixes the C type of the field at `offset`. */
enum rb_option_type {
	RB_OPTION_FLAG,	     /* bool */
	RB_OPTION_UINT,	     /* uint64_t; decimal, min..max */
	RB_OPTION_SIZE,	     /* uint64_t bytes; suffix k, m, g = 2^10, 2^20, 2^30; min..max / */
	RB_OPTION_DURATION,  /* uint64_t ns; suffix ns, us, ms, s is required (0 needs none); min..max */
	RB_OPTION_REAL,	     /* double, real_min..real_max */
	RB_OPTION_STRING,    /* const char *, borrowed from argv or the table; may be NULL by default */
	RB_OPTION_CHOICE,    /* unsigned: index into `choices` */
	RB_OPTION_ADDRESS,   /* struct rb_address without port: "a.b.c.d" */
	RB_OPTION_ENDPOINT,  /* struct rb_address: "a.b.c.d:port" */
	RB_OPTION_ADDRESSES, /* struct rb_address_list */
	RB_OPTION_CPUS,	     /* struct rb_cpu_list */
};

struct rb_option {
	const char *name; /* without the dashes */
	enum rb_option_type type;
	size_t offset;		    /* of the field in the configuration structure */
	const char *default_value;  /* parsed like a given value; NULL: the field stays as it is */
	const char *unit;	    /* for --help, or NULL */
	uint64_t min, max;	    /* inclusive; max 0 means no upper limit */
	double real_min, real_max;  /* inclusive; both 0 means any finite value */
	const char *const *choices; /* NULL-terminated, for RB_OPTION_CHOICE */
	const char *help;
	int required; /* non-zero: must be given */
};

struct rb_option_table {
	const char *program; /* for messages */
	const char *summary; /* one line for --help */
	const char *example; /* one command line for --help, or NULL */
	const struct rb_option *options;
	size_t count;
};

enum rb_options_outcome {
	RB_OPTIONS_OK,
	RB_OPTIONS_HELP,  /* --help was printed on `out` */
	RB_OPTIONS_ERROR, /* a message was printed on `err` */
};

/*
 * Fills `config` with defaults, then with argv[1..argc). Later values win. Strings stay borrowed from argv. On
 * RB_OPTIONS_ERROR config is partly filled. /
 */
enum rb_options_outcome rb_options_parse(const struct rb_option_table *table, int argc, char *const *argv, void *config,
					 FILE *out, FILE *err);

/*
 * Adds what a file says: a line NAME VALUE or NAME = VALUE for each option, without dashes; `#` begins a comment.
 * Strings are kept for the life of the program. Messages name file and line. /
 */
enum rb_options_outcome rb_options_file(const struct rb_option_table *table, const char *path, void *config, FILE *err);

/* Adds argv[1..argc) once more, over what a file said: no defaults, and required options are not asked for. */
enum rb_options_outcome rb_options_again(const struct rb_option_table *table, int argc, char *const *argv, void *config,
					 FILE *err);

/* Prints the --help text. */
void rb_options_help(const struct rb_option_table *table, FILE *out);

/* The same parsers for single values. Each returns 0, -EINVAL (not understood) or -ERANGE (too big, too many). */
int rb_parse_uint(const char *text, uint64_t *value);
int rb_parse_size(const char *text, uint64_t *bytes);
int rb_parse_duration(const char *text, uint64_t *ns);
int rb_parse_real(const char *text, double *value);
int rb_parse_address(const char *text, struct rb_address *address);
int rb_parse_endpoint(const char *text, struct rb_address *address);
int rb_parse_addresses(const char *text, struct rb_address_list *list);
int rb_parse_cpus(const char *text, struct rb_cpu_list *list);
/* Six pairs of hexadecimal digits with colons between them; mac is unchanged unless 0 is returned. */
int rb_parse_mac(const char *text, uint8_t mac[6]);

/* "a.b.c.d:port" into a static-size buffer. Returns `text`. */
enum { RB_ADDRESS_TEXT_MAX = 22 };
const char *rb_address_format(struct rb_address address, char text[RB_ADDRESS_TEXT_MAX]);

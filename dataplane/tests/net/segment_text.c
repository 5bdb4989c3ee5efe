// SPDX-License-Identifier: Apache-2.0
/* Segments as text and as patterns. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/net/segment.h"

/* A flag is named by the character at its bit. */
static const char flag_names[] = "FSRP.UEWN";
static const char *const ecn_names[] = {"none", "ect1", "ect0", "ce"};

/*
 * Printing.
 */

struct out {
	char *text;
	size_t length;
};

static __attribute__((format(printf, 2, 3))) void print(struct out *out, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	const int length = vsnprintf(out->text + out->length, SEGMENT_TEXT_MAX - out->length, format, arguments);
	va_end(arguments);
	out->length += (size_t)length;
	if (out->length >= SEGMENT_TEXT_MAX)
		out->length = SEGMENT_TEXT_MAX - 1;
}

static void print_options(struct out *out, const struct segment *segment)
{
	const char *between = " <";
	if ((segment->options & SEGMENT_MSS) != 0) {
		print(out, "%smss %u", between, segment->mss);
		between = ",";
	}
	if ((segment->options & SEGMENT_SACK_OK) != 0) {
		print(out, "%ssackOK", between);
		between = ",";
	}
	if ((segment->options & SEGMENT_TS) != 0) {
		print(out, "%sTS val %" PRIu32 " ecr %" PRIu32, between, segment->ts_val, segment->ts_ecr);
		between = ",";
	}
	if ((segment->options & SEGMENT_WSCALE) != 0) {
		print(out, "%swscale %u", between, segment->wscale);
		between = ",";
	}
	if ((segment->options & SEGMENT_SACK) != 0) {
		print(out, "%ssack", between);
		for (unsigned i = 0; i < segment->sack_count; i++)
			print(out, " %" PRIu32 ":%" PRIu32, segment->sack[i].left, segment->sack[i].right);
		between = ",";
	}
	if ((segment->options & SEGMENT_RAW) != 0) {
		print(out, "%shex ", between);
		for (unsigned i = 0; i < segment->raw_length; i++)
			print(out, "%02x", segment->raw[i]);
		between = ",";
	}
	if (between[0] == ',')
		print(out, ">");
}

void segment_print(const struct segment *segment, char text[SEGMENT_TEXT_MAX])
{
	struct out out = {.text = text};
	for (unsigned bit = 0; flag_names[bit] != 0; bit++) {
		if ((segment->flags >> bit & 1U) != 0)
			print(&out, "%c", flag_names[bit]);
	}
	if (segment->flags == 0)
		print(&out, "-");
	print(&out, " %" PRIu32 ":%" PRIu32 "(%" PRIu32 ")", segment->seq, segment->seq + segment->length,
	      segment->length);
	if ((segment->flags & SEGMENT_ACK) != 0)
		print(&out, " ack %" PRIu32, segment->ack);
	print(&out, " win %u", segment->window);
	if ((segment->flags & SEGMENT_URG) != 0)
		print(&out, " urg %u", segment->urgent);
	if (segment->ecn != SEGMENT_NOT_ECT)
		print(&out, " ecn %s", ecn_names[segment->ecn]);
	print_options(&out, segment);
}

/*
 * Reading. Each function takes what it knows from the front of the text, and leaves the text alone otherwise.
 */

static void skip_spaces(const char **text)
{
	while (**text == ' ')
		++*text;
}

static bool take(const char **text, const char *word)
{
	const size_t length = strlen(word);
	if (strncmp(*text, word, length) != 0)
		return false;
	*text += length;
	skip_spaces(text);
	return true;
}

/* A number up to `most`, which sets the bit in *given, or "*", which does not. */
static bool take_number(const char **text, uint64_t most, uint64_t *number, uint32_t bit, uint32_t *given)
{
	*number = 0;
	if (**text == '*') {
		++*text;
		return true;
	}
	if (**text < '0' || **text > '9')
		return false;
	char *end;
	*number = strtoull(*text, &end, 10);
	*text = end;
	*given |= bit;
	return *number <= most;
}

static bool take_flags(const char **text, struct segment_pattern *pattern)
{
	const char *start = *text;
	for (const char *name; **text != 0 && (name = strchr(flag_names, **text)) != NULL; ++*text)
		pattern->segment.flags |= (uint16_t)(1U << (name - flag_names));
	if (*text == start && **text == '-')
		++*text;
	const bool good = *text != start && (**text == ' ' || **text == 0);
	skip_spaces(text);
	return good;
}

static bool take_range(const char **text, struct segment_pattern *pattern)
{
	struct segment *segment = &pattern->segment;
	uint64_t seq, end, length;
	uint32_t end_given = 0;
	if (!take_number(text, UINT32_MAX, &seq, SEGMENT_GIVEN_SEQ, &pattern->given) || !take(text, ":") ||
	    !take_number(text, UINT32_MAX, &end, 1, &end_given) || !take(text, "(") ||
	    !take_number(text, SEGMENT_FRAME_MAX, &length, SEGMENT_GIVEN_LENGTH, &pattern->given) || !take(text, ")"))
		return false;
	segment->seq = (uint32_t)seq;
	segment->length = (uint32_t)length;
	if (end_given != 0 && (pattern->given & SEGMENT_GIVEN_SEQ) != 0) {
		if ((pattern->given & SEGMENT_GIVEN_LENGTH) != 0 && (uint32_t)end != segment->seq + segment->length)
			return false;
		segment->length = (uint32_t)end - segment->seq;
		pattern->given |= SEGMENT_GIVEN_LENGTH;
	}
	skip_spaces(text);
	return true;
}

static bool take_ecn(const char **text, struct segment_pattern *pattern)
{
	for (unsigned i = 0; i < 4; i++) {
		if (take(text, ecn_names[i])) {
			pattern->segment.ecn = (uint8_t)i;
			pattern->given |= SEGMENT_GIVEN_ECN;
			return true;
		}
	}
	return false;
}

static bool take_hex(const char **text, struct segment *segment)
{
	while (segment->raw_length < SEGMENT_OPTIONS_MAX && isxdigit((unsigned char)(*text)[0]) != 0 &&
	       isxdigit((unsigned char)(*text)[1]) != 0) {
		const char digits[3] = {(*text)[0], (*text)[1], 0};
		segment->raw[segment->raw_length++] = (uint8_t)strtoul(digits, NULL, 16);
		*text += 2;
	}
	return segment->raw_length > 0;
}

static bool take_sack(const char **text, struct segment *segment)
{
	uint64_t left, right;
	uint32_t given = 0;
	do {
		if (segment->sack_count == SEGMENT_SACK_MAX || !take_number(text, UINT32_MAX, &left, 1, &given) ||
		    !take(text, ":") || !take_number(text, UINT32_MAX, &right, 1, &given))
			return false;
		segment->sack[segment->sack_count++] = (struct segment_range){(uint32_t)left, (uint32_t)right};
		skip_spaces(text);
	} while (**text >= '0' && **text <= '9');
	return true;
}

static bool take_option(const char **text, struct segment_pattern *pattern)
{
	struct segment *segment = &pattern->segment;
	uint64_t number, other = 0;
	bool good = true;
	if (take(text, "nop"))
		return true;
	if (take(text, "...")) {
		pattern->given |= SEGMENT_GIVEN_MORE;
	} else if (take(text, "mss ")) {
		segment->options |= SEGMENT_MSS;
		good = take_number(text, UINT16_MAX, &number, SEGMENT_GIVEN_MSS, &pattern->given);
		segment->mss = (uint16_t)number;
	} else if (take(text, "wscale ")) {
		segment->options |= SEGMENT_WSCALE;
		good = take_number(text, UINT8_MAX, &number, SEGMENT_GIVEN_WSCALE, &pattern->given);
		segment->wscale = (uint8_t)number;
	} else if (take(text, "sackOK")) {
		segment->options |= SEGMENT_SACK_OK;
	} else if (take(text, "TS val ")) {
		segment->options |= SEGMENT_TS;
		good = take_number(text, UINT32_MAX, &number, SEGMENT_GIVEN_TS_VAL, &pattern->given);
		skip_spaces(text);
		good = good && take(text, "ecr ") &&
		       take_number(text, UINT32_MAX, &other, SEGMENT_GIVEN_TS_ECR, &pattern->given);
		segment->ts_val = (uint32_t)number;
		segment->ts_ecr = (uint32_t)other;
	} else if (take(text, "sack ")) {
		segment->options |= SEGMENT_SACK;
		good = take_sack(text, segment);
	} else if (take(text, "hex ")) {
		segment->options |= SEGMENT_RAW;
		good = take_hex(text, segment);
	} else {
		good = false;
	}
	skip_spaces(text);
	return good;
}

static bool take_options(const char **text, struct segment_pattern *pattern)
{
	pattern->given |= SEGMENT_GIVEN_OPTIONS;
	if (take(text, ">"))
		return true;
	do {
		if (!take_option(text, pattern))
			return false;
	} while (take(text, ","));
	return take(text, ">");
}

static bool take_field(const char **text, struct segment_pattern *pattern)
{
	struct segment *segment = &pattern->segment;
	uint64_t number = 0;
	bool good;
	if (take(text, "ack ")) {
		good = take_number(text, UINT32_MAX, &number, SEGMENT_GIVEN_ACK, &pattern->given);
		segment->ack = (uint32_t)number;
	} else if (take(text, "win ")) {
		good = take_number(text, UINT16_MAX, &number, SEGMENT_GIVEN_WINDOW, &pattern->given);
		segment->window = (uint16_t)number;
	} else if (take(text, "urg ")) {
		good = take_number(text, UINT16_MAX, &number, SEGMENT_GIVEN_URGENT, &pattern->given);
		segment->urgent = (uint16_t)number;
	} else if (take(text, "ecn ")) {
		good = take_ecn(text, pattern);
	} else if (take(text, "<")) {
		good = take_options(text, pattern);
	} else {
		good = take_range(text, pattern);
	}
	skip_spaces(text);
	return good;
}

int segment_read(struct segment_pattern *pattern, const char *text, const char **where)
{
	*pattern = (struct segment_pattern){0};
	*where = text;
	if (!take_flags(&text, pattern))
		return -EINVAL;
	while (*text != 0) {
		*where = text;
		if (!take_field(&text, pattern))
			return -EINVAL;
	}
	return 0;
}

/*
 * Fitting.
 */

static bool options_fit(const struct segment_pattern *pattern, const struct segment *segment)
{
	const struct segment *wanted = &pattern->segment;
	const uint32_t given = pattern->given;
	const unsigned present = segment->options & wanted->options;
	if (present != wanted->options || ((given & SEGMENT_GIVEN_MORE) == 0 && segment->options != wanted->options))
		return false;
	if (((given & SEGMENT_GIVEN_MSS) != 0 && segment->mss != wanted->mss) ||
	    ((given & SEGMENT_GIVEN_WSCALE) != 0 && segment->wscale != wanted->wscale) ||
	    ((given & SEGMENT_GIVEN_TS_VAL) != 0 && segment->ts_val != wanted->ts_val) ||
	    ((given & SEGMENT_GIVEN_TS_ECR) != 0 && segment->ts_ecr != wanted->ts_ecr))
		return false;
	if ((wanted->options & SEGMENT_SACK) != 0 &&
	    (segment->sack_count != wanted->sack_count ||
	     memcmp(segment->sack, wanted->sack, wanted->sack_count * sizeof(wanted->sack[0])) != 0))
		return false;
	return (wanted->options & SEGMENT_RAW) == 0 || (segment->raw_length == wanted->raw_length &&
							memcmp(segment->raw, wanted->raw, wanted->raw_length) == 0);
}

bool segment_fits(const struct segment_pattern *pattern, const struct segment *segment)
{
	const struct segment *wanted = &pattern->segment;
	const uint32_t given = pattern->given;
	if (segment->flags != wanted->flags || ((given & SEGMENT_GIVEN_SEQ) != 0 && segment->seq != wanted->seq) ||
	    ((given & SEGMENT_GIVEN_LENGTH) != 0 && segment->length != wanted->length) ||
	    ((given & SEGMENT_GIVEN_ACK) != 0 && segment->ack != wanted->ack) ||
	    ((given & SEGMENT_GIVEN_WINDOW) != 0 && segment->window != wanted->window) ||
	    ((given & SEGMENT_GIVEN_URGENT) != 0 && segment->urgent != wanted->urgent) ||
	    ((given & SEGMENT_GIVEN_ECN) != 0 && segment->ecn != wanted->ecn))
		return false;
	return (given & SEGMENT_GIVEN_OPTIONS) == 0 || options_fit(pattern, segment);
}

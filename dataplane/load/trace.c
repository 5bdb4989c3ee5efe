// SPDX-License-Identifier: Apache-2.0

#include "load/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX ((size_t)1 << 30)

/* What is left of one line. */
struct cursor {
	const char *at;
	const char *end;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct cursor *c)
{
	while (c->at < c->end && is_blank(*c->at))
		c->at++;
}

static bool at_end_of_fields(const struct cursor *c)
{
	return c->at == c->end || *c->at == '#';
}

/* Reads a decimal number of at most `max`; false when there is none, it is larger, or something other than a blank
 * follows. */
static bool read_number(struct cursor *c, uint64_t max, uint64_t *value)
{
	const char *const start = c->at;
	uint64_t v = 0;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
		const uint64_t digit = (uint64_t)(*c->at - '0');

		if (v > (max - digit) / 10U)
			return false;
		v = v * 10U + digit;
		c->at++;
	}
	*value = v;
	return c->at > start && (at_end_of_fields(c) || is_blank(*c->at));
}

/* Parses one line. Returns NULL, or why it was refused; *present tells whether it held an entry. */
static const char *parse_line(struct cursor *c, struct rb_trace_entry *entry, bool *present)
{
	*present = false;
	skip_blanks(c);
	if (at_end_of_fields(c))
		return NULL;
	if (!read_number(c, RB_TRACE_TIME_MAX, &entry->time_ns))
		return "expected a time in nanoseconds, 0 to 10^18";
	skip_blanks(c);
	entry->count = 1;
	if (!at_end_of_fields(c)) {
		if (!read_number(c, RB_TRACE_BURST_MAX, &entry->count) || entry->count == 0)
			return "expected a burst count, 1 to 1000000";
		skip_blanks(c);
	}
	if (!at_end_of_fields(c))
		return "more than two fields";
	*present = true;
	return NULL;
}

static int append(struct rb_trace *trace, size_t *capacity, struct rb_trace_entry entry)
{
	if (trace->length == *capacity) {
		const size_t grown = *capacity == 0 ? 256U : *capacity * 2U;
		struct rb_trace_entry *entries = realloc(trace->entries, grown * sizeof(*entries));

		if (entries == NULL)
			return -ENOMEM;
		trace->entries = entries;
		*capacity = grown;
	}
	trace->entries[trace->length++] = entry;
	trace->total += entry.count;
	return 0;
}

/* Checks an entry against those before it. Returns NULL or why it was refused. */
static const char *check_entry(const struct rb_trace *trace, const struct rb_trace_entry *entry)
{
	if (trace->length > 0 && entry->time_ns < trace->entries[trace->length - 1U].time_ns)
		return "time is earlier than on the line before";
	if (trace->total + entry->count > RB_TRACE_TOTAL_MAX)
		return "more than 2^40 requests in all";
	return NULL;
}

static int parse_lines(struct rb_trace *trace, struct cursor text, struct rb_trace_error *error)
{
	size_t capacity = 0;

	while (text.at < text.end) {
		const char *newline = memchr(text.at, '\n', (size_t)(text.end - text.at));
		struct cursor line = {text.at, newline != NULL ? newline : text.end};
		struct rb_trace_entry entry;
		bool present;

		error->line++;
		error->why = parse_line(&line, &entry, &present);
		if (error->why == NULL && present)
			error->why = check_entry(trace, &entry);
		if (error->why != NULL)
			return -EINVAL;
		if (present && append(trace, &capacity, entry) != 0) {
			error->why = "out of memory";
			return -ENOMEM;
		}
		text.at = newline != NULL ? newline + 1 : text.end;
	}
	if (trace->length == 0) {
		*error = (struct rb_trace_error){.line = 0, .why = "no request in the trace"};
		return -EINVAL;
	}
	return 0;
}

int rb_trace_parse(struct rb_trace *trace, const char *text, size_t length, struct rb_trace_error *error)
{
	memset(trace, 0, sizeof(*trace));
	memset(error, 0, sizeof(*error));
	if (length == 0) {
		error->why = "no request in the trace";
		return -EINVAL;
	}
	const int rc = parse_lines(trace, (struct cursor){text, text + length}, error);
	if (rc != 0)
		rb_trace_free(trace);
	return rc;
}

/* Reads a whole file into *text (the caller frees it). Returns 0 or -errno. */
static int read_all(int fd, char **text, size_t *length)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > FILE_SIZE_MAX)
		return -EFBIG;
	*length = 0;
	*text = malloc((size_t)st.st_size + 1U);
	if (*text == NULL)
		return -ENOMEM;
	while (*length < (size_t)st.st_size) {
		const ssize_t n = read(fd, *text + *length, (size_t)st.st_size - *length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*length += (size_t)n;
	}
	return 0;
}

int rb_trace_load(struct rb_trace *trace, const char *path, struct rb_trace_error *error)
{
	char *text = NULL;
	size_t length = 0;

	memset(trace, 0, sizeof(*trace));
	memset(error, 0, sizeof(*error));
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : read_all(fd, &text, &length);
	if (fd >= 0)
		(void)close(fd);
	if (rc == 0)
		rc = rb_trace_parse(trace, text, length, error);
	else
		error->why = strerror(-rc);
	free(text);
	return rc;
}

void rb_trace_free(struct rb_trace *trace)
{
	free(trace->entries);
	memset(trace, 0, sizeof(*trace));
}

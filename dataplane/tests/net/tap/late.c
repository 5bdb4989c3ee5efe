// SPDX-License-Identifier: Apache-2.0
#include "tests/net/tap/late.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"

void late_note(struct late *late, uint64_t at_ns, uint64_t length_ns)
{
	if (late->count < LATE_MAX) {
		late->spans[late->count].at_ns = at_ns;
		late->spans[late->count].length_ns = length_ns;
	}
	late->count++;
}

/* The second number of the file (Linux's sched-stats.rst); what it was before if it cannot be read. */
static uint64_t waited_ns(const struct late *late)
{
	char text[128], *end;
	const ssize_t length = pread(late->fd, text, sizeof(text) - 1, 0);
	if (length <= 0)
		return late->waited_ns;
	text[length] = '\0';
	(void)strtoull(text, &end, 10); /* the first: on a processor */
	return strtoull(end, NULL, 10);
}

void late_open(struct late *late)
{
	late->fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
	late->waited_ns = 0;
	if (late->fd >= 0)
		late->waited_ns = waited_ns(late);
}

void late_look(struct late *late, uint64_t now_ns)
{
	if (late->fd < 0)
		return;
	const uint64_t waited = waited_ns(late), length = waited - late->waited_ns;
	late->waited_ns = waited;
	if (length >= LATE_NS)
		late_note(late, now_ns - length, length);
}

void late_close(struct late *late)
{
	if (late->fd >= 0)
		(void)close(late->fd);
}

void late_report(const struct late *late, struct rb_json *json)
{
	rb_json_uint(json, "late_count", late->count);
	rb_json_array_begin(json, "late");
	for (unsigned i = 0; i < late->count && i < LATE_MAX; i++) {
		rb_json_object_begin(json, NULL);
		rb_json_uint(json, "at_ns", late->spans[i].at_ns);
		rb_json_uint(json, "length_ns", late->spans[i].length_ns);
		rb_json_object_end(json);
	}
	rb_json_array_end(json);
}

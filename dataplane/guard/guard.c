// SPDX-License-Identifier: Apache-2.0
#include "guard/guard.h"

#include <stddef.h>
#include <string.h>

const struct rb_guard_ops *rb_guard_find(const char *name)
{
	/* Of two with the same name the faster one comes first. */
	static const struct {
		const char *name;
		const struct rb_guard_ops *ops;
	} guards[] = {{"none", &rb_guard_none}, {"none", &rb_guard_none_slow}, {"none_slow", &rb_guard_none_slow}};
	const struct rb_guard_ops *found = NULL;
	for (size_t i = 0; i < sizeof(guards) / sizeof(guards[0]); i++) {
		const char *why;
		if (strcmp(guards[i].name, name) != 0)
			continue;
		found = guards[i].ops;
		if (found->probe(&why) == 0)
			break;
	}
	return found; /* works, or can say why not */
}

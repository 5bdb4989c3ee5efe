// SPDX-License-Identifier: Apache-2.0
#include "base/descriptors.h"

#include <sys/resource.h>

uint64_t rb_descriptors_raise(uint64_t wanted)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (limit.rlim_cur >= wanted)
		return limit.rlim_cur;
	const struct rlimit more = {.rlim_cur = wanted, .rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max};
	const struct rlimit all = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return wanted;
	return setrlimit(RLIMIT_NOFILE, &all) == 0 ? limit.rlim_max : limit.rlim_cur;
}

// SPDX-License-Identifier: Apache-2.0
#include "tests/guard/app_probe.h"

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

const struct rb_page *page;
char **arguments;

static const struct probe *find(const struct probe *probes, const char *name)
{
	for (; probes->name != NULL; probes++) {
		if (strcmp(probes->name, name) == 0)
			return probes;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct probe *const tables[] = {probes_crossing, probes_memory, probes_calls, probes_threads,
					      probes_ends};
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): the auxiliary vector has words */
	page = (const struct rb_page *)(uintptr_t)getauxval(RB_AUXV_PAGE);
	arguments = argv;
	CHECK(argc >= 2);
	CHECK(page != NULL && page->magic == RB_PAGE_MAGIC && page->version == RB_ABI_VERSION);
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const struct probe *probe = find(tables[i], argv[1]);
		if (probe == NULL)
			continue;
		probe->run();
		return 0;
	}
	fprintf(stderr, "%s: no probe of that name\n", argv[1]);
	return 2;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * In a test of the library with mutations (net/mechanism.h): NET_WITHOUT names the mechanism that is left out, NET_TESTS
 * the tests that run.
 */
#include "tests/net/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/mechanism.h"

enum net_mechanism net_without;

static __attribute__((constructor)) void choose(void)
{
	const char *without = getenv("NET_WITHOUT"), *tests = getenv("NET_TESTS");
	if (tests != NULL)
		cmocka_set_test_filter(tests);
	if (without == NULL)
		return;
#define NET_MECHANISM(name, rfc, executable, tests) \
	if (strcmp(without, #name) == 0)            \
		net_without = NET_MECHANISM_##name;
	NET_MECHANISMS(NET_MECHANISM)
#undef NET_MECHANISM
	if (net_without == NET_MECHANISM_NONE) {
		fprintf(stderr, "NET_WITHOUT: there is no mechanism %s\n", without);
		exit(0); /* a success is what the caller does not want */
	}
}

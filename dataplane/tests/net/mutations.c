// SPDX-License-Identifier: Apache-2.0
/*
 * Is each mechanism of net/mechanism.h tested? For each: its tests pass with it, and fail when it is left out.
 *
 * usage: mutations DIRECTORY [NAME]    DIRECTORY has the executables net_mutable_...; NAME: this mechanism only
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/mechanism.h"

enum { PATIENCE_S = 20 }; /* without a mechanism a test may never come to an end; that is a failure, too */

struct mechanism {
	const char *name, *rfc, *executable, *tests;
};

static const struct mechanism mechanisms[] = {
#define NET_MECHANISM(name, rfc, executable, tests) {#name, rfc, executable, tests},
	NET_MECHANISMS(NET_MECHANISM)
#undef NET_MECHANISM
};

/* Runs the tests of a mechanism, which is left out or not. Returns whether they pass; what they say is thrown away. */
static bool passes(const char *directory, const struct mechanism *mechanism, bool without)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/net_mutable_%s", directory, mechanism->executable);
	const pid_t child = fork();
	if (child == 0) {
		const int null = open("/dev/null", O_RDWR);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		setenv("NET_TESTS", mechanism->tests, 1);
		if (without)
			setenv("NET_WITHOUT", mechanism->name, 1);
		alarm(PATIENCE_S);
		execl(path, path, (char *)NULL);
		_exit(without ? 0 : 1); /* a failure in both cases */
	}
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("mutations");
		exit(1);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
	unsigned checked = 0, bad = 0;
	if (argc < 2) {
		fprintf(stderr, "usage: mutations DIRECTORY [NAME]\n");
		return 2;
	}
	for (unsigned i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		const struct mechanism *mechanism = &mechanisms[i];
		if (argc > 2 && strcmp(argv[2], mechanism->name) != 0)
			continue;
		const char *verdict = "tested";
		if (!passes(argv[1], mechanism, false))
			verdict = "FAILS with it";
		else if (passes(argv[1], mechanism, true))
			verdict = "NOT TESTED: passes without it";
		bad += strcmp(verdict, "tested") != 0;
		checked++;
		printf("%-24s RFC %-20s net_%s %s: %s\n", mechanism->name, mechanism->rfc, mechanism->executable,
		       mechanism->tests, verdict);
		fflush(stdout);
	}
	printf("%u mechanisms, %u not tested\n", checked, bad);
	return checked > 0 && bad == 0 ? 0 : 1;
}

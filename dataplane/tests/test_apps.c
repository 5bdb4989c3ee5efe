// SPDX-License-Identifier: Apache-2.0
/* rb-echo and rb-spin as processes: test_apps PATH-OF-RB-ECHO PATH-OF-RB-SPIN */
#include "tests/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/spin_protocol.h"
#include "base/clock.h"

static const char *echo_path, *spin_path;

struct process {
	pid_t pid;
	FILE *output; /* its standard output */
	struct rb_address address;
};

/* Starts a program; `argv` ends with NULL. Standard error goes to the null device if `quiet`. */
static void start(struct process *process, const char *path, const char *const *argv, bool quiet)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(NULL);
	process->pid = fork();
	assert_true(process->pid >= 0);
	if (process->pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		if (quiet)
			dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		execv(path, (char *const *)(uintptr_t)argv); /* which does not write to it */
		_exit(127);
	}
	close(ends[1]);
	process->output = fdopen(ends[0], "r");
}

static void await_ready(struct process *process)
{
	char line[64];
	unsigned port;
	assert_non_null(fgets(line, sizeof(line), process->output));
	assert_int_equal(sscanf(line, "ready port=%u\n", &port), 1); // NOLINT(cert-err34-c): the assert checks it
	process->address = (struct rb_address){.ip = HARNESS_LOOPBACK, .port = (uint16_t)port};
}

static int await_exit(struct process *process)
{
	int status;
	assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
	fclose(process->output);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void read_file(const char *path, char *text, size_t size)
{
	FILE *in = fopen(path, "r");
	assert_non_null(in);
	text[fread(text, 1, size - 1, in)] = '\0';
	fclose(in);
}

static void await_file(const char *path)
{
	struct stat status;
	for (int i = 0; stat(path, &status) != 0; i++) {
		assert_in_range(i, 0, HARNESS_DEADLINE_MS);
		usleep(1000);
	}
}

static unsigned long long total(const char *text, const char *key)
{
	unsigned long long sum = 0;
	char pattern[32];
	snprintf(pattern, sizeof(pattern), "\"%s\":", key);
	for (const char *p = strstr(text, pattern); p != NULL; p = strstr(p + 1, pattern))
		sum += strtoull(p + strlen(pattern), NULL, 10);
	return sum;
}

static void check_echo(const char *listen)
{
	enum { PEERS = 20, BYTES = 150 };
	char directory[] = "/tmp/rb-apps-XXXXXX";
	char path[64], text[8192], reply[BYTES], message[BYTES] = {0};
	int fd[PEERS];
	struct process process;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/server.json", directory);
	const char *const argv[] = {"rb-echo", "--port",	"0",	"--address", "127.0.0.1", "--threads",
				    "2",       "--listen",	listen, "--stats",   path,	  "--message-bytes",
				    "100",     "--connections", "64",	NULL};
	start(&process, echo_path, argv, false);
	await_ready(&process);
	for (int i = 0; i < PEERS; i++) {
		fd[i] = peer_connect(process.address);
		peer_send(fd[i], message, BYTES);
		peer_receive(fd[i], reply, BYTES);
	}
	kill(process.pid, SIGUSR1);
	await_file(path);
	read_file(path, text, sizeof(text));
	assert_non_null(strstr(text, "{\"schema\":1,\"app\":\"echo\",\"backend\":\"epoll\""));
	assert_int_equal(total(text, "accepted"), PEERS);
	assert_int_equal(total(text, "requests"), PEERS); /* 150 bytes are one message of 100, and a half */
	for (int i = 0; i < PEERS; i++) {
		peer_send(fd[i], message, 50);
		peer_receive(fd[i], reply, 50);
	}
	kill(process.pid, SIGTERM);
	assert_int_equal(await_exit(&process), 0);
	read_file(path, text, sizeof(text));
	assert_int_equal(total(text, "requests"), 2 * PEERS);
	assert_int_equal(total(text, "bytes_in"), PEERS * 200);
	assert_int_equal(total(text, "bytes_out"), PEERS * 200);
	assert_true(total(text, "epoll_pwait2") > 0 && total(text, "cpu_ns") > 0);
	for (int i = 0; i < PEERS; i++)
		close(fd[i]);
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
}

static void test_echo(void **state)
{
	(void)state;
	check_echo("single");
	check_echo("reuseport");
}

static void test_spin(void **state)
{
	enum { BYTES = 100 };
	(void)state;
	struct process process;
	uint8_t request[BYTES], reply[BYTES];
	const char *const argv[] = {"rb-spin", "--port=0", "--threads=1", "--cpus=0", "--work=loop", NULL};
	start(&process, spin_path, argv, false);
	await_ready(&process);
	int fd = peer_connect(process.address);
	pattern_fill(request, BYTES, 0);
	rb_spin_encode(request, BYTES, 5 * RB_NS_PER_MS);
	uint64_t before = rb_clock_now(rb_clock_monotonic());
	peer_send(fd, request, BYTES);
	peer_receive(fd, reply, BYTES);
	/* calibrated on a machine that others use too: the half is a safe lower bound, there is no upper one */
	assert_true(rb_clock_now(rb_clock_monotonic()) - before > 5 * RB_NS_PER_MS / 2);
	assert_memory_equal(request, reply, BYTES);
	peer_send(fd, "this is not a spin request", 26);
	peer_expect_reset(fd);
	close(fd);
	kill(process.pid, SIGINT);
	assert_int_equal(await_exit(&process), 0);
}

static void test_exit_codes(void **state)
{
	(void)state;
	struct process process, second;
	char port[16];
	const char *const help[] = {"rb-echo", "--help", NULL};
	const char *const bad[] = {"rb-echo", "--port", "65536", NULL};
	const char *const stack[] = {"rb-echo", "--backend", "none", NULL};
	const char *const first[] = {"rb-echo", "--port", "0", NULL};
	const char *const taken[] = {"rb-spin", "--port", port, NULL};
	start(&process, echo_path, help, true);
	assert_int_equal(await_exit(&process), 0);
	start(&process, echo_path, bad, true);
	assert_int_equal(await_exit(&process), 2);
	start(&process, echo_path, stack, true);
	assert_int_equal(await_exit(&process), 2);
	start(&process, echo_path, first, true);
	await_ready(&process);
	snprintf(port, sizeof(port), "%u", process.address.port);
	start(&second, spin_path, taken, true);
	assert_int_equal(await_exit(&second), 1);
	kill(process.pid, SIGTERM);
	assert_int_equal(await_exit(&process), 0);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: test_apps RB-ECHO RB-SPIN\n");
		return 2;
	}
	echo_path = argv[1];
	spin_path = argv[2];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_exit_codes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * rb-udp-echo: sends every datagram back to where it came from. Each thread has a socket of its own; the kernel
 * spreads the peers over them by hash (SO_REUSEPORT), so that a peer always meets the same thread.
 *
 * Standard output gets one line, "ready port=<port>". SIGTERM and SIGINT end it with status 0.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/options.h"
#include "user/sockets.h"

enum { THREADS_MAX = 64, DATAGRAM_MAX = 65536 };

struct udp_echo_config {
	struct rb_address address;
	uint64_t port;
	uint64_t threads;
	struct rb_cpu_list cpus;
};

struct udp_echo {
	int fd;
	int cpu; /* -1: not pinned */
};

static const struct rb_option udp_echo_options[] = {
	{.name = "address",
	 .type = RB_OPTION_ADDRESS,
	 .offset = offsetof(struct udp_echo_config, address),
	 .default_value = "0.0.0.0",
	 .help = "Address to receive at; 0.0.0.0 is any."},
	{.name = "port",
	 .type = RB_OPTION_UINT,
	 .offset = offsetof(struct udp_echo_config, port),
	 .default_value = "9000",
	 .max = 65535,
	 .help = "UDP port to receive at; 0 takes a free one (see the ready line)."},
	{.name = "threads",
	 .type = RB_OPTION_UINT,
	 .offset = offsetof(struct udp_echo_config, threads),
	 .default_value = "1",
	 .min = 1,
	 .max = THREADS_MAX,
	 .help = "Threads, each with its own socket."},
	{.name = "cpus",
	 .type = RB_OPTION_CPUS,
	 .offset = offsetof(struct udp_echo_config, cpus),
	 .help = "CPUs to pin the threads to, in order, repeated if there are more threads."},
};

static const struct rb_option_table udp_echo_table = {
	.program = "rb-udp-echo",
	.summary = "UDP echo server",
	.example = "rb-udp-echo --port 9000 --threads 2 --cpus 0-1",
	.options = udp_echo_options,
	.count = sizeof(udp_echo_options) / sizeof(udp_echo_options[0]),
};

/* A socket bound to the address. Returns the descriptor or -errno. */
static int open_socket(struct rb_address address)
{
	const struct sockaddr_in name = rb_socket_address(address);
	const int on = 1;
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&name, sizeof(name)) != 0) {
		const int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	const int rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (rc != 0)
		rb_log(RB_LOG_WARNING, "cannot pin a thread to CPU %d: %s", cpu, strerror(rc));
}

/* Ends with the process. What fails is the peer's affair or, like a full buffer, a lost datagram. */
static void *serve(void *arg)
{
	const struct udp_echo *echo = arg;
	static _Thread_local uint8_t datagram[DATAGRAM_MAX];

	if (echo->cpu >= 0)
		pin(echo->cpu);
	for (;;) {
		struct sockaddr_in peer;
		socklen_t length = sizeof(peer);
		const ssize_t got =
			recvfrom(echo->fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&peer, &length);

		if (got >= 0)
			(void)sendto(echo->fd, datagram, (size_t)got, 0, (const struct sockaddr *)&peer, length);
	}
	return NULL;
}

/* Opens all sockets, the first at the port asked for and the others at the one it has got. */
static int open_all(const struct udp_echo_config *config, struct udp_echo *echoes, struct rb_address *address)
{
	for (uint64_t i = 0; i < config->threads; i++) {
		echoes[i].cpu = config->cpus.count > 0 ? (int)config->cpus.cpu[i % config->cpus.count] : -1;
		echoes[i].fd = open_socket(*address);
		if (echoes[i].fd < 0)
			return echoes[i].fd;
		*address = rb_socket_local(echoes[i].fd);
	}
	return 0;
}

static int run(const struct udp_echo_config *config, const sigset_t *signals)
{
	static struct udp_echo echoes[THREADS_MAX];
	struct rb_address address = {.ip = config->address.ip, .port = (uint16_t)config->port};
	int number;
	int rc = open_all(config, echoes, &address);

	for (uint64_t i = 0; rc == 0 && i < config->threads; i++) {
		pthread_t thread;
		rc = -pthread_create(&thread, NULL, serve, &echoes[i]);
	}
	if (rc != 0) {
		rb_log(RB_LOG_ERROR, "cannot serve at port %u: %s", (unsigned)address.port, strerror(-rc));
		return 1;
	}
	printf("ready port=%u\n", (unsigned)address.port);
	fflush(stdout);
	return sigwait(signals, &number);
}

int main(int argc, char **argv)
{
	struct udp_echo_config config = {0};
	sigset_t signals;

	switch (rb_options_parse(&udp_echo_table, argc, argv, &config, stdout, stderr)) {
	case RB_OPTIONS_HELP:
		return 0;
	case RB_OPTIONS_ERROR:
		return 2;
	case RB_OPTIONS_OK:
		break;
	}
	rb_log_init("rb-udp-echo", RB_LOG_INFO);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	return run(&config, &signals);
}

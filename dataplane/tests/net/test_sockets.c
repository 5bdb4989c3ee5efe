// SPDX-License-Identifier: Apache-2.0
/* The library behind socket calls: two instances that give each other their packets, in virtual time. */
#include "tests/net/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sockets/sockets.h"

#define SECOND UINT64_C(1000000000)
#define DELAY  UINT64_C(1000000) /* of each packet, ns */

enum { QUEUE = 4096, PORT = 80, HEADER_MAX = 60 };

struct packet {
	uint8_t *bytes;
	size_t length;
	uint64_t due_ns;
};

/* An instance, and what the other one has sent to it. */
struct end {
	struct rbs *rbs;
	struct end *other;
	struct packet queue[QUEUE];
	unsigned first, count;
	bool deaf;		      /* what comes is lost */
	uint8_t syn[HEADER_MAX + 40]; /* the last SYN that came */
};

static struct end ends[2];
static uint64_t now_ns;
static bool is6;

static void output(void *context, const uint8_t *bytes, size_t length)
{
	struct end *to = ((struct end *)context)->other;
	const uint8_t *tcp = bytes + (bytes[0] >> 4 == 6 ? 40 : 20);
	if ((tcp[13] & 2) != 0)
		memcpy(to->syn, tcp, (size_t)(tcp[12] >> 4) * 4);
	if (to->deaf)
		return;
	assert_in_range(to->count, 0, QUEUE - 1);
	struct packet *packet = &to->queue[(to->first + to->count++) % QUEUE];
	*packet = (struct packet){malloc(length), length, now_ns + DELAY};
	assert_non_null(packet->bytes);
	memcpy(packet->bytes, bytes, length);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What is due next, at either end, or the time. */
static int step(void *context, struct rbs *rbs, uint64_t until_ns)
{
	uint64_t next_ns = until_ns;
	(void)context;
	(void)rbs;
	for (unsigned i = 0; i < 2; i++) {
		next_ns = earlier(next_ns, rbs_deadline_ns(ends[i].rbs));
		if (ends[i].count > 0)
			next_ns = earlier(next_ns, ends[i].queue[ends[i].first].due_ns);
	}
	now_ns = next_ns > now_ns ? next_ns : now_ns;
	for (unsigned i = 0; i < 2; i++) {
		rbs_advance(ends[i].rbs, now_ns);
		while (ends[i].count > 0 && ends[i].queue[ends[i].first].due_ns <= now_ns) {
			const struct packet packet = ends[i].queue[ends[i].first];
			ends[i].first = (ends[i].first + 1) % QUEUE;
			ends[i].count--;
			assert_int_equal(rbs_input(ends[i].rbs, packet.bytes, packet.length), 0);
			free(packet.bytes);
		}
	}
	return 0;
}

static int wait_for(unsigned end, int fd, short events)
{
	return rbs_wait(ends[end].rbs, fd, events, now_ns + 300 * SECOND, step, NULL);
}

static void pass_time(uint64_t ns)
{
	const uint64_t until_ns = now_ns + ns;
	while (now_ns < until_ns)
		(void)step(NULL, NULL, until_ns);
}

struct address {
	struct sockaddr_storage storage;
	socklen_t length;
};

static struct sockaddr *generic(struct address *address)
{
	return (struct sockaddr *)(void *)&address->storage;
}

/* Of that end, or with end 2 any address. */
static struct address address_of(unsigned end, uint16_t port)
{
	struct address address = {.length = is6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	if (end < 2) {
		in.sin_addr.s_addr = htonl(0x0a000001U + 0x100U * end);
		assert_int_equal(inet_pton(AF_INET6, end == 0 ? "2001:db8::1" : "2001:db8:1::1", &in6.sin6_addr), 1);
	}
	memcpy(&address.storage, is6 ? (void *)&in6 : (void *)&in, address.length);
	return address;
}

static int open_with(const char *more)
{
	char settings[512], why[128] = "";
	now_ns = 5 * SECOND;
	for (unsigned i = 0; i < 2; i++) {
		ends[i] = (struct end){.other = &ends[1 - i]};
		(void)snprintf(settings, sizeof(settings), "ip4=10.0.%u.1 ip6=%s seed=%u %s", i,
			       i == 0 ? "2001:db8::1" : "2001:db8:1::1", i, more);
		ends[i].rbs = rbs_new(settings, output, &ends[i], now_ns, why, sizeof(why));
		assert_string_equal(why, "");
		assert_non_null(ends[i].rbs);
	}
	return 0;
}

static int open_ends(void **state)
{
	is6 = *state != NULL;
	return open_with("send_buffer=20000 receive_window=30000");
}

static int close_ends(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		rbs_delete(ends[i].rbs);
		for (; ends[i].count > 0; ends[i].count--)
			free(ends[i].queue[ends[i].first++ % QUEUE].bytes);
	}
	return 0;
}

static int make(unsigned end)
{
	const int fd = rbs_socket(ends[end].rbs, is6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	assert_in_range(fd, 0, 100);
	return fd;
}

static int listen_at(unsigned end, uint16_t port, int backlog)
{
	struct address any = address_of(2, port);
	const int fd = make(end);
	assert_int_equal(rbs_bind(ends[end].rbs, fd, generic(&any), any.length), 0);
	assert_int_equal(rbs_listen(ends[end].rbs, fd, backlog), 0);
	return fd;
}

static int start(unsigned end, int fd, uint16_t port)
{
	struct address to = address_of(1 - end, port);
	return rbs_connect(ends[end].rbs, fd, generic(&to), to.length);
}

struct connection {
	int listener, a, b; /* a of end 0 has connected to the listener of end 1 */
};

static struct connection connection_make(void)
{
	struct connection c = {.listener = listen_at(1, PORT, 8), .a = make(0)};
	assert_int_equal(start(0, c.a, PORT), -EINPROGRESS);
	assert_int_equal(start(0, c.a, PORT), -EALREADY);
	assert_true(wait_for(0, c.a, POLLOUT) & POLLOUT);
	assert_int_equal(start(0, c.a, PORT), 0);
	assert_int_equal(start(0, c.a, PORT), -EISCONN);
	assert_true(wait_for(1, c.listener, POLLIN) & POLLIN);
	struct address from = {.length = sizeof(from.storage)}, own = from;
	c.b = rbs_accept(ends[1].rbs, c.listener, generic(&from), &from.length);
	assert_in_range(c.b, 0, 100);
	assert_int_equal(rbs_accept(ends[1].rbs, c.listener, NULL, NULL), -EAGAIN);
	assert_int_equal(rbs_getsockname(ends[0].rbs, c.a, generic(&own), &own.length), 0);
	assert_int_equal(own.length, is6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	assert_memory_equal(&own.storage, &from.storage, own.length);
	return c;
}

static void transfer(unsigned end, int from, int to, uint64_t seed, size_t bytes)
{
	uint8_t out[3001], in[2777];
	size_t sent = 0, got = 0, at;
	while (got < bytes) {
		while (sent < bytes) {
			const size_t size = bytes - sent < sizeof(out) ? bytes - sent : sizeof(out);
			fixture_fill(out, size, seed, sent);
			const ssize_t written = rbs_write(ends[end].rbs, from, out, size);
			if (written == -EAGAIN)
				break;
			assert_in_range(written, 1, size);
			sent += (size_t)written;
		}
		if (got == sent) { /* all read, but not yet acknowledged */
			assert_true(wait_for(end, from, POLLOUT) & POLLOUT);
			continue;
		}
		assert_true(wait_for(1 - end, to, POLLIN) & POLLIN);
		ssize_t size;
		while ((size = rbs_read(ends[1 - end].rbs, to, in, sizeof(in))) > 0) {
			assert_true(fixture_check(in, (size_t)size, seed, got, &at));
			got += (size_t)size;
		}
		assert_int_equal(size, -EAGAIN);
	}
	assert_int_equal(got, bytes);
}

static void test_life(void **state)
{
	(void)state;
	const struct connection c = connection_make();
	char byte;
	transfer(0, c.a, c.b, 1, 1000000);
	transfer(1, c.b, c.a, 2, 1000000);
	/* half a close, and data the other way */
	assert_int_equal(rbs_shutdown(ends[0].rbs, c.a, SHUT_WR), 0);
	assert_int_equal(rbs_write(ends[0].rbs, c.a, "x", 1), -EPIPE);
	assert_true(wait_for(1, c.b, POLLRDHUP) & POLLRDHUP);
	assert_int_equal(rbs_read(ends[1].rbs, c.b, &byte, 1), 0);
	transfer(1, c.b, c.a, 3, 50000);
	/* what was written before close() is sent after it */
	assert_int_equal(rbs_write(ends[1].rbs, c.b, "y", 1), 1);
	assert_int_equal(rbs_close(ends[1].rbs, c.b), 0);
	assert_int_equal(rbs_close(ends[1].rbs, c.b), -EBADF);
	assert_true(wait_for(0, c.a, POLLIN) & POLLIN);
	assert_int_equal(rbs_read(ends[0].rbs, c.a, &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_true(wait_for(0, c.a, POLLHUP) & POLLHUP);
	assert_int_equal(rbs_read(ends[0].rbs, c.a, &byte, 1), 0);
	assert_int_equal(rbs_close(ends[0].rbs, c.a), 0);
	assert_int_equal(rbs_counter(ends[0].rbs, "tcp_resets_out"), 0);
	assert_int_equal(rbs_counter(ends[0].rbs, "nothing"), UINT64_MAX);
}

/* The window closes for bytes that nobody reads, and opens when somebody does. */
static void test_window(void **state)
{
	(void)state;
	const struct connection c = connection_make();
	uint8_t bytes[20000] = {0};
	size_t sent = 0;
	for (unsigned i = 0; i < 50; i++) {
		const ssize_t written = rbs_write(ends[0].rbs, c.a, bytes, sizeof(bytes));
		sent += written > 0 ? (size_t)written : 0;
		pass_time(SECOND / 10);
	}
	assert_in_range(sent, 45000, 50000);		/* a window and a send buffer */
	assert_int_equal(wait_for(0, c.a, POLLOUT), 0); /* no room until somebody reads */
	size_t got = 0;
	while (got < sent) {
		assert_true(wait_for(1, c.b, POLLIN) & POLLIN);
		got += (size_t)rbs_read(ends[1].rbs, c.b, bytes, sizeof(bytes));
	}
	assert_true(wait_for(0, c.a, POLLOUT) & POLLOUT);
}

static int number_of(unsigned end, int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);
	assert_int_equal(rbs_getsockopt(ends[end].rbs, fd, level, option, &value, &length), 0);
	return value;
}

/* A reset: the error once, and before it what had come. */
static void test_reset(void **state)
{
	(void)state;
	const struct connection c = connection_make();
	const struct linger at_once = {.l_onoff = 1};
	char bytes[8];
	assert_int_equal(rbs_write(ends[0].rbs, c.a, "last", 4), 4);
	assert_true(wait_for(1, c.b, POLLIN) & POLLIN);
	assert_int_equal(rbs_setsockopt(ends[0].rbs, c.a, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	assert_int_equal(rbs_close(ends[0].rbs, c.a), 0);
	assert_true(wait_for(1, c.b, 0) & POLLERR);
	assert_int_equal(rbs_read(ends[1].rbs, c.b, bytes, sizeof(bytes)), 4);
	assert_memory_equal(bytes, "last", 4);
	assert_int_equal(rbs_read(ends[1].rbs, c.b, bytes, sizeof(bytes)), -ECONNRESET);
	assert_int_equal(rbs_read(ends[1].rbs, c.b, bytes, sizeof(bytes)), 0);
	assert_int_equal(rbs_write(ends[1].rbs, c.b, "x", 1), -EPIPE);
	assert_int_equal(rbs_close(ends[1].rbs, c.b), 0);
}

/* RFC 1122 4.2.2.13 */
static void test_close_unread(void **state)
{
	(void)state;
	const struct connection c = connection_make();
	assert_int_equal(rbs_write(ends[0].rbs, c.a, "unread", 6), 6);
	assert_true(wait_for(1, c.b, POLLIN) & POLLIN);
	assert_int_equal(rbs_close(ends[1].rbs, c.b), 0);
	assert_true(wait_for(0, c.a, 0) & POLLERR);
	assert_int_equal(number_of(0, c.a, SOL_SOCKET, SO_ERROR), ECONNRESET);
	assert_int_equal(number_of(0, c.a, SOL_SOCKET, SO_ERROR), 0);
}

static void test_refused(void **state)
{
	(void)state;
	const int fd = make(0);
	assert_int_equal(start(0, fd, 81), -EINPROGRESS);
	assert_true(wait_for(0, fd, POLLOUT) & POLLERR);
	assert_int_equal(start(0, fd, 81), -ECONNREFUSED);
	assert_int_equal(rbs_close(ends[0].rbs, fd), 0);
	/* and nobody there at all: the time of the retransmissions of a SYN */
	const int other = make(0);
	ends[1].deaf = true;
	assert_int_equal(start(0, other, 81), -EINPROGRESS);
	assert_true(wait_for(0, other, POLLOUT) & POLLERR);
	assert_int_equal(number_of(0, other, SOL_SOCKET, SO_ERROR), ETIMEDOUT);
}

/* No room in the queue of accept(): reset. Closing a listener resets those that wait. */
static void test_backlog(void **state)
{
	(void)state;
	const int listener = listen_at(1, PORT, 1), first = make(0), second = make(0);
	assert_int_equal(start(0, first, PORT), -EINPROGRESS);
	assert_true(wait_for(1, listener, POLLIN) & POLLIN);
	assert_int_equal(start(0, second, PORT), -EINPROGRESS);
	assert_true(wait_for(0, second, 0) & POLLERR);
	assert_int_equal(number_of(0, second, SOL_SOCKET, SO_ERROR), ECONNRESET);
	assert_int_equal(wait_for(0, first, POLLOUT), POLLOUT);
	assert_int_equal(rbs_close(ends[1].rbs, listener), 0);
	assert_true(wait_for(0, first, 0) & POLLERR);
	assert_int_equal(start(0, make(0), PORT), -EINPROGRESS);
}

static void test_addresses(void **state)
{
	(void)state;
	struct rbs *rbs = ends[0].rbs;
	struct address any = address_of(2, PORT), foreign = address_of(1, PORT);
	const int listener = listen_at(0, PORT, 1), fd = make(0), other = make(0);
	const int yes = 1;
	assert_int_equal(rbs_bind(rbs, fd, generic(&any), any.length), -EADDRINUSE);
	assert_int_equal(rbs_bind(rbs, fd, generic(&foreign), any.length), -EADDRNOTAVAIL);
	assert_int_equal(rbs_bind(rbs, fd, generic(&any), 4), -EINVAL);
	any = address_of(2, 0);
	assert_int_equal(rbs_bind(rbs, fd, generic(&any), any.length), 0);
	any.length = sizeof(any.storage);
	assert_int_equal(rbs_getsockname(rbs, fd, generic(&any), &any.length), 0);
	assert_int_equal(rbs_getpeername(rbs, fd, generic(&any), &any.length), -ENOTCONN);
	assert_int_equal(rbs_bind(rbs, other, generic(&any), any.length), -EADDRINUSE);
	assert_int_equal(rbs_setsockopt(rbs, fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
	assert_int_equal(rbs_setsockopt(rbs, other, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
	assert_int_equal(rbs_bind(rbs, other, generic(&any), any.length), 0);
	assert_int_equal(rbs_connect(rbs, listener, generic(&foreign), foreign.length), -EINVAL);
	assert_int_equal(rbs_accept(rbs, fd, NULL, NULL), -EINVAL);
	assert_int_equal(rbs_read(rbs, fd, NULL, 0), -ENOTCONN);
	assert_int_equal(rbs_shutdown(rbs, fd, SHUT_WR), -ENOTCONN);
	assert_int_equal(rbs_socket(rbs, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
	assert_int_equal(rbs_socket(rbs, AF_INET, SOCK_DGRAM, 0), -EPROTONOSUPPORT);
	assert_int_equal(rbs_close(rbs, 77), -EBADF);
}

static int set_number(unsigned end, int fd, int level, int option, int value)
{
	return rbs_setsockopt(ends[end].rbs, fd, level, option, &value, sizeof(value));
}

/* Those that SYNs tell are in them. */
static void test_syn_options(void **state)
{
	(void)state;
	const int listener = make(1), fd = make(0);
	struct address any = address_of(2, PORT);
	assert_int_equal(rbs_bind(ends[1].rbs, listener, generic(&any), any.length), 0);
	assert_int_equal(set_number(1, listener, IPPROTO_TCP, TCP_MAXSEG, 600), 0);
	assert_int_equal(set_number(1, listener, SOL_SOCKET, SO_RCVBUF, 5000), 0);
	assert_int_equal(rbs_listen(ends[1].rbs, listener, 3), 0);
	assert_int_equal(set_number(1, listener, IPPROTO_TCP, TCP_MAXSEG, 700), -EINVAL); /* too late */
	assert_int_equal(set_number(0, fd, IPPROTO_TCP, TCP_MAXSEG, 500), 0);
	assert_int_equal(set_number(0, fd, IPPROTO_TCP, TCP_MAXSEG, 20), -EINVAL);
	assert_int_equal(set_number(0, fd, SOL_SOCKET, SO_RCVBUF, 4000), 0);
	assert_int_equal(set_number(0, fd, SOL_SOCKET, SO_RCVBUF, 2000), -EINVAL);
	assert_int_equal(set_number(0, fd, SOL_SOCKET, SO_RCVBUF, 30001), -EINVAL);
	assert_int_equal(start(0, fd, PORT), -EINPROGRESS);
	assert_true(wait_for(0, fd, POLLOUT) & POLLOUT);
	assert_int_equal(ends[1].syn[14] << 8 | ends[1].syn[15], 4000);
	assert_int_equal(ends[0].syn[14] << 8 | ends[0].syn[15], 5000);
	const uint8_t mss_a[] = {2, 4, 500 >> 8, 500 & 255}, mss_b[] = {2, 4, 600 >> 8, 600 & 255};
	assert_non_null(memmem(ends[1].syn, sizeof(ends[1].syn), mss_a, sizeof(mss_a)));
	assert_non_null(memmem(ends[0].syn, sizeof(ends[0].syn), mss_b, sizeof(mss_b)));
	assert_int_equal(number_of(0, fd, IPPROTO_TCP, TCP_MAXSEG), 500 - 12);
	/* they do not stay for the next one */
	const int plain = make(0);
	assert_int_equal(start(0, plain, PORT), -EINPROGRESS);
	assert_int_equal(ends[1].syn[14] << 8 | ends[1].syn[15], 30000);
	/* small windows move data, too */
	assert_true(wait_for(1, listener, POLLIN) & POLLIN);
	const int accepted = rbs_accept(ends[1].rbs, listener, NULL, NULL);
	transfer(0, fd, accepted, 4, 100000);
	transfer(1, accepted, fd, 5, 100000);
}

static void test_options(void **state)
{
	(void)state;
	const struct connection c = connection_make();
	char name[16] = "";
	socklen_t length = sizeof(name);
	struct tcp_info info;
	socklen_t info_length = sizeof(info);
	assert_int_equal(number_of(0, c.a, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(set_number(0, c.a, IPPROTO_TCP, TCP_NODELAY, 1), 0);
	assert_int_equal(number_of(0, c.a, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(set_number(0, c.a, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
	assert_int_equal(number_of(0, c.a, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(rbs_getsockopt(ends[0].rbs, c.a, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
	assert_string_equal(name, "cubic");
	assert_int_equal(rbs_setsockopt(ends[0].rbs, c.a, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	assert_int_equal(rbs_setsockopt(ends[0].rbs, c.a, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), -ENOENT);
	length = sizeof(name);
	assert_int_equal(rbs_getsockopt(ends[0].rbs, c.a, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
	assert_string_equal(name, "reno");
	assert_int_equal(number_of(0, c.a, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	assert_int_equal(number_of(1, c.listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(number_of(0, c.a, SOL_SOCKET, SO_RCVBUF), 30000);
	assert_int_equal(number_of(0, c.a, SOL_SOCKET, SO_SNDBUF), 20000);
	assert_int_equal(set_number(0, c.a, SOL_SOCKET, SO_MARK, 1), -ENOPROTOOPT);
	assert_int_equal(rbs_getsockopt(ends[0].rbs, c.a, IPPROTO_TCP, TCP_INFO, &info, &info_length), 0);
	assert_int_equal(info.tcpi_state, TCP_ESTABLISHED);
	assert_true(info.tcpi_options & TCPI_OPT_SACK);
	assert_int_equal(info.tcpi_snd_cwnd, 10);
	assert_int_equal(info.tcpi_rtt, 2000);
	info_length = sizeof(info);
	assert_int_equal(rbs_getsockopt(ends[1].rbs, c.listener, IPPROTO_TCP, TCP_INFO, &info, &info_length), 0);
	assert_int_equal(info.tcpi_state, TCP_LISTEN);
}

/* RFC 5482: the connection ends when nothing is acknowledged for so long. */
static void test_user_timeout(void **state)
{
	(void)state;
	const struct connection c = connection_make();
	assert_int_equal(set_number(0, c.a, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000), 0);
	assert_int_equal(number_of(0, c.a, IPPROTO_TCP, TCP_USER_TIMEOUT), 3000);
	ends[1].deaf = true;
	const uint64_t from_ns = now_ns;
	assert_int_equal(rbs_write(ends[0].rbs, c.a, "lost", 4), 4);
	assert_true(wait_for(0, c.a, 0) & POLLERR);
	assert_int_equal(number_of(0, c.a, SOL_SOCKET, SO_ERROR), ETIMEDOUT);
	assert_in_range(now_ns - from_ns, 3 * SECOND, 6 * SECOND);
}

/* A socket of AF_INET6 at any address takes IPv4, and names the peer by the mapped address. */
static void test_both_families(void **state)
{
	(void)state;
	is6 = true;
	const int listener = listen_at(1, PORT, 1);
	is6 = false;
	const int fd = make(0);
	assert_int_equal(start(0, fd, PORT), -EINPROGRESS);
	assert_true(wait_for(1, listener, POLLIN) & POLLIN);
	struct sockaddr_in6 from;
	socklen_t length = sizeof(from);
	assert_in_range(rbs_accept(ends[1].rbs, listener, (struct sockaddr *)(void *)&from, &length), 0, 100);
	assert_int_equal(length, sizeof(from));
	assert_true(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
}

static void refuse(const char *settings, const char *sentence)
{
	char why[128] = "";
	assert_null(rbs_new(settings, output, NULL, 0, why, sizeof(why)));
	assert_string_equal(why, sentence);
}

static void test_settings(void **state)
{
	(void)state;
	refuse("", "ip4 or ip6 is needed");
	refuse("ip4=1.2.3.4 speed=3", "no such setting: speed=3");
	refuse("ip4=1.2.3.4 mtu=70000", "wrong value: mtu=70000");
	refuse("ip4=1.2.3.4  mtu=70 seed=1", "mtu must be 576 to 9000 bytes");
	refuse("ip4=1.2.3", "wrong value: ip4=1.2.3");
	refuse("ip4=1.2.3.4 sack=maybe", "wrong value: sack=maybe");
	refuse("ip4=1.2.3.4 sack", "wrong value: sack");
	assert_null(rbs_new("ip4=", output, NULL, 0, NULL, 0));
	struct rbs *rbs = rbs_new(" ip4=1.2.3.4 congestion=dctcp tlp=no ", output, NULL, 0, NULL, 0);
	assert_non_null(rbs);
	assert_int_equal(rbs_input(rbs, (const uint8_t *)"\x50", 1), -EINVAL);
	assert_int_equal(rbs_input(rbs, (const uint8_t *)"\x45", 1), 0);
	rbs_delete(rbs);
	rbs_delete(NULL);
}

int main(void)
{
	static bool ip6 = true;
#define WITH(test)                                                    \
	cmocka_unit_test_setup_teardown(test, open_ends, close_ends), \
	{                                                             \
		#test " over IPv6", test, open_ends, close_ends, &ip6 \
	}
	const struct CMUnitTest tests[] = {
		WITH(test_life),
		WITH(test_window),
		WITH(test_reset),
		WITH(test_close_unread),
		WITH(test_refused),
		WITH(test_backlog),
		WITH(test_addresses),
		WITH(test_syn_options),
		WITH(test_options),
		WITH(test_user_timeout),
		cmocka_unit_test_setup_teardown(test_both_families, open_ends, close_ends),
		cmocka_unit_test(test_settings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* getsockopt() and setsockopt(). */
#include "sockets/defs.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

static const char *const congestion_names[RB_NET_CONGESTIONS] = {
	[RB_NET_NEWRENO] = "reno",
	[RB_NET_CUBIC] = "cubic",
	[RB_NET_DCTCP] = "dctcp",
};

/* The handle is one of the library's. */
static bool is_live(const struct socket *socket)
{
	return socket->state == SOCKET_LISTENING || socket->state == SOCKET_CONNECTING || socket->state == SOCKET_OPEN;
}

static int pass(struct rbs *rbs, const struct socket *socket, enum rb_net_option option, uint64_t value)
{
	return is_live(socket) ? rb_net_set(rbs->net, socket->handle, option, value) : 0;
}

void option_offer(struct rbs *rbs, const struct socket *socket)
{
	(void)rb_net_set(rbs->net, 0, RB_NET_OPTION_MSS, socket->mss);
	(void)rb_net_set(rbs->net, 0, RB_NET_OPTION_RECEIVE_WINDOW, socket->receive_window);
}

void option_apply(struct rbs *rbs, const struct socket *socket)
{
	/* all were checked when they were set */
	(void)pass(rbs, socket, RB_NET_OPTION_NODELAY, socket->nodelay);
	(void)pass(rbs, socket, RB_NET_OPTION_KEEPALIVE, socket->keepalive);
	(void)pass(rbs, socket, RB_NET_OPTION_USER_TIMEOUT, UINT64_C(1000) * socket->user_timeout_ms);
	(void)pass(rbs, socket, RB_NET_OPTION_CONGESTION, socket->congestion);
	if (socket->state == SOCKET_LISTENING) {
		(void)pass(rbs, socket, RB_NET_OPTION_MSS, socket->mss);
		(void)pass(rbs, socket, RB_NET_OPTION_RECEIVE_WINDOW, socket->receive_window);
	}
}

static int set_flag(struct rbs *rbs, const struct socket *socket, enum rb_net_option option, bool *field, int value)
{
	*field = value != 0;
	return pass(rbs, socket, option, *field);
}

static int set_linger(struct socket *socket, const void *value, socklen_t length)
{
	struct linger linger;
	if (length < sizeof(linger))
		return -EINVAL;
	memcpy(&linger, value, sizeof(linger));
	if (linger.l_onoff != 0 && linger.l_linger != 0)
		return -EINVAL; /* close() does not wait here */
	socket->linger = linger.l_onoff != 0;
	return 0;
}

static int set_congestion(struct rbs *rbs, struct socket *socket, const char *name, socklen_t length)
{
	for (unsigned i = 0; i < RB_NET_CONGESTIONS; i++) {
		const size_t size = strlen(congestion_names[i]);
		if (strnlen(name, length) == size && memcmp(name, congestion_names[i], size) == 0) {
			socket->congestion = (uint8_t)i;
			return pass(rbs, socket, RB_NET_OPTION_CONGESTION, i);
		}
	}
	return -ENOENT;
}

static int set_receive_window(struct rbs *rbs, struct socket *socket, int bytes)
{
	/* the library knows the limits; option_offer() sets it anew before it counts */
	if (socket->state != SOCKET_NEW || bytes <= 0 ||
	    rb_net_set(rbs->net, 0, RB_NET_OPTION_RECEIVE_WINDOW, (uint64_t)bytes) != 0)
		return -EINVAL;
	socket->receive_window = (uint32_t)bytes;
	return 0;
}

static int set_mss(struct socket *socket, int bytes)
{
	enum { MSS_LEAST = 64, MSS_MOST = 8960 }; /* as in struct rb_net_config */
	if (socket->state != SOCKET_NEW || bytes < MSS_LEAST || bytes > MSS_MOST)
		return -EINVAL;
	socket->mss = (uint16_t)bytes;
	return 0;
}

static int set_socket(struct rbs *rbs, struct socket *socket, int option, int number, const void *value,
		      socklen_t length)
{
	switch (option) {
	case SO_KEEPALIVE:
		return set_flag(rbs, socket, RB_NET_OPTION_KEEPALIVE, &socket->keepalive, number);
	case SO_REUSEADDR:
		socket->reuse_address = number != 0;
		return 0;
	case SO_RCVBUF:
		return set_receive_window(rbs, socket, number);
	case SO_LINGER:
		return set_linger(socket, value, length);
	default:
		return -ENOPROTOOPT;
	}
}

static int set_tcp(struct rbs *rbs, struct socket *socket, int option, int number)
{
	switch (option) {
	case TCP_NODELAY: {
		const int status = set_flag(rbs, socket, RB_NET_OPTION_NODELAY, &socket->nodelay, number);
		event_turn(rbs);
		return status;
	}
	case TCP_MAXSEG:
		return set_mss(socket, number);
	case TCP_USER_TIMEOUT:
		if (number < 0 || (uint64_t)number * 1000 > UINT32_MAX)
			return -EINVAL;
		socket->user_timeout_ms = (uint32_t)number;
		return pass(rbs, socket, RB_NET_OPTION_USER_TIMEOUT, UINT64_C(1000) * socket->user_timeout_ms);
	default:
		return -ENOPROTOOPT;
	}
}

int rbs_setsockopt(struct rbs *rbs, int fd, int level, int option, const void *value, socklen_t length)
{
	struct socket *socket = socket_of(rbs, fd);
	int number;
	if (socket == NULL)
		return -EBADF;
	if (level == IPPROTO_TCP && option == TCP_CONGESTION)
		return set_congestion(rbs, socket, value, length);
	if (length < sizeof(number))
		return -EINVAL;
	memcpy(&number, value, sizeof(number));
	if (level == SOL_SOCKET)
		return set_socket(rbs, socket, option, number, value, length);
	return level == IPPROTO_TCP ? set_tcp(rbs, socket, option, number) : -ENOPROTOOPT;
}

/*
 * Reading.
 */

static int give(const void *from, socklen_t size, void *value, socklen_t *length)
{
	if (*length > size)
		*length = size;
	memcpy(value, from, *length);
	return 0;
}

static int give_number(int number, void *value, socklen_t *length)
{
	return give(&number, sizeof(number), value, length);
}

/* The states of RFC 9293 in the order of struct rb_net_info, as Linux numbers them. */
static uint8_t state_of(uint8_t state)
{
	static const uint8_t states[] = {TCP_CLOSE,	  TCP_LISTEN,	 TCP_SYN_SENT,	TCP_SYN_RECV,
					 TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT,
					 TCP_CLOSING,	  TCP_LAST_ACK,	 TCP_TIME_WAIT};
	return state < sizeof(states) ? states[state] : (uint8_t)TCP_CLOSE;
}

static void info_fill(const struct rb_net_info *from, const struct socket *socket, struct tcp_info *info)
{
	const unsigned mss = from->mss > 0 ? from->mss : 1;
	info->tcpi_state = state_of(from->state);
	info->tcpi_options = (uint8_t)((from->timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (from->sack ? TCPI_OPT_SACK : 0) |
				       (from->ecn ? TCPI_OPT_ECN : 0) | (from->window_scaling ? TCPI_OPT_WSCALE : 0));
	info->tcpi_snd_wscale = from->snd_wscale & 15U;
	info->tcpi_rcv_wscale = from->rcv_wscale & 15U;
	info->tcpi_rto = from->rto_us;
	info->tcpi_snd_mss = from->mss;
	info->tcpi_advmss = socket->mss;
	info->tcpi_unacked = (from->snd_nxt - from->snd_una + mss - 1) / mss; /* segments */
	info->tcpi_rtt = from->srtt_us;
	info->tcpi_rttvar = from->rttvar_us;
	info->tcpi_snd_ssthresh = from->ssthresh / mss;
	info->tcpi_snd_cwnd = from->cwnd / mss;
	info->tcpi_rcv_space = from->rcv_wnd;
	info->tcpi_total_retrans = from->retransmissions;
}

static int get_info(struct rbs *rbs, const struct socket *socket, void *value, socklen_t *length)
{
	struct tcp_info info = {.tcpi_state = TCP_CLOSE};
	struct rb_net_info from;
	if (socket->state == SOCKET_LISTENING)
		info.tcpi_state = TCP_LISTEN;
	else if (is_live(socket) && rb_net_info(rbs->net, socket->handle, &from) == 0)
		info_fill(&from, socket, &info);
	return give(&info, sizeof(info), value, length);
}

static int get_mss(struct rbs *rbs, const struct socket *socket)
{
	enum { MSS_DEFAULT = 536 }; /* RFC 9293 3.7.1 */
	struct rb_net_info info;
	if (socket->state == SOCKET_OPEN && rb_net_info(rbs->net, socket->handle, &info) == 0)
		return info.mss;
	return socket->mss != 0 ? socket->mss : MSS_DEFAULT;
}

static int get_socket(const struct rbs *rbs, struct socket *socket, int option, void *value, socklen_t *length)
{
	const struct linger linger = {.l_onoff = socket->linger};
	const uint32_t window = socket->receive_window != 0 ? socket->receive_window : rbs->config.net.receive_window;
	switch (option) {
	case SO_ERROR: {
		const int error = socket->error;
		socket->error = 0;
		return give_number(error, value, length);
	}
	case SO_TYPE:
		return give_number(SOCK_STREAM, value, length);
	case SO_ACCEPTCONN:
		return give_number(socket->state == SOCKET_LISTENING, value, length);
	case SO_KEEPALIVE:
		return give_number(socket->keepalive, value, length);
	case SO_REUSEADDR:
		return give_number(socket->reuse_address, value, length);
	case SO_RCVBUF:
		return give_number((int)window, value, length);
	case SO_SNDBUF:
		return give_number((int)rbs->config.send_buffer, value, length);
	case SO_LINGER:
		return give(&linger, sizeof(linger), value, length);
	default:
		return -ENOPROTOOPT;
	}
}

static int get_tcp(struct rbs *rbs, const struct socket *socket, int option, void *value, socklen_t *length)
{
	enum { NAME_SIZE = 16 }; /* as much as Linux gives */
	char name[NAME_SIZE] = {0};
	switch (option) {
	case TCP_NODELAY:
		return give_number(socket->nodelay, value, length);
	case TCP_MAXSEG:
		return give_number(get_mss(rbs, socket), value, length);
	case TCP_USER_TIMEOUT:
		return give_number((int)socket->user_timeout_ms, value, length);
	case TCP_CONGESTION:
		memcpy(name, congestion_names[socket->congestion], strlen(congestion_names[socket->congestion]));
		return give(name, sizeof(name), value, length);
	case TCP_INFO:
		return get_info(rbs, socket, value, length);
	default:
		return -ENOPROTOOPT;
	}
}

int rbs_getsockopt(struct rbs *rbs, int fd, int level, int option, void *value, socklen_t *length)
{
	struct socket *socket = socket_of(rbs, fd);
	if (socket == NULL)
		return -EBADF;
	if (level == SOL_SOCKET)
		return get_socket(rbs, socket, option, value, length);
	return level == IPPROTO_TCP ? get_tcp(rbs, socket, option, value, length) : -ENOPROTOOPT;
}

// SPDX-License-Identifier: Apache-2.0
/* Connections that move from one instance of a host to the other. */
#include "tests/net/host.h"

#include <errno.h>
#include <inttypes.h>

#include "tests/net/fixture.h"
#include "tests/net/host_defs.h"

enum { RECORD_MAX = 1 << 20 };

static int64_t export(struct rb_net *net, rb_net_handle handle, uint8_t *record)
{
	const int64_t size = rb_net_export(net, handle, record, RECORD_MAX);
	if (size <= 0)
		fail_msg("export: %" PRId64, size);
	/* the handle is void, and a record that does not fit changes nothing (seen by the next export) */
	struct rb_net_info info;
	assert_int_equal(rb_net_info(net, handle, &info), -EBADF);
	return size;
}

static void second_open(struct host *host)
{
	uint8_t mac[6];
	const unsigned other = 2 - host->config.end;
	host_net_open(host, 1);
	fixture_mac(mac, other);
	for (unsigned ip6 = 0; ip6 < 2; ip6++) {
		const struct rb_ip ip = fixture_ip(ip6, other);
		assert_int_equal(rb_net_neighbour_set(host->net[1], &ip, mac), 0);
	}
}

void host_move(struct host *host, struct rb_net **net, rb_net_handle *handle, bool to_other)
{
	struct rb_net_info info;
	assert_int_equal(rb_net_info(*net, *handle, &info), 0);
	if (to_other && host->net[1] == NULL)
		second_open(host);
	if (host->records == NULL)
		host->records = fixture_resize(NULL, 2, RECORD_MAX);
	uint8_t *record = host->records, *again = record + RECORD_MAX;
	const int short_of = (int)rb_net_export(*net, *handle, record, 8);
	if (short_of == -ENOTCONN) /* has ended, and its last event is due here */
		return;
	assert_int_equal(short_of, -ENOSPC);
	const int64_t size = export(*net, *handle, record);
	struct rb_net *from = *net;
	if (to_other)
		*net = host->net[from == host->net[0]];
	int status = rb_net_import(*net, record, (size_t)size, handle);
	if (status == -ENOBUFS && to_other) { /* the other one's pools are in use; here is the room that it has left */
		*net = from;
		status = rb_net_import(from, record, (size_t)size, handle);
	}
	assert_int_equal(status, 0);
	assert_int_equal(export(*net, *handle, again), size);
	assert_memory_equal(record, again, (size_t)size);
	assert_int_equal(rb_net_import(*net, record, (size_t)size, handle), 0);
	host_flow_set(host, &info, *net == host->net[1]);
	host_wake(host);
}

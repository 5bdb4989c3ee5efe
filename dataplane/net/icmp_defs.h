// SPDX-License-Identifier: Apache-2.0
/* The state of the limit on ICMP errors (net/icmp.h). */
#pragma once

#include <stdint.h>

/* A token bucket for IPv4 and IPv6 together (RFC 1812 4.3.2.8, RFC 4443 2.4 f). */
struct icmp_limit {
	uint64_t since_ns; /* tokens are counted up to this time */
	uint32_t tokens;
};

// SPDX-License-Identifier: Apache-2.0
#include "net/ip.h"

struct rb_ip rb_ip4(uint32_t address)
{
	return ip_from4(address);
}

bool rb_ip_is_4(const struct rb_ip *ip)
{
	return ip_is4(ip);
}

bool rb_ip_is_any(const struct rb_ip *ip)
{
	bool zero = (ip->words[0] | ip->words[1]) == 0;
	return zero || (ip_is4(ip) && ip_to4(ip) == 0);
}

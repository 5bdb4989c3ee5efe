// SPDX-License-Identifier: Apache-2.0
/* Values of options: text to numbers, sizes, times, addresses and CPU lists. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/options.h"

struct suffix {
	const char *text;
	uint64_t factor;
};

/* Decimal digits at *text, which is moved behind them. */
static int take_uint(const char **text, uint64_t *value)
{
	const char *p = *text;
	uint64_t sum = 0;
	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(sum, 10U, &sum) || __builtin_add_overflow(sum, (uint64_t)(*p - '0'), &sum))
			return -ERANGE;
	}
	*text = p;
	*value = sum;
	return 0;
}

static int parse_scaled(const char *text, const struct suffix *suffixes, size_t count, uint64_t *value)
{
	uint64_t number;
	int result = take_uint(&text, &number);
	if (result != 0)
		return result;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, suffixes[i].text) == 0)
			return __builtin_mul_overflow(number, suffixes[i].factor, value) ? -ERANGE : 0;
	}
	return -EINVAL;
}

int rb_parse_uint(const char *text, uint64_t *value)
{
	static const struct suffix plain[] = {{"", 1}};
	return parse_scaled(text, plain, 1, value);
}

int rb_parse_size(const char *text, uint64_t *bytes)
{
	static const struct suffix sizes[] = {{"", 1}, {"k", 1U << 10}, {"m", 1U << 20}, {"g", 1U << 30}};
	return parse_scaled(text, sizes, sizeof(sizes) / sizeof(sizes[0]), bytes);
}

int rb_parse_duration(const char *text, uint64_t *ns)
{
	static const struct suffix times[] = {
		{"ns", 1}, {"us", RB_NS_PER_US}, {"ms", RB_NS_PER_MS}, {"s", RB_NS_PER_S}};
	if (strcmp(text, "0") == 0) {
		*ns = 0;
		return 0;
	}
	return parse_scaled(text, times, sizeof(times) / sizeof(times[0]), ns);
}

int rb_parse_real(const char *text, double *value)
{
	/* strtod would take leading blanks, hexadecimal, "inf" and "nan". */
	if (text[0] == '\0' || text[strspn(text, "0123456789.eE+-")] != '\0')
		return -EINVAL;
	char *end;
	errno = 0;
	*value = strtod(text, &end);
	if (*end != '\0')
		return -EINVAL;
	return errno == ERANGE || !isfinite(*value) ? -ERANGE : 0;
}

static int take_address(const char **text, struct rb_address *address)
{
	uint32_t ip = 0;
	for (int i = 0; i < 4; i++) {
		uint64_t part;
		if (i > 0 && *(*text)++ != '.')
			return -EINVAL;
		if (take_uint(text, &part) != 0 || part > UINT8_MAX)
			return -EINVAL;
		ip = ip << 8 | (uint32_t)part;
	}
	*address = (struct rb_address){.ip = ip};
	return 0;
}

int rb_parse_address(const char *text, struct rb_address *address)
{
	int result = take_address(&text, address);
	return result != 0 ? result : *text != '\0' ? -EINVAL : 0;
}

int rb_parse_endpoint(const char *text, struct rb_address *address)
{
	uint64_t port;
	if (take_address(&text, address) != 0 || *text++ != ':' || rb_parse_uint(text, &port) != 0)
		return -EINVAL;
	if (port == 0 || port > UINT16_MAX)
		return -ERANGE;
	address->port = (uint16_t)port;
	return 0;
}

/* What follows the first address: nothing, "-" and the last one, or "/" and a prefix length. */
static int take_last_address(const char **text, uint32_t *first, uint32_t *last)
{
	struct rb_address address;
	uint64_t prefix;

	*last = *first;
	if (**text == '-') {
		++*text;
		if (take_address(text, &address) != 0 || address.ip < *first)
			return -EINVAL;
		*last = address.ip;
	} else if (**text == '/') {
		++*text;
		if (take_uint(text, &prefix) != 0 || prefix < 1 || prefix > 32)
			return -EINVAL;
		uint32_t hosts = (uint32_t)((UINT64_C(1) << (32 - prefix)) - 1);
		if ((*first & hosts) != 0 && prefix < 32)
			return -EINVAL;
		*last = *first | hosts;
		/* The network's own address and its broadcast address are no hosts; a /31 has neither. */
		if (prefix < 31) {
			++*first;
			--*last;
		}
	}
	return 0;
}

static int take_addresses(const char **text, struct rb_address_list *list)
{
	struct rb_address address;
	uint32_t last;

	if (take_address(text, &address) != 0)
		return -EINVAL;
	int result = take_last_address(text, &address.ip, &last);
	if (result != 0)
		return result;
	if (last - address.ip >= RB_ADDRESSES_MAX - list->count)
		return -ERANGE;
	for (uint32_t count = last - address.ip + 1; count > 0; count--, address.ip++)
		list->address[list->count++] = address;
	return 0;
}

int rb_parse_addresses(const char *text, struct rb_address_list *list)
{
	list->count = 0;
	for (;;) {
		int result = take_addresses(&text, list);
		if (result != 0)
			return result;
		if (*text == '\0')
			return 0;
		if (*text++ != ',')
			return -EINVAL;
	}
}

/* "3" or "0-3" */
static int take_cpus(const char **text, struct rb_cpu_list *list)
{
	uint64_t first;
	if (take_uint(text, &first) != 0)
		return -EINVAL;
	uint64_t last = first;
	if (**text == '-') {
		++*text;
		if (take_uint(text, &last) != 0 || last < first)
			return -EINVAL;
	}
	if (last > UINT16_MAX)
		return -ERANGE;
	for (uint64_t cpu = first; cpu <= last; cpu++) {
		if (list->count == RB_CPUS_MAX)
			return -ERANGE;
		list->cpu[list->count++] = (uint16_t)cpu;
	}
	return 0;
}

int rb_parse_cpus(const char *text, struct rb_cpu_list *list)
{
	list->count = 0;
	for (;;) {
		int result = take_cpus(&text, list);
		if (result != 0)
			return result;
		if (*text == '\0')
			return 0;
		if (*text++ != ',')
			return -EINVAL;
	}
}

const char *rb_address_format(struct rb_address address, char text[RB_ADDRESS_TEXT_MAX])
{
	snprintf(text, RB_ADDRESS_TEXT_MAX, "%u.%u.%u.%u:%u", address.ip >> 24, address.ip >> 16 & 0xff,
		 address.ip >> 8 & 0xff, address.ip & 0xff, address.port);
	return text;
}

int rb_parse_mac(const char *text, uint8_t mac[6])
{
	uint8_t octets[6];

	if (strlen(text) != 3 * sizeof(octets) - 1)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(octets); i++) {
		const char *pair = text + 3 * i;

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]) ||
		    pair[2] != (i + 1 < sizeof(octets) ? ':' : '\0'))
			return -EINVAL;
		octets[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	memcpy(mac, octets, sizeof(octets));
	return 0;
}

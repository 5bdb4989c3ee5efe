// SPDX-License-Identifier: Apache-2.0
#include "apps/http/date.h"

#include <string.h>
#include <time.h>

static const char *const day_names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* ---- formatting ---- */

static void put_number(char *at, int digits, int number)
{
	for (int i = digits - 1; i >= 0; i--, number /= 10)
		at[i] = (char)('0' + number % 10);
}

void http_date_format(int64_t seconds, char text[HTTP_DATE_LENGTH])
{
	time_t time = (time_t)seconds;
	struct tm tm;
	gmtime_r(&time, &tm);
	memcpy(text, "Day, 00 Mon 0000 00:00:00 GMT", HTTP_DATE_LENGTH);
	memcpy(text, day_names[tm.tm_wday], 3);
	put_number(text + 5, 2, tm.tm_mday);
	memcpy(text + 8, month_names + (ptrdiff_t)3 * tm.tm_mon, 3);
	put_number(text + 12, 4, tm.tm_year + 1900);
	put_number(text + 17, 2, tm.tm_hour);
	put_number(text + 20, 2, tm.tm_min);
	put_number(text + 23, 2, tm.tm_sec);
}

/* ---- parsing ---- */

static int number(const char *text, int digits)
{
	int value = 0;
	for (int i = 0; i < digits; i++)
		value = value * 10 + (text[i] - '0');
	return value;
}

static int month(const char *text)
{
	for (int i = 0; i < 12; i++) {
		if (memcmp(text, month_names + (ptrdiff_t)3 * i, 3) == 0)
			return i;
	}
	return -1;
}

/* Does the text look like `form`? In a form 9 is a digit, _ a digit or a space, a any letter, the rest itself. */
static bool looks_like(const char *text, size_t length, const char *form)
{
	if (length != strlen(form))
		return false;
	for (size_t i = 0; i < length; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';
		bool letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z');
		bool right = form[i] == '9'   ? digit
			     : form[i] == '_' ? digit || text[i] == ' '
			     : form[i] == 'a' ? letter
					      : text[i] == form[i];
		if (!right)
			return false;
	}
	return true;
}

static void take_time(const char *text, struct tm *tm)
{
	tm->tm_hour = number(text, 2);
	tm->tm_min = number(text + 3, 2);
	tm->tm_sec = number(text + 6, 2);
}

static int year_of(int64_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm tm;
	gmtime_r(&time, &tm);
	return tm.tm_year + 1900;
}

/* RFC 9110, 5.6.7: a year that seems to lie more than 50 years ahead is the last one with these digits. */
static int full_year(int digits, int now)
{
	int year = now / 100 * 100 + digits;
	return year > now + 50 ? year - 100 : year;
}

static bool take_rfc850(const char *text, size_t length, int64_t now, struct tm *tm)
{
	const char *comma = memchr(text, ',', length);
	size_t day = comma != NULL ? (size_t)(comma - text) : 0;
	bool known = false;
	for (int i = 0; i < 7; i++)
		known |= day == strlen(day_names[i]) && memcmp(text, day_names[i], day) == 0;
	if (!known || !looks_like(text + day, length - day, ", 99-aaa-99 99:99:99 GMT"))
		return false;
	text = comma + 2;
	tm->tm_mday = number(text, 2);
	tm->tm_mon = month(text + 3);
	tm->tm_year = full_year(number(text + 7, 2), year_of(now)) - 1900;
	take_time(text + 10, tm);
	return true;
}

bool http_date_parse(const char *text, size_t length, int64_t now, int64_t *seconds)
{
	struct tm tm = {0};
	if (looks_like(text, length, "aaa, 99 aaa 9999 99:99:99 GMT")) {
		tm.tm_mday = number(text + 5, 2);
		tm.tm_mon = month(text + 8);
		tm.tm_year = number(text + 12, 4) - 1900;
		take_time(text + 17, &tm);
	} else if (looks_like(text, length, "aaa aaa _9 99:99:99 9999")) {
		tm.tm_mday = text[8] == ' ' ? number(text + 9, 1) : number(text + 8, 2);
		tm.tm_mon = month(text + 4);
		tm.tm_year = number(text + 20, 4) - 1900;
		take_time(text + 11, &tm);
	} else if (!take_rfc850(text, length, now, &tm)) {
		return false;
	}
	struct tm given = tm;
	if (tm.tm_mon < 0 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	*seconds = timegm(&tm);
	/* timegm() makes the first of March of the thirtieth of February */
	return tm.tm_mday == given.tm_mday || given.tm_sec == 60;
}

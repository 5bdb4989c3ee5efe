// SPDX-License-Identifier: Apache-2.0
#include "core/why.h"

#include <stdarg.h>
#include <stdio.h>

int rb_refuse(char why[RB_WHY_MAX], int error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(why, RB_WHY_MAX, format, arguments);
	va_end(arguments);
	return error;
}

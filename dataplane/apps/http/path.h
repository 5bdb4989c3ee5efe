// SPDX-License-Identifier: Apache-2.0
/* From the path of a request to the name of a file. */
#pragma once

#include <stddef.h>

/*
 * Decodes %xx once, takes out dot segments (RFC 3986, 5.2.4) and empty ones. Writes at most length + 1 bytes to `name`,
 * without a NUL: it begins with '/', and ends with one if the path names a directory. The empty path is "/". Returns
 * the length of the name, or 0 for what names nothing: a % without two hexadecimal digits, a control character, a '/'
 * behind a %, a path that leaves the root.
 */
size_t http_path_name(const char *path, size_t length, char *name);

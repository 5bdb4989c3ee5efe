// SPDX-License-Identifier: Apache-2.0
/* The entry point that libFuzzer and replay.c call. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Must return 0, leak nothing and abort on a broken promise. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// SPDX-License-Identifier: Apache-2.0
/* What dpos has counted, as JSON: by core the loop, the device's queue, TCP/IP; and the device as a whole. */
#pragma once

#include "base/json.h"
#include "dpos/machine.h"

/* An rb_json_write_file() callback; `dpos` is a struct dpos. Any thread: numbers of a running core are a little old. */
void dpos_stats_write(struct rb_json *json, void *dpos);

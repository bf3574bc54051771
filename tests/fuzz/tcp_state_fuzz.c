/* SPDX-License-Identifier: MIT
 *
 * TCP's states: a stack with live connections, a peer that follows no rules, calls, hooks that call, ICMP errors, time.
 * The bytes say what comes next (tcp/play_test.h); invariants are checked after each step.
 */
#include "tcp/play_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 1 << 16) play(data, size);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * For tests whose servers save on a simulated disk: LeakSanitizer's scan at the end reads memory that is unmapped by
 * then, and dies of it (Nov 2026, not looked into). What the server has not given back is counted after every run by
 * sim_test.h, from its own heap.
 */
#ifndef TESTS_SIM_NO_LEAK_SCAN_H
#define TESTS_SIM_NO_LEAK_SCAN_H

#include "alloc/base/sanitize.h"

#if SANITIZE_ADDRESS
#include <sanitizer/lsan_interface.h>
__attribute__((visibility("default"))) int __lsan_is_turned_off(void) { return 1; }
#endif

#endif

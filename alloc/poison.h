/* SPDX-License-Identifier: MIT
 *
 * Marks for the address sanitizer: bytes nobody may touch, and bytes that are somebody's again.
 * Nothing in other builds.
 */
#ifndef ALLOC_POISON_H
#define ALLOC_POISON_H

#include <stddef.h>

#include "alloc/base/sanitize.h"

#if SANITIZE_ADDRESS
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
static inline void poison(const void *p, size_t n) { __asan_poison_memory_region(p, n); }
static inline void unpoison(const void *p, size_t n) { __asan_unpoison_memory_region(p, n); }
/* The leak checker looks for pointers only where it is told to. */
static inline void poison_root_add(const void *p, size_t n) { __lsan_register_root_region(p, n); }
static inline void poison_root_remove(const void *p, size_t n) { __lsan_unregister_root_region(p, n); }
#else
static inline void poison(const void *p, size_t n) { (void)p, (void)n; }
static inline void unpoison(const void *p, size_t n) { (void)p, (void)n; }
static inline void poison_root_add(const void *p, size_t n) { (void)p, (void)n; }
static inline void poison_root_remove(const void *p, size_t n) { (void)p, (void)n; }
#endif

#endif

/* SPDX-License-Identifier: MIT
 *
 * Which sanitizer this build has: 0 or 1, so that -Wundef finds a file that asks and does not include this one. gcc
 * says so by names of its own, clang by features.
 */
#ifndef BASE_SANITIZE_H
#define BASE_SANITIZE_H

#ifdef __has_feature
#define SANITIZE_FEATURE(x) __has_feature(x)
#else
#define SANITIZE_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || SANITIZE_FEATURE(address_sanitizer)
#define SANITIZE_ADDRESS 1
#else
#define SANITIZE_ADDRESS 0
#endif

#if defined(__SANITIZE_THREAD__) || SANITIZE_FEATURE(thread_sanitizer)
#define SANITIZE_THREAD 1
#else
#define SANITIZE_THREAD 0
#endif

#define SANITIZED (SANITIZE_ADDRESS || SANITIZE_THREAD)

#endif

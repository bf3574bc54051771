/* SPDX-License-Identifier: MIT
 *
 * The two clocks. Loops read them once a turn and hand `now` down; tcp/ and server/ds/ never call
 * these.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* A moment or a span in nanoseconds. Moments count from an arbitrary start (boot) and never go
 * back. */
typedef uint64_t nsec;

#define NSEC_PER_USEC ((nsec)1000)
#define NSEC_PER_MSEC ((nsec)1000000)
#define NSEC_PER_SEC  ((nsec)1000000000)
#define NSEC_NEVER    UINT64_MAX /* a deadline that does not come */

/* Monotonic time; about 15 ns a call. */
nsec clock_mono_ns(void);

/* Microseconds since 1970, UTC. May jump when somebody sets the machine's clock. */
int64_t clock_wall_us(void);

#endif

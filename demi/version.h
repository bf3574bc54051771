/* SPDX-License-Identifier: MIT
 *
 * Which version this is, and what it can do here. Included by demi/ext.h; alone, it asks for nothing.
 *
 * Within one MAJOR nothing is taken away or changed in its layout (demi/abi/ is what releases had): a program that was
 * built with 1.1 runs with 1.2. A new call raises MINOR, and is a symbol of that version's own.
 */
#ifndef DEMI_VERSION_H
#define DEMI_VERSION_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define DEMI_VERSION_MAJOR 1
#define DEMI_VERSION_MINOR 1
#define DEMI_VERSION_PATCH 0

/* One number a version, later ones larger: #if DEMI_VERSION_NUMBER >= DEMI_VERSION_OF(1, 1, 0). */
#define DEMI_VERSION_OF(major, minor, patch) ((major)*1000000 + (minor)*1000 + (patch))
#define DEMI_VERSION_NUMBER                  DEMI_VERSION_OF(DEMI_VERSION_MAJOR, DEMI_VERSION_MINOR, DEMI_VERSION_PATCH)

/* Of the library that runs, which may be newer than the headers: "1.1.0", and as a number. */
const char *demi_version(void);
int demi_version_number(void);

/* Whether something that not every build, machine or libOS has is there. What every build of a version has is no
 * feature: the version tells. A name that this version does not know is false.
 *
 *     libos.NAME       demi_init() knows this libOS: it is built in, or its plug-in lies where it is looked for.
 *                      Whether the device is there, only a start tells
 *     tls              so does the plug-in for demi/tls.h
 *
 * Of the libOS that runs on the calling thread; false where none does:
 *
 *     stream           demi_socket() makes SOCK_STREAM of AF_INET
 *     datagram         SOCK_DGRAM
 *     ipv6             AF_INET6 as well
 *     unix             SOCK_STREAM of AF_UNIX
 *     event-fd         demi_event_fd() works: a thread can sleep
 *     socket-fd        a socket is the kernel's, and demi_queue_fd() gives its descriptor
 *     shared-pipes     demi_create_pipe() and demi_open_pipe() meet between processes
 */
bool demi_feature(const char *name);

/* All of them, in this order. */
typedef void (*demi_feature_fn)(void *arg, const char *name, bool is_there);
void demi_features(demi_feature_fn fn, void *arg);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif

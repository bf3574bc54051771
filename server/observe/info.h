/* SPDX-License-Identifier: MIT
 *
 * The text of INFO.
 */
#ifndef SERVER_OBSERVE_INFO_H
#define SERVER_OBSERVE_INFO_H

#include "alloc/base/bytes.h"
#include "server/resp/reply.h"

struct worker;

/* server/observe/info.c: the text of INFO for the given section names, into out. */
void info_write(struct worker *w, struct reply *text, const struct bytes *sections, int count);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A short list of words of one's own: rules, passwords, channels. All zero is empty.
 */
#ifndef SERVER_ACL_WORDS_H
#define SERVER_ACL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/bytes.h"

struct acl_words {
    struct bytes *v; /* each has a NUL behind it */
    size_t count, cap;
};

void acl_words_clear(struct acl_words *w);
void acl_words_copy(struct acl_words *to, const struct acl_words *from); /* to is empty */
/* A copy of its own with a NUL behind it; mem_free() its p. */
struct bytes acl_text_copy(struct bytes text);
/* A copy of text at the end. */
void acl_words_add(struct acl_words *w, struct bytes text);
/* -1: it is not there. */
long acl_words_find(const struct acl_words *w, struct bytes text);
void acl_words_remove(struct acl_words *w, size_t at);

#endif

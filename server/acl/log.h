/* SPDX-License-Identifier: MIT
 *
 * What was refused to whom: ACL LOG. The same again within a minute is counted, not noted anew, if it is among the
 * newest ten entries.
 */
#ifndef SERVER_ACL_LOG_H
#define SERVER_ACL_LOG_H

#include "alloc/base/list.h"
#include "server/acl/selector.h"
#include "server/acl/words.h"

enum acl_context { ACL_TOP_LEVEL, ACL_IN_MULTI, ACL_IN_LUA };

struct acl_refusal {
    enum acl_denied reason;
    enum acl_context context;
    struct bytes object, user; /* the command's name, the key, the channel; who */
    struct bytes client;       /* his line of CLIENT LIST */
};

struct acl_log_entry {
    struct list link;
    struct acl_refusal what; /* its texts are the entry's own */
    uint64_t id, count;
    int64_t created_ms, updated_ms;
};

struct acl_log {         /* all zero is empty */
    struct list entries; /* newest first */
    size_t count;
    uint64_t next_id;
};

/* At most max entries are kept. */
void acl_log_add(struct acl_log *log, const struct acl_refusal *what, int64_t now_ms, int64_t max);
void acl_log_clear(struct acl_log *log);

#endif

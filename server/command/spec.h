/* SPDX-License-Identifier: MIT
 *
 * What a spec_<group>.c is written with: the arrays it defines and the words its rows are made of. Included by those
 * files and by command.c only. The lists inside a row (KEYS, ARGS, SUB_ARGS, TIPS, HISTORY) are constants that live as
 * long as the program.
 */
#ifndef SERVER_COMMAND_SPEC_H
#define SERVER_COMMAND_SPEC_H

#include "server/command/command.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SPEC_LIST(type, ...)                                                                                           \
    (const type[]) { __VA_ARGS__ }
#define SPEC_COUNT(type, ...) sizeof((const type[]){__VA_ARGS__}) / sizeof(type)

#define KEYS(...) .keys = SPEC_LIST(struct key_spec, __VA_ARGS__), .key_count = SPEC_COUNT(struct key_spec, __VA_ARGS__)
#define ARGS(...)                                                                                                      \
    .args = SPEC_LIST(struct command_arg, __VA_ARGS__), .arg_count = SPEC_COUNT(struct command_arg, __VA_ARGS__)
#define SUB_ARGS(...)                                                                                                  \
    .sub = SPEC_LIST(struct command_arg, __VA_ARGS__), .sub_count = SPEC_COUNT(struct command_arg, __VA_ARGS__)
#define TIPS(...)                                                                                                      \
    .tips = (const char *const[]){__VA_ARGS__},                                                                        \
    .tip_count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)
#define HISTORY(...)                                                                                                   \
    .history = SPEC_LIST(struct command_history, __VA_ARGS__),                                                         \
    .history_count = SPEC_COUNT(struct command_history, __VA_ARGS__)

/* Keys from argument `index` on: the last one `last_key` behind the first (negative: from the end of the call),
 * every `every`th argument; with last_key -1 and cut > 1, only 1/cut of what follows. */
#define KEY_RANGE(key_flags, index, last_key, every, cut)                                                              \
    .flags = (key_flags), .begin = KEY_BEGIN_INDEX, .begin_pos = (index), .find = KEY_FIND_RANGE, .last = (last_key),  \
    .step = (every), .limit = (cut)
/* The number of keys stands `number` behind argument `index`, the first key `first` behind it. */
#define KEY_NUM(key_flags, index, number, first, every)                                                                \
    .flags = (key_flags), .begin = KEY_BEGIN_INDEX, .begin_pos = (index), .find = KEY_FIND_KEYNUM,                     \
    .keynum_index = (number), .first_key = (first), .keynum_step = (every)
/* Keys no position can be told for. */
#define KEY_UNTOLD(key_flags) .flags = (key_flags), .begin = KEY_BEGIN_UNKNOWN, .find = KEY_FIND_UNKNOWN

#define SPEC_GROUPS(X)                                                                                                 \
    X(string)                                                                                                          \
    X(list)                                                                                                            \
    X(hash)                                                                                                            \
    X(set)                                                                                                             \
    X(sorted_set)                                                                                                      \
    X(geo)                                                                                                             \
    X(bitmap)                                                                                                          \
    X(hyperloglog)                                                                                                     \
    X(generic)                                                                                                         \
    X(connection)                                                                                                      \
    X(server)                                                                                                          \
    X(transactions)                                                                                                    \
    X(acl)                                                                                                             \
    X(pubsub)                                                                                                          \
    X(scripting)                                                                                                       \
    X(stream)                                                                                                          \
    X(cluster)                                                                                                         \
    X(replication)                                                                                                     \
    X(module)

#define SPEC_DECLARE(group)                                                                                            \
    extern const struct command spec_##group[];                                                                        \
    extern const unsigned spec_##group##_count;
SPEC_GROUPS(SPEC_DECLARE)
#undef SPEC_DECLARE

#endif

/* SPDX-License-Identifier: MIT
 *
 * XRANGE and XREVRANGE.
 */
#include "server/cmd/stream.h"
#include "server/command/handlers.h"
#include "server/db/db.h"

static void range(struct call *c, bool backwards)
{
    struct stream_id from, to;
    int64_t count = -1;
    if (!stream_from_arg(c, c->argv[backwards ? 3 : 2], &from)) return;
    if (!stream_to_arg(c, c->argv[backwards ? 2 : 3], &to)) return;
    for (int i = 4; i < c->argc; i += 2) {
        if (i + 1 == c->argc || !bytes_is_word(c->argv[i], "count")) {
            call_syntax_error(c);
            return;
        }
        if (!call_int(c, c->argv[i + 1], &count)) return;
        if (count < 0) count = 0;
    }
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STREAM)) return;
    if (!e) reply_array(c->out, 0);
    else if (count == 0) reply_null_array(c->out);
    else stream_reply_range(c, stream_of(e), from, to, count < 0 ? 0 : (uint64_t)count, backwards);
}

void cmd_xrange(struct call *c) { range(c, false); }
void cmd_xrevrange(struct call *c) { range(c, true); }

/* SPDX-License-Identifier: MIT
 *
 * Small commands about the server as a whole: TIME, ROLE, SHUTDOWN, LOLWUT.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/ds/number.h"
#include "server/server.h"
#include "server/shutdown.h"

void cmd_time(struct call *c)
{
    int64_t us = demi_wall_us();
    reply_array(c->out, 2);
    reply_bulk_int(c->out, us / 1000000);
    reply_bulk_int(c->out, us % 1000000);
}

void cmd_role(struct call *c)
{
    reply_array(c->out, 3);
    reply_bulk(c->out, BYTES("master"));
    reply_int(c->out, 0);
    reply_array(c->out, 0);
}

/* --- SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] | ABORT
 * --------------------------------------------------------------------- */

void cmd_shutdown(struct call *c)
{
    bool save = false, nosave = false, other = false, abort_it = false;
    for (int i = 1; i < c->argc; i++) {
        if (bytes_is_word(c->argv[i], "nosave")) nosave = true;
        else if (bytes_is_word(c->argv[i], "save")) save = true;
        else if (bytes_is_word(c->argv[i], "now") || bytes_is_word(c->argv[i], "force")) other = true;
        else if (bytes_is_word(c->argv[i], "abort")) abort_it = true;
        else {
            call_syntax_error(c);
            return;
        }
    }
    if ((save && nosave) || (abort_it && (save || nosave || other))) {
        call_syntax_error(c);
        return;
    }
    if (abort_it) {
        call_error(c, "ERR No shutdown in progress.");
        return;
    }
    if (save) {
        call_error(c, "ERR SHUTDOWN SAVE is not supported yet: this version writes no snapshots. "
                      "Use SHUTDOWN NOSAVE.");
        return;
    }
    if (c->deny_blocking) {
        call_error(c, "ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client");
        return;
    }
    shutdown_begin(c->w, "User requested shutdown...");
    client_close_soon(c->client);
}

/* --- LOLWUT ------------------------------------------------------------------------------------------------------- */

/* A field of ripples around a random point, in characters: a small picture, another one each time.
 */
static void draw(struct reply *text, uint64_t seed, int cols, int rows)
{
    static const char shades[] = " .:-=+*#%@";
    double cx = (double)(seed & 0xffff) / 65536 * cols, cy = (double)(seed >> 16 & 0xffff) / 65536 * rows;
    double pitch = 1.2 + (double)(seed >> 32 & 0xff) / 64;
    for (int y = 0; y < rows; y++) {
        char row[161];
        for (int x = 0; x < cols; x++) {
            double dx = (x - cx) / 2, dy = y - cy;
            double height = (sin(sqrt(dx * dx + dy * dy) / pitch * 3) + 1) / 2;
            row[x] = shades[(int)(height * 9.99)];
        }
        row[cols] = '\n';
        reply_raw(text, bytes_of(row, (size_t)cols + 1));
    }
}

void cmd_lolwut(struct call *c)
{
    int64_t cols = 66, rows = 16;
    int first = 1;
    if (c->argc >= 3 && bytes_is_word(c->argv[1], "version")) {
        int64_t version;
        if (!call_int(c, c->argv[2], &version)) return;
        first = 3;
    }
    if (c->argc > first && !call_int(c, c->argv[first], &cols)) return;
    if (c->argc > first + 1 && !call_int(c, c->argv[first + 1], &rows)) return;
    cols = cols < 1 ? 1 : cols > 160 ? 160 : cols;
    rows = rows < 1 ? 1 : rows > 200 ? 200 : rows;
    struct reply text;
    reply_init(&text, 2);
    draw(&text, call_random(c), (int)cols, (int)rows);
    char tail[128];
    snprintf(tail, sizeof tail, "\nA stone in a pond, as a computer sees it. Redis ver. %s\n", REDIS_VERSION);
    reply_raw(&text, bytes_of_str(tail));
    call_text(c, &text);
}

/* SPDX-License-Identifier: MIT
 *
 * LOLWUT [VERSION n] [arguments of that version's picture]
 *
 *   5: columns, squares in a row, rows of squares    squares that come into disorder from the third row on, after
 *                                                    Georg Nees' Schotter: Braille signs of 2 x 4 dots each
 *   6: columns, rows                                 a skyline at night in four shades: houses in two layers of haze,
 *                                                    and in front of them black ones with windows
 *   any other, and none: the version's line alone
 *
 * Forms, limits, defaults and the lines below the pictures are those of redis-server 7.2.4, which is a version without
 * a picture of its own. The pictures differ from call to call.
 *
 * Bounds: 1,000 x 1,000 characters. redis-server has none for the height of 5's picture, where one square in a row and
 * 200 rows at 1,000 columns take 800 MB; here what is below 1,000 rows is cut off.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "alloc/base/rng.h"
#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/server.h"

#define SIDE_MAX 1000 /* characters */
#define TAIL_5   "\nGeorg Nees - schotter, plotter on paper, 1968. Redis ver. " REDIS_VERSION "\n"
#define TAIL_6                                                                                                         \
    "\nDedicated to the 8 bit game developers of past and present.\n"                                                  \
    "Original 8 bit image from Plaguemon by hikikomori. Redis ver. " REDIS_VERSION "\n"

enum { BLACK, DARK, LIGHT, WHITE };

struct canvas {
    int width, height;
    unsigned char *dots;
};

static void canvas_init(struct canvas *cv, int width, int height, int ground)
{
    *cv = (struct canvas){width, height, mem_alloc((size_t)width * (size_t)height + 1)};
    memset(cv->dots, ground, (size_t)width * (size_t)height);
}

static void canvas_fini(struct canvas *cv) { mem_free(cv->dots); }

/* Outside of the canvas nothing is drawn. */
static void draw(struct canvas *cv, int x, int y, int shade)
{
    if (x >= 0 && x < cv->width && y >= 0 && y < cv->height)
        cv->dots[(size_t)y * (size_t)cv->width + (size_t)x] = (unsigned char)shade;
}

static int shade_at(const struct canvas *cv, int x, int y)
{
    bool inside = x >= 0 && x < cv->width && y >= 0 && y < cv->height;
    return inside ? cv->dots[(size_t)y * (size_t)cv->width + (size_t)x] : 0;
}

/* 0 <= result < below */
static int chance(struct rng *rng, int below) { return (int)rng_below(rng, (uint64_t)below); }

/* -1 .. 1 */
static double swing(struct rng *rng) { return 2 * rng_double(rng) - 1; }

/* A number of the arguments, with its limits. */
static bool number_arg(struct call *c, int at, int max, int *out)
{
    int64_t v;
    if (at >= c->argc) return true;
    if (!call_int(c, c->argv[at], &v)) return false;
    *out = (int)(v < 1 ? 1 : v > max ? max : v);
    return true;
}

/* --- 5: squares --------------------------------------------------------------------------------------------------- */

struct point {
    double x, y;
};

static void draw_line(struct canvas *cv, struct point a, struct point b)
{
    double dx = b.x - a.x, dy = b.y - a.y;
    int steps = (int)ceil(fmax(fabs(dx), fabs(dy)));
    for (int i = 0; i <= steps; i++) {
        double part = steps ? (double)i / steps : 0;
        draw(cv, (int)lround(a.x + dx * part), (int)lround(a.y + dy * part), 1);
    }
}

static void draw_square(struct canvas *cv, struct point middle, double side, double angle)
{
    struct point corner[4];
    for (int i = 0; i < 4; i++) {
        double at = angle + M_PI / 4 + i * M_PI / 2;
        corner[i] = (struct point){middle.x + side * M_SQRT1_2 * cos(at), middle.y + side * M_SQRT1_2 * sin(at)};
    }
    for (int i = 0; i < 4; i++) draw_line(cv, corner[i], corner[(i + 1) % 4]);
}

static void draw_squares(struct canvas *cv, struct rng *rng, int in_a_row, int rows, double side, int border)
{
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < in_a_row; x++) {
            struct point middle = {border + (x + 0.5) * side, border + (y + 0.5) * side};
            double disorder = y > 1 ? (double)y / rows : 0;
            double angle = disorder * swing(rng);
            middle.x += disorder * swing(rng) * side / 3;
            middle.y += disorder * swing(rng) * side / 3;
            draw_square(cv, middle, side, angle);
        }
    }
}

/* A sign is U+2800 and a bit for each dot: the left column's upper three, the right one's, the left and right of the
 * fourth row. */
static void write_braille(struct reply *text, const struct canvas *cv)
{
    static const unsigned char bit[4][2] = {{0, 3}, {1, 4}, {2, 5}, {6, 7}};
    for (int y = 0; y < cv->height; y += 4) {
        for (int x = 0; x < cv->width; x += 2) {
            unsigned dots = 0;
            for (int dy = 0; dy < 4; dy++)
                for (int dx = 0; dx < 2; dx++)
                    if (shade_at(cv, x + dx, y + dy)) dots |= 1u << bit[dy][dx];
            const char sign[3] = {(char)0xe2, (char)(0xa0 | dots >> 6), (char)(0x80 | (dots & 0x3f))};
            reply_raw(text, bytes_of(sign, sizeof sign));
        }
        if (y != cv->height - 1) reply_raw(text, BYTES("\n"));
    }
}

static bool picture_5(struct call *c, int first, struct rng *rng, struct reply *text)
{
    int columns = 66, in_a_row = 8, rows = 12;
    if (!number_arg(c, first, SIDE_MAX, &columns) || !number_arg(c, first + 1, 200, &in_a_row) ||
        !number_arg(c, first + 2, 200, &rows))
        return false;
    int width = columns * 2, border = width > 4 ? 2 : 0;
    float side = (float)(width - 2 * border) / (float)in_a_row; /* float: the height is cut as redis-server cuts it */
    int height = (int)(side * (float)rows + (float)(2 * border));
    if (height > SIDE_MAX * 4) height = SIDE_MAX * 4;
    struct canvas cv;
    canvas_init(&cv, width, height, 0);
    draw_squares(&cv, rng, in_a_row, rows, (double)side, border);
    write_braille(text, &cv);
    canvas_fini(&cv);
    reply_raw(text, BYTES(TAIL_5));
    return true;
}

/* --- 6: a skyline ------------------------------------------------------------------------------------------------- */

struct house {
    int left, width, height, shade;
    bool has_windows;
};

/* Windows are two characters wide and one high, since characters are about twice as high as they are wide. */
static void draw_house(struct canvas *cv, struct rng *rng, const struct house *h)
{
    int top = cv->height - h->height;
    for (int y = top; y < cv->height; y++) {
        int lit = h->shade;
        for (int x = 0; x < h->width; x++) {
            bool is_edge = x < 2 || x >= h->width - 2;
            if (y == top && is_edge) continue; /* the roof is narrower */
            int shade = h->shade;
            if (h->has_windows && !is_edge && y > top + 1 && y < cv->height - 2 && (x - 1) / 2 % 2 &&
                (y - top - 1) % 2) {
                if ((x - 1) % 2 == 0) lit = DARK + chance(rng, 2);
                shade = lit;
            }
            draw(cv, h->left + x, y, shade);
        }
    }
}

static void draw_skyline(struct canvas *cv, struct rng *rng)
{
    int high = cv->height / 2;
    for (int shade = LIGHT; shade >= DARK; shade--) {
        for (int x = -10; x < cv->width;) {
            x += chance(rng, 8);
            struct house h = {x, 10 + chance(rng, 9), high + chance(rng, cv->height) / (shade == LIGHT ? 2 : 3), shade,
                              false};
            draw_house(cv, rng, &h);
            x += shade == LIGHT ? h.width / 2 : h.width + 1;
        }
    }
    for (int x = -10; x < cv->width;) {
        x += chance(rng, 8);
        struct house h = {x, 6 + 4 * chance(rng, 4), cv->height / 3 + chance(rng, cv->height) / 2, BLACK, true};
        draw_house(cv, rng, &h);
        x += h.width + 5;
    }
}

/* A space in the colours of its shade, before and behind, for terminals that know only one of them. */
static void write_shades(struct reply *text, const struct canvas *cv)
{
    static const char *const cell[] = {
        [BLACK] = "\033[0;30;40m \033[0m",
        [DARK] = "\033[0;90;100m \033[0m",
        [LIGHT] = "\033[0;37;47m \033[0m",
        [WHITE] = "\033[0;97;107m \033[0m",
    };
    for (int y = 0; y < cv->height; y++) {
        for (int x = 0; x < cv->width; x++) reply_raw(text, bytes_of_str(cell[shade_at(cv, x, y)]));
        if (y != cv->height - 1) reply_raw(text, BYTES("\n"));
    }
}

static bool picture_6(struct call *c, int first, struct rng *rng, struct reply *text)
{
    int columns = 80, rows = 20;
    if (!number_arg(c, first, SIDE_MAX, &columns) || !number_arg(c, first + 1, SIDE_MAX, &rows)) return false;
    struct canvas cv;
    canvas_init(&cv, columns, rows, WHITE);
    draw_skyline(&cv, rng);
    write_shades(text, &cv);
    canvas_fini(&cv);
    reply_raw(text, BYTES(TAIL_6));
    return true;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

void cmd_lolwut(struct call *c)
{
    int64_t version = 0;
    int first = 1;
    if (c->argc >= 3 && bytes_is_word(c->argv[1], "version")) {
        if (!call_int(c, c->argv[2], &version)) return;
        first = 3;
    }
    struct reply text;
    struct rng rng;
    uint32_t picture = (uint32_t)version; /* as redis-server cuts it */
    bool ok = true;
    rng_seed(&rng, call_random(c));
    reply_init(&text, 2);
    if (picture == 5) ok = picture_5(c, first, &rng, &text);
    else if (picture == 6) ok = picture_6(c, first, &rng, &text);
    else reply_raw(&text, BYTES("Redis ver. " REDIS_VERSION "\n"));
    if (ok) call_text(c, &text);
    else reply_fini(&text);
}

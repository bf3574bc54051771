/* SPDX-License-Identifier: MIT
 *
 * Places in and out: GEOADD, GEOPOS, GEOHASH, GEODIST. They are members of a sorted set, whose scores are geohashes
 * (server/ds/geohash.h). Searches are in geo_search.c. Behaviour, texts and the order of checks are redis-server
 * 7.2.4's.
 */
#include "server/cmd/geo.h"

#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "server/cmd/zset.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"

#define POINTS_ON_STACK 16

/* --- shared ------------------------------------------------------------------------------------------------------- */

bool geo_parse_point(struct call *c, const struct bytes *lon_lat, struct geo_point *out)
{
    if (!call_double(c, lon_lat[0], &out->lon, NULL) || !call_double(c, lon_lat[1], &out->lat, NULL)) return false;
    if (geo_point_is_valid(*out)) return true;
    call_errorf(c, "ERR invalid longitude,latitude pair %f,%f", out->lon, out->lat);
    return false;
}

bool geo_parse_unit(struct call *c, struct bytes word, double *metres)
{
    static const struct {
        const char *word;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!bytes_is_word(word, units[i].word)) continue;
        *metres = units[i].metres;
        return true;
    }
    call_error(c, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

bool geo_member_point(const struct zset *z, struct bytes member, struct geo_point *out)
{
    double score;
    if (!zset_score(z, member, &score)) return false;
    *out = geohash_point(score);
    return true;
}

void geo_reply_point(struct call *c, struct geo_point p)
{
    reply_array(c->out, 2);
    reply_human_double(c->out, p.lon);
    reply_human_double(c->out, p.lat);
}

void geo_reply_distance(struct call *c, double distance)
{
    char text[32];
    long long scaled = llrint(distance * 10000);
    unsigned long long v = scaled < 0 ? 0ull - (unsigned long long)scaled : (unsigned long long)scaled;
    int n = snprintf(text, sizeof text, "%s%llu.%04llu", scaled < 0 ? "-" : "", v / 10000, v % 10000);
    call_bulk(c, bytes_of(text, (size_t)n));
}

/* --- GEOADD ------------------------------------------------------------------------------------------------------- */

/* Where the first longitude stands. */
static int parse_flags(const struct call *c, unsigned *flags)
{
    int i = 2;
    for (; i < c->argc; i++) {
        if (bytes_is_word(c->argv[i], "nx")) *flags |= ZSET_ADD_NX;
        else if (bytes_is_word(c->argv[i], "xx")) *flags |= ZSET_ADD_XX;
        else if (bytes_is_word(c->argv[i], "ch")) *flags |= ZSET_ADD_CH;
        else break;
    }
    return i;
}

/* The ZADD that it comes to. */
static void give_effect(struct call *c, const struct zset_additions *a, size_t count)
{
    size_t n = (size_t)a->first + 2 * count;
    struct bytes *argv = mem_alloc(n * sizeof *argv + count * NUMBER_I64_SIZE);
    char *text = (char *)(argv + n);
    argv[0] = BYTES("zadd");
    for (int i = 1; i < a->first; i++) argv[i] = c->argv[i];
    for (size_t i = 0; i < count; i++, text += NUMBER_I64_SIZE) {
        struct bytes *pair = argv + a->first + 2 * i;
        pair[0] = bytes_of(text, number_format_u64(text, (uint64_t)a->scores[i]));
        pair[1] = c->argv[a->first + (int)i * 3 + 2];
    }
    effect_as(c, (int)n, argv);
    mem_free(argv);
}

void cmd_geoadd(struct call *c)
{
    unsigned flags = 0;
    int first = parse_flags(c, &flags);
    size_t count = (size_t)(c->argc - first) / 3, i = 0;
    if ((c->argc - first) % 3 || !count || ((flags & ZSET_ADD_NX) && (flags & ZSET_ADD_XX))) {
        call_syntax_error(c);
        return;
    }
    double on_stack[POINTS_ON_STACK];
    double *scores = count <= POINTS_ON_STACK ? on_stack : mem_alloc(count * sizeof *scores);
    struct zset_additions a = {scores, first, 3, flags};
    struct geo_point p;
    for (; i < count && geo_parse_point(c, c->argv + first + 3 * i, &p); i++) scores[i] = (double)geohash_of(p);
    if (i == count) {
        int64_t before = c->dirty;
        zset_add_scored(c, &a);
        if (c->dirty > before && effect_wanted(c)) give_effect(c, &a, count);
    }
    if (scores != on_stack) mem_free(scores);
}

/* --- asked -------------------------------------------------------------------------------------------------------- */

/* False: replied, since the key is no sorted set. e NULL: there is none. */
static bool look_up(struct call *c, const struct entry **e, struct zset *z)
{
    *e = db_lookup_read(c, call_key(c, 1));
    if (*e && call_wrong_type(c, *e, OBJ_ZSET)) return false;
    if (*e) *z = zset_of(*e);
    return true;
}

void cmd_geopos(struct call *c)
{
    const struct entry *e;
    struct zset z;
    struct geo_point p;
    if (!look_up(c, &e, &z)) return;
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        if (e && geo_member_point(&z, c->argv[i], &p)) geo_reply_point(c, p);
        else reply_null_array(c->out);
    }
}

void cmd_geohash(struct call *c)
{
    const struct entry *e;
    struct zset z;
    struct geo_point p;
    char text[GEOHASH_TEXT_SIZE];
    if (!look_up(c, &e, &z)) return;
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        if (!e || !geo_member_point(&z, c->argv[i], &p)) {
            reply_null(c->out);
            continue;
        }
        geohash_text(p, text);
        call_bulk(c, bytes_of(text, sizeof text));
    }
}

void cmd_geodist(struct call *c)
{
    const struct entry *e;
    struct zset z;
    struct geo_point from, to;
    double unit = 1;
    if (c->argc > 5) {
        call_syntax_error(c);
        return;
    }
    if (c->argc == 5 && !geo_parse_unit(c, c->argv[4], &unit)) return;
    if (!look_up(c, &e, &z)) return;
    if (e && geo_member_point(&z, c->argv[2], &from) && geo_member_point(&z, c->argv[3], &to))
        geo_reply_distance(c, geo_distance(from, to) / unit);
    else reply_null(c->out);
}

/* SPDX-License-Identifier: MIT
 *
 * GEOSEARCH, GEOSEARCHSTORE and the older GEORADIUS family: members within a circle or a box. Up to nine ranges of
 * scores cover the area (geohash_cover()); of their members those count that lie in it. Without an order the reply has
 * them in that of the ranges, as redis-server has.
 */
#include "server/cmd/geo.h"
#include "server/cmd/geo_places.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/ds/geo_filter.h"

enum geo_form {
    BY_COORDINATES, /* GEORADIUS key lon lat radius unit … */
    BY_MEMBER,      /* GEORADIUSBYMEMBER key member radius unit … */
    BY_OPTIONS,     /* GEOSEARCH key … */
};

struct search {
    enum geo_form form;
    bool may_store; /* GEORADIUS: STORE and STOREDIST are options */
    bool to_key;    /* GEOSEARCHSTORE */
    const struct entry *e;
    struct zset z; /* e's */
    struct geo_area area;
    double unit; /* metres */
    bool has_center, has_member, has_circle, has_box;
    bool with_distance, with_hash, with_point, any, store_distance;
    enum geo_order order;
    int64_t count; /* 0: all */
    int store;     /* the argument that is the key to store in; 0: none */
};

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static bool parse_circle(struct call *c, const struct bytes *radius_unit, struct search *s)
{
    double radius;
    if (!call_double(c, radius_unit[0], &radius, "ERR need numeric radius")) return false;
    if (radius < 0) {
        call_error(c, "ERR radius cannot be negative");
        return false;
    }
    if (!geo_parse_unit(c, radius_unit[1], &s->unit)) return false;
    s->area.is_box = false;
    s->area.radius = radius * s->unit;
    return true;
}

static bool parse_box(struct call *c, const struct bytes *width_height_unit, struct search *s)
{
    double width, height;
    if (!call_double(c, width_height_unit[0], &width, "ERR need numeric width") ||
        !call_double(c, width_height_unit[1], &height, "ERR need numeric height"))
        return false;
    if (width < 0 || height < 0) {
        call_error(c, "ERR height or width cannot be negative");
        return false;
    }
    if (!geo_parse_unit(c, width_height_unit[2], &s->unit)) return false;
    s->area.is_box = true;
    s->area.width = width * s->unit;
    s->area.height = height * s->unit;
    return true;
}

/* Without a key nobody asks where the member is. */
static bool parse_member(struct call *c, struct bytes member, struct search *s)
{
    if (!s->e || geo_member_point(&s->z, member, &s->area.center)) return true;
    call_error(c, "ERR could not decode requested zset member");
    return false;
}

static bool parse_count(struct call *c, struct bytes word, struct search *s)
{
    if (!call_int(c, word, &s->count)) return false;
    if (s->count > 0) return true;
    call_error(c, "ERR COUNT must be > 0");
    return false;
}

/* A word that stands alone; false: it is none of these. */
static bool parse_flag(struct bytes word, struct search *s)
{
    if (bytes_is_word(word, "withdist")) s->with_distance = true;
    else if (bytes_is_word(word, "withhash")) s->with_hash = true;
    else if (bytes_is_word(word, "withcoord")) s->with_point = true;
    else if (bytes_is_word(word, "any")) s->any = true;
    else if (bytes_is_word(word, "asc")) s->order = GEO_ASCENDING;
    else if (bytes_is_word(word, "desc")) s->order = GEO_DESCENDING;
    else if (bytes_is_word(word, "storedist") && s->to_key) s->store_distance = true;
    else return false;
    return true;
}

/* How many arguments an option of GEORADIUS takes, or of each: 0: it is none; -1: replied. */
static int parse_store(struct search *s, struct bytes word, int at)
{
    bool distance = bytes_is_word(word, "storedist");
    if (!s->may_store || (!distance && !bytes_is_word(word, "store"))) return 0;
    s->store = at + 1;
    s->store_distance = distance;
    return 2;
}

/* The same of GEOSEARCH's. */
static int parse_where(struct call *c, struct search *s, int at)
{
    const struct bytes *argv = c->argv + at;
    int behind = c->argc - at - 1;
    if (bytes_is_word(argv[0], "frommember") && behind >= 1 && !s->has_center) {
        s->has_member = true;
        return parse_member(c, argv[1], s) ? 2 : -1;
    }
    if (bytes_is_word(argv[0], "fromlonlat") && behind >= 2 && !s->has_member) {
        s->has_center = true;
        return geo_parse_point(c, argv + 1, &s->area.center) ? 3 : -1;
    }
    if (bytes_is_word(argv[0], "byradius") && behind >= 2 && !s->has_box) {
        s->has_circle = true;
        return parse_circle(c, argv + 1, s) ? 3 : -1;
    }
    if (bytes_is_word(argv[0], "bybox") && behind >= 3 && !s->has_circle) {
        s->has_box = true;
        return parse_box(c, argv + 1, s) ? 4 : -1;
    }
    return 0;
}

/* How many arguments the option at `at` takes; -1: replied. */
static int parse_option(struct call *c, struct search *s, int at)
{
    int taken = 0;
    if (parse_flag(c->argv[at], s)) return 1;
    if (at + 1 < c->argc) {
        if (bytes_is_word(c->argv[at], "count")) return parse_count(c, c->argv[at + 1], s) ? 2 : -1;
        taken = s->form == BY_OPTIONS ? parse_where(c, s, at) : parse_store(s, c->argv[at], at);
    }
    if (taken) return taken;
    call_syntax_error(c);
    return -1;
}

static bool check_options(struct call *c, const struct search *s)
{
    if (s->store && (s->with_distance || s->with_hash || s->with_point)) {
        call_errorf(c, "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                    s->to_key ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
        return false;
    }
    const char *twofold = NULL;
    if (s->form == BY_OPTIONS && !s->has_member && !s->has_center) twofold = "FROMMEMBER or FROMLONLAT can";
    else if (s->form == BY_OPTIONS && !s->has_circle && !s->has_box) twofold = "BYRADIUS and BYBOX can";
    if (twofold) {
        call_errorf(c, "ERR exactly one of %s be specified for %.*s", twofold, (int)c->argv[0].n, c->argv[0].p);
        return false;
    }
    if (!s->any || s->count) return true;
    call_error(c, "ERR the ANY argument requires COUNT argument");
    return false;
}

/* What stands at a fixed place, by the form; 0: replied. */
static int parse_fixed(struct call *c, struct search *s)
{
    if (s->form == BY_OPTIONS) return s->to_key ? 3 : 2;
    if (s->form == BY_COORDINATES)
        return geo_parse_point(c, c->argv + 2, &s->area.center) && parse_circle(c, c->argv + 4, s) ? 6 : 0;
    /* Of a key that is not there not even the radius is looked at. */
    if (!s->e) return 5;
    return parse_member(c, c->argv[2], s) && parse_circle(c, c->argv + 3, s) ? 5 : 0;
}

static bool parse(struct call *c, struct search *s)
{
    int at = parse_fixed(c, s);
    if (!at) return false;
    while (at < c->argc) {
        int taken = parse_option(c, s, at);
        if (taken < 0) return false;
        at += taken;
    }
    return check_options(c, s);
}

/* --- what is found ------------------------------------------------------------------------------------------------ */

/* False: ANY has enough. */
static bool search_range(const struct search *s, const struct geo_filter *f, const struct geohash_range *r,
                         size_t enough, struct geo_places *found)
{
    const struct ztree_score_range scores = {.min = r->min, .max = r->max, .max_exclusive = true};
    struct zset_iter it;
    struct geo_place p;
    zset_iter_init(&it, &s->z, zset_score_span(&s->z, &scores), false);
    while (zset_iter_next_scored(&it, &p.score)) {
        if (geo_filter_has(f, p.score, &p.point, &p.distance)) geo_places_add(found, &p, &it);
        if (found->count >= enough) return false;
    }
    return true;
}

static void search_all(struct search *s, struct geo_places *found)
{
    struct geohash_range ranges[GEOHASH_CELLS];
    struct geo_filter f;
    size_t most = s->count ? (size_t)s->count : SIZE_MAX, enough = s->any ? most : SIZE_MAX;
    unsigned count = geohash_cover(&s->area, ranges);
    geo_filter_init(&f, &s->area);
    if (s->count && s->order == GEO_UNSORTED && !s->any)
        s->order = GEO_ASCENDING; /* no order's first are nobody's wish */
    geo_places_init(found, s->order, most);
    for (unsigned i = 0; i < count && search_range(s, &f, &ranges[i], enough, found); i++) {
    }
    geo_places_sort(found);
}

/* --- the reply ---------------------------------------------------------------------------------------------------- */

static void reply_places(struct call *c, const struct search *s, const struct geo_places *found)
{
    size_t more = (size_t)s->with_distance + s->with_hash + s->with_point;
    reply_array(c->out, found->count);
    for (size_t i = 0; i < found->count && !call_output_over(c); i++) {
        const struct geo_place *p = geo_places_at(found, i);
        if (more) reply_array(c->out, more + 1);
        call_bulk(c, geo_place_member(p));
        if (s->with_distance) geo_reply_distance(c, p->distance / s->unit);
        if (s->with_hash) call_integer(c, (int64_t)p->score);
        if (s->with_point) geo_reply_point(c, p->point);
    }
}

static void store_places(struct call *c, const struct search *s, const struct geo_places *found)
{
    const struct key_ref *key = call_key(c, s->store);
    struct zset_rules rules = zset_rules(c->cfg, c->db->hash_seed);
    size_t longest = 0;
    call_integer(c, (int64_t)found->count);
    if (!found->count) {
        if (db_delete(c, key)) db_changed(c, key, NOTIFY_GENERIC, "del");
        return;
    }
    for (size_t i = 0; i < found->count; i++) {
        size_t n = geo_places_at(found, i)->member.n;
        if (n > longest) longest = n;
    }
    struct zset z = zset_new(found->count, longest, &rules);
    for (size_t i = 0; i < found->count; i++) {
        const struct geo_place *p = geo_places_at(found, i);
        double had;
        zset_add(&z, geo_place_member(p), s->store_distance ? p->distance / s->unit : p->score, &had, &rules);
    }
    db_put_value(c, key, zset_value(&z), -1, 0);
    db_changed(c, key, NOTIFY_ZSET, s->form == BY_OPTIONS ? "geosearchstore" : "georadiusstore");
    c->dirty += (int64_t)found->count - 1;
}

static void search(struct call *c, struct search s)
{
    struct geo_places found = {0};
    s.e = db_lookup_read(c, call_key(c, s.to_key ? 2 : 1));
    if (s.e && call_wrong_type(c, s.e, OBJ_ZSET)) return;
    if (s.e) s.z = zset_of(s.e);
    if (s.to_key) s.store = 1;
    if (!parse(c, &s)) return;
    if (s.e) search_all(&s, &found);
    if (s.store) store_places(c, &s, &found);
    else reply_places(c, &s, &found);
    geo_places_fini(&found);
}

void cmd_georadius(struct call *c) { search(c, (struct search){.form = BY_COORDINATES, .may_store = true}); }
void cmd_georadius_ro(struct call *c) { search(c, (struct search){.form = BY_COORDINATES}); }
void cmd_georadiusbymember(struct call *c) { search(c, (struct search){.form = BY_MEMBER, .may_store = true}); }
void cmd_georadiusbymember_ro(struct call *c) { search(c, (struct search){.form = BY_MEMBER}); }
void cmd_geosearch(struct call *c) { search(c, (struct search){.form = BY_OPTIONS}); }
void cmd_geosearchstore(struct call *c) { search(c, (struct search){.form = BY_OPTIONS, .to_key = true}); }

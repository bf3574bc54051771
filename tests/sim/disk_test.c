/* SPDX-License-Identifier: MIT
 *
 * The simulated disk: what tests/demi/files_test.c claims of files, over disks of every kind, and what a crash leaves.
 */
#include "tests/sim/disk.h"

#define SEEDS 30

static void run_on_disks(const char *name, void (*set_up)(struct world *w))
{
    run_seeds(&(struct scenario){name, set_up, NULL, SEC(3600)}, SEEDS);
}

/* A test of one program: the disk is of chance, and nothing on it fails. */
#define PROGRAM(test, fn)                                                                                              \
    static void set_up_##fn(struct world *w) { disk_world_add(w, NULL, fn); }                                          \
    static void test(void **state) { run_on_disks(#fn, set_up_##fn); }

#define NEW_FILE (O_RDWR | O_CREAT | O_TRUNC)

/* --- as of any file ----------------------------------------------------------------------------------------------- */

static int mistakes(struct disk_world *d)
{
    struct world *w = d->w;
    int qd = -1;
    char longest[PATH_MAX + 1];
    memset(longest, 'x', PATH_MAX);
    longest[PATH_MAX] = 0;
    FINE(w, make_folder("folder"));
    FAILS(w, ENOENT, demi_open(&qd, "file", O_RDWR, 0));
    FAILS(w, ENOENT, demi_open(&qd, "none/file", O_RDWR | O_CREAT, 0600));
    FAILS(w, EISDIR, demi_open(&qd, "/", O_RDWR, 0));
    FINE(w, demi_open(&qd, "file", O_RDWR | O_CREAT | O_EXCL, 0600));
    FINE(w, demi_close(qd));
    FAILS(w, EEXIST, demi_open(&qd, "file", O_RDWR | O_CREAT | O_EXCL, 0600));
    FAILS(w, ENAMETOOLONG, demi_async_open(&(demi_qtoken_t){0}, &qd, longest, O_RDWR, 0));
    const struct {
        const char *path;
        int flags, error;
    } cases[] = {{"folder", O_WRONLY, EISDIR},
                 {"file", O_RDONLY | O_DIRECTORY, ENOTDIR},
                 {"file/file", O_RDONLY, ENOTDIR},
                 {"", O_RDONLY, ENOENT},
                 {longest + 1, O_RDONLY, ENAMETOOLONG}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FAILS(w, cases[i].error, open_file(&qd, cases[i].path, cases[i].flags));
        FINE(w, demi_close(qd));
    }
    FAILS(w, ENOENT, unlink_file("none"));
    FAILS(w, EISDIR, unlink_file("folder"));
    FAILS(w, ENAMETOOLONG, unlink_file(longest + 1));
    FAILS(w, ENOENT, rename_file("file", "none/file"));
    FAILS(w, ENOENT, rename_file("none", "file"));
    FAILS(w, EISDIR, rename_file("file", "folder"));
    FAILS(w, ENOTDIR, rename_file("folder", "file"));
    FAILS(w, EEXIST, make_folder("folder"));
    FAILS(w, ENOENT, make_folder("none/folder"));
    return 0;
}
PROGRAM(test_mistakes_have_their_names, mistakes)

static int write_and_read(struct disk_world *d)
{
    struct world *w = d->w;
    demi_qtoken_t qt;
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    for (unsigned i = 0; i < 20; i++) FINE(w, push_pattern(&qt, qd, 5000, i * 5000)); /* they land in this order */
    FINE(w, sync_file(qd));
    CHECK_EQUAL(w, file_size(qd), 100000);
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_SET), 0);
    CHECK(w, reads_pattern(qd, 100000, 0));
    CHECK(w, reads_pattern(qd, 0, 0));
    CHECK_EQUAL(w, seek_to(qd, 99000, SEEK_SET), 99000);
    CHECK(w, reads_pattern(qd, 1000, 99000));
    FINE(w, close_file(qd));
    size_t n = 0;
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    CHECK(w, bytes && n == 100000 && is_pattern(bytes, n, 0));
    CHECK_EQUAL(w, sim_disk_used(d->disk), 100000);
    return 0;
}
PROGRAM(test_a_file_reads_as_it_was_written, write_and_read)

static int sync_last(struct disk_world *d)
{
    struct world *w = d->w;
    demi_qtoken_t push;
    demi_qresult_t qr = {.qr_opcode = DEMI_OPC_INVALID};
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    FINE(w, push_pattern(&push, qd, 60000, 1));
    FINE(w, sync_file(qd));
    FINE(w, demi_wait(&qr, push, &(struct timespec){0})); /* it has completed by now */
    CHECK_EQUAL(w, qr.qr_opcode, DEMI_OPC_PUSH);
    return close_file(qd);
}
PROGRAM(test_sync_comes_after_the_pushes_before_it, sync_last)

static int cursors(struct disk_world *d)
{
    struct world *w = d->w;
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE | O_APPEND));
    FINE(w, write_pattern(qd, 100, 0));
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_SET), 0);
    FINE(w, write_pattern(qd, 900, 100)); /* at the end */
    CHECK(w, reads_pattern(qd, 1000, 0)); /* and the cursor was not moved */
    FINE(w, close_file(qd));
    FINE(w, open_file(&qd, "file", O_RDWR));
    CHECK_EQUAL(w, seek_to(qd, -10, SEEK_END), 990);
    CHECK_EQUAL(w, seek_to(qd, -90, SEEK_CUR), 900);
    CHECK(w, reads_pattern(qd, 100, 900));
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_CUR), 1000);
    CHECK_EQUAL(w, seek_to(qd, -1, SEEK_SET), -EINVAL);
    CHECK_EQUAL(w, seek_to(qd, 0, 99), -EINVAL);
    CHECK_EQUAL(w, seek_to(qd, 500, SEEK_SET), 500);
    FINE(w, write_pattern(qd, 10, 7));
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_CUR), 510);
    CHECK_EQUAL(w, file_size(qd), 1000);
    CHECK_EQUAL(w, seek_to(qd, 2000, SEEK_SET), 2000); /* a hole */
    FINE(w, write_pattern(qd, 1, 3));
    FINE(w, close_file(qd));
    size_t n = 0;
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    if (!CHECK(w, bytes && n == 2001)) return 1;
    CHECK(w, is_pattern(bytes, 500, 0) && is_pattern(bytes + 500, 10, 7) && is_pattern(bytes + 510, 490, 510));
    CHECK(w, bytes[1000] == 0 && bytes[1999] == 0 && bytes[2000] == 3);
    return 0;
}
PROGRAM(test_cursors_are_where_they_were_put, cursors)

static int lengths(struct disk_world *d)
{
    struct world *w = d->w;
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    FINE(w, write_pattern(qd, 1000, 0));
    FINE(w, truncate_file(qd, 300));
    CHECK_EQUAL(w, file_size(qd), 300);
    FINE(w, truncate_file(qd, 301));
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_SET), 0);
    uint8_t got[400];
    CHECK_EQUAL(w, pop_bytes(qd, got, sizeof got), 301);
    CHECK(w, is_pattern(got, 300, 0) && got[300] == 0);
    FINE(w, close_file(qd));
    FINE(w, open_file(&qd, "file", O_RDONLY));
    FAILS(w, EINVAL, truncate_file(qd, 0));
    FAILS(w, EBADF, write_pattern(qd, 10, 0));
    FINE(w, close_file(qd));
    FINE(w, open_file(&qd, "file", O_WRONLY));
    CHECK_EQUAL(w, pop_bytes(qd, got, sizeof got), -EBADF);
    return close_file(qd);
}
PROGRAM(test_a_file_is_as_long_as_it_was_made_and_what_it_was_opened_for, lengths)

static int names(struct disk_world *d)
{
    struct world *w = d->w;
    demi_qtoken_t qts[3];
    int qd;
    FINE(w, open_file(&qd, "a", NEW_FILE));
    FINE(w, write_pattern(qd, 10, 0));
    FINE(w, demi_rename(&qts[0], "a", "b")); /* in order, all at once: only so do all of them find their file */
    FINE(w, demi_rename(&qts[1], "b", "c"));
    FINE(w, demi_unlink(&qts[2], "c"));
    for (int i = 0; i < 3; i++) FINE(w, wait_done(qts[i]));
    CHECK_EQUAL(w, file_size(qd), 10); /* it has no name, and is open */
    CHECK_EQUAL(w, sim_disk_used(d->disk), 10);
    FINE(w, close_file(qd));
    CHECK_EQUAL(w, sim_disk_used(d->disk), 0);
    FAILS(w, ENOENT, open_file(&qd, "c", O_RDONLY));
    demi_close(qd);
    char here[PATH_MAX], path[PATH_MAX + 32];
    if (!CHECK(w, getcwd(here, sizeof here))) return 1;
    FINE(w, make_folder("folder"));
    snprintf(path, sizeof path, "%s/folder/file", here);
    FINE(w, open_file(&qd, path, NEW_FILE)); /* the working directory is the root */
    FINE(w, close_file(qd));
    FINE(w, open_file(&qd, "./folder//file", O_RDWR));
    FINE(w, close_file(qd));
    FINE(w, rename_file("folder", "other"));
    FINE(w, rename_file("other/file", "file"));
    FINE(w, sync_folder("other"));
    FINE(w, sync_folder("."));
    size_t n;
    CHECK(w, sim_disk_bytes(d->disk, "file", &n) && !sim_disk_bytes(d->disk, "other/file", &n));
    return 0;
}
PROGRAM(test_names_are_changed_and_removed, names)

static int opening(struct disk_world *d)
{
    struct world *w = d->w;
    demi_qtoken_t qts[5], open, push, size;
    int qd = -1;
    FINE(w, demi_async_open(&open, &qd, "file", O_RDWR | O_CREAT | O_EXCL, 0640));
    FINE(w, push_pattern(&push, qd, 3000, 7)); /* it waits for the file */
    FINE(w, demi_file_size(&size, qd));
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_END), -EBUSY);
    demi_qresult_t qr = wait_for(open);
    CHECK(w, qr.qr_opcode == DEMI_OPC_SYNC && qr.qr_qd == qd && qr.qr_ret == 0);
    CHECK_EQUAL(w, wait_for(push).qr_opcode, DEMI_OPC_PUSH);
    CHECK_EQUAL(w, wait_for(size).qr_ret, 3000);
    FINE(w, close_file(qd));
    FAILS(w, EBADF, close_file(qd));
    FINE(w, demi_async_open(&qts[0], &qd, "none/file", O_RDWR | O_CREAT, 0600));
    FINE(w, demi_pop(&qts[1], qd));
    FINE(w, demi_sync(&qts[2], qd, false));
    FINE(w, demi_truncate(&qts[3], qd, 0));
    FINE(w, push_pattern(&qts[4], qd, 100, 0));
    for (int i = 0; i < 5; i++) FAILS(w, ENOENT, wait_done(qts[i]));
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_END), -ENOENT);
    return close_file(qd); /* there is nothing to close */
}
PROGRAM(test_what_waits_for_a_file_fails_as_its_opening_does, opening)

static int closing(struct disk_world *d)
{
    struct world *w = d->w;
    demi_qtoken_t qts[100];
    int qd;
    size_t n = 0;
    FINE(w, open_file(&qd, "file", O_WRONLY | O_CREAT));
    for (unsigned i = 0; i < 100; i++) FINE(w, push_pattern(&qts[i], qd, 1000, i * 1000));
    FINE(w, close_file(qd));
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    CHECK(w, bytes && n == 100000 && is_pattern(bytes, n, 0));
    for (int i = 0; i < 100; i++) {
        int err = wait_done(qts[i]);
        CHECK(w, err == 0 || err == ECANCELED);
    }
    return 0;
}
PROGRAM(test_closing_waits_for_the_writes_and_cancels_their_tokens, closing)

static int reading_ahead(struct disk_world *d)
{
    struct world *w = d->w;
    demi_qtoken_t qts[12], push;
    size_t total = 0;
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    for (unsigned i = 0; i < 50; i++) FINE(w, write_pattern(qd, 10000, i * 10000));
    seek_to(qd, 0, SEEK_SET);
    for (int i = 0; i < 12; i++) FINE(w, demi_pop(&qts[i], qd));
    FINE(w, push_pattern(&push, qd, 100, 500000)); /* where they end */
    for (int i = 0; i < 12; i++) {
        demi_qresult_t qr = wait_for(qts[i]);
        if (!CHECK_EQUAL(w, qr.qr_opcode, DEMI_OPC_POP)) continue;
        demi_sgaseg_t seg = qr.qr_value.sga.sga_segs[0];
        CHECK(w, is_pattern(seg.sgaseg_buf, seg.sgaseg_len, total));
        total += seg.sgaseg_len;
        demi_sgafree(&qr.qr_value.sga);
    }
    CHECK_EQUAL(w, total, 500000);
    FINE(w, wait_done(push));
    CHECK_EQUAL(w, seek_to(qd, 0, SEEK_CUR), 500100);
    return close_file(qd);
}
PROGRAM(test_reads_ahead_stop_at_the_end, reading_ahead)

/* The host ends without waiting. */
static int leaving(struct disk_world *d)
{
    demi_qtoken_t qt;
    int qd;
    FINE(d->w, demi_async_open(&qt, &qd, "file", O_WRONLY | O_CREAT, 0600));
    for (unsigned i = 0; i < 10; i++) FINE(d->w, push_pattern(&qt, qd, 1000, i * 1000));
    FINE(d->w, demi_rename(&qt, "none", "other"));
    return 0;
}

static void set_up_leaving(struct world *w) { disk_world_add(w, NULL, leaving); }

static void verify_leaving(struct world *w)
{
    const struct disk_world *d = w->state;
    size_t n = 0;
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    CHECK(w, bytes && n == 10000 && is_pattern(bytes, n, 0));
}

static void test_the_end_of_a_program_does_what_was_begun(void **state)
{
    run_seeds(&(struct scenario){"leaving", set_up_leaving, verify_leaving, SEC(60)}, SEEDS);
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static int fill_up(struct disk_world *d)
{
    struct world *w = d->w;
    int qd, other;
    size_t n = 0;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    FINE(w, open_file(&other, "other", NEW_FILE));
    FINE(w, write_pattern(other, 4000, 0));
    FINE(w, write_pattern(qd, 5000, 0));
    FAILS(w, ENOSPC, write_pattern(qd, 2000, 5000));
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    CHECK(w, bytes && n == 6000 && is_pattern(bytes, n, 0)); /* what fitted is there */
    FAILS(w, ENOSPC, write_pattern(qd, 1, 0));
    seek_to(qd, 0, SEEK_SET);
    FINE(w, write_pattern(qd, 6000, 0)); /* in place */
    FINE(w, unlink_file("other"));
    FAILS(w, ENOSPC, write_pattern(qd, 1, 6000)); /* it is open */
    FINE(w, close_file(other));
    FINE(w, write_pattern(qd, 4000, 6000));
    FINE(w, truncate_file(qd, 0));
    CHECK_EQUAL(w, sim_disk_used(d->disk), 0);
    return close_file(qd);
}

static void set_up_full(struct world *w)
{
    struct sim_disk_settings set = sim_disk_random(w->sim);
    set.space = 10000;
    disk_world_add(w, &set, fill_up);
}

static void test_a_full_disk_takes_what_fits(void **state) { run_on_disks("full", set_up_full); }

static int lose_pushes(struct disk_world *d)
{
    struct world *w = d->w;
    const char bytes[100] = {0};
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    sim_disk_fail_nth(d->disk, 1, EIO);
    FINE(w, push_bytes(qd, bytes, sizeof bytes));
    FAILS(w, EIO, sync_file(qd));
    FINE(w, sync_file(qd)); /* it is said once */
    sim_disk_fail_nth(d->disk, 1, ENOSPC);
    FINE(w, push_bytes(qd, bytes, sizeof bytes));
    FAILS(w, ENOSPC, close_file(qd));
    FINE(w, open_file(&qd, "file", NEW_FILE));
    sim_disk_fail_nth(d->disk, 1, EIO);
    FAILS(w, EIO, write_pattern(qd, 100, 0)); /* here somebody was told */
    FINE(w, close_file(qd));
    FINE(w, open_file(&qd, "file", NEW_FILE)); /* what follows a fault is done as if it stood alone */
    demi_qtoken_t qts[4];
    sim_disk_fail_nth(d->disk, 2, EIO);
    for (unsigned i = 0; i < 4; i++) FINE(w, push_pattern(&qts[i], qd, 100, 0));
    for (int i = 0; i < 4; i++) FAILS(w, i == 1 ? EIO : 0, wait_done(qts[i]));
    CHECK(w, file_size(qd) >= 300);
    return close_file(qd);
}

static void set_up_lost_pushes(struct world *w)
{
    struct sim_disk_settings set = sim_disk_random(w->sim);
    set.pieces_ppm = 0; /* the n-th operation is a whole one */
    disk_world_add(w, &set, lose_pushes);
}

static void test_a_write_that_nobody_waited_for_fails_what_follows(void **state)
{
    run_on_disks("lost pushes", set_up_lost_pushes);
}

/* Every operation fails once, and each says so and no more. */
static int fail_each(struct disk_world *d)
{
    struct world *w = d->w;
    int qd, qd2;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    FINE(w, write_pattern(qd, 100, 0));
    seek_to(qd, 0, SEEK_SET);
    sim_disk_set(d->disk, &(struct sim_disk_settings){.open_eio_ppm = 1000000,
                                                      .read_eio_ppm = 1000000,
                                                      .write_eio_ppm = 1000000,
                                                      .sync_eio_ppm = 1000000,
                                                      .name_eio_ppm = 1000000});
    FAILS(w, EIO, open_file(&qd2, "file", O_RDONLY));
    demi_close(qd2);
    FAILS(w, EIO, demi_open(&qd2, "file", O_RDONLY, 0));
    CHECK_EQUAL(w, pop_bytes(qd, &(char[100]){0}, 100), -EIO);
    FAILS(w, EIO, write_pattern(qd, 100, 0));
    FAILS(w, EIO, truncate_file(qd, 0));
    FAILS(w, EIO, sync_file(qd));
    FAILS(w, EIO, rename_file("file", "other"));
    FAILS(w, EIO, unlink_file("file"));
    FAILS(w, EIO, make_folder("folder"));
    FINE(w, close_file(qd));
    size_t n;
    CHECK(w, sim_disk_bytes(d->disk, "file", &n));
    return 0;
}

static void set_up_errors(struct world *w) { disk_world_add(w, NULL, fail_each); }
static void test_each_operation_may_fail(void **state) { run_on_disks("errors", set_up_errors); }

static int read_badly(struct disk_world *d)
{
    struct world *w = d->w;
    int qd, wrong = 0;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    FINE(w, write_pattern(qd, 60000, 0));
    for (int i = 0; i < 20; i++) {
        seek_to(qd, 0, SEEK_SET);
        wrong += !reads_pattern(qd, 60000, 0);
    }
    CHECK(w, wrong > 0 && wrong < 20);
    return close_file(qd);
}

static void set_up_bad_reads(struct world *w)
{
    struct sim_disk_settings set = {.corrupt_ppm = 250000, .misdirect_ppm = 250000};
    disk_world_add(w, &set, read_badly);
}

static void test_reads_may_lie(void **state) { run_on_disks("bad reads", set_up_bad_reads); }

/* --- crashes ------------------------------------------------------------------------------------------------------ */

static void crash(void *arg) { sim_host_crash(((struct disk_world *)arg)->host); }

/* Writes and syncs until the disk is dead, and knows what is safe and what may be there. */
static int append_and_sync(struct disk_world *d)
{
    struct world *w = d->w;
    int qd, err = open_file(&qd, "file", NEW_FILE | O_APPEND);
    if (!err) err = sync_folder(".");
    while (!err) {
        size_t n = 1 + rng_below(&d->rng, 3000);
        d->written = d->safe + n;
        if (rng_below(&d->rng, 3) == 0) {
            err = write_durably(qd, n, d->safe);
        } else {
            err = write_pattern(qd, n, d->safe);
            if (!err && rng_below(&d->rng, 4) == 0) sleep_ns(MS(1));
            if (!err) err = sync_file(qd);
        }
        if (!err) d->safe += n;
    }
    CHECK_EQUAL(w, err, EIO);
    FAILS(w, EIO, demi_open(&qd, "file", O_RDONLY, 0)); /* and all that follows */
    FAILS(w, EIO, unlink_file("file"));
    return 0;
}

static void set_up_appends(struct world *w)
{
    struct disk_world *d = disk_world_add(w, NULL, append_and_sync);
    sim_at(w->sim, SIM_START_NS + rng_below(&d->rng, MS(300)), crash, d);
}

/* The tail may be zero where only its length was kept, and with any_sectors so may be any part of it. */
static void verify_appends(struct world *w)
{
    const struct disk_world *d = w->state;
    size_t n = 0;
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    if (!d->safe && !bytes) return;
    if (!CHECK(w, bytes && n >= d->safe && n <= d->written)) return;
    CHECK(w, is_pattern(bytes, d->safe, 0));
    for (size_t at = d->safe; at < n; at++) CHECK(w, bytes[at] == 0 || is_pattern(bytes + at, 1, at));
}

static void test_what_was_synced_is_there_after_a_crash(void **state)
{
    run_seeds(&(struct scenario){"appends", set_up_appends, verify_appends, SEC(60)}, 300);
}

/* What a crash made of something unsynced, counted over seeds: nothing and all of it must both happen. */
static unsigned kept, lost, parts, seen;

static int write_unsynced(struct disk_world *d)
{
    int qd;
    FINE(d->w, open_file(&qd, "file", NEW_FILE));
    FINE(d->w, write_pattern(qd, 10000, 0));
    FINE(d->w, sync_folder("."));
    d->n = 1;
    sleep_ns(SEC(10));
    return 0;
}

static void set_up_unsynced(struct world *w)
{
    struct disk_world *d = disk_world_add(w, NULL, write_unsynced);
    sim_at(w->sim, SIM_START_NS + SEC(5), crash, d);
}

static void verify_unsynced(struct world *w)
{
    const struct disk_world *d = w->state;
    size_t n = 0;
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    if (!CHECK(w, d->n == 1 && bytes)) return;
    if (n == 0) lost++;
    else if (n == 10000 && is_pattern(bytes, n, 0)) kept++;
    else parts++;
    seen++;
}

static bool all_seeds(void) { return !getenv("SIM_SEED") && !getenv("SIM_ONLY") && !getenv("SIM_SEEDS"); }

static void test_what_was_not_synced_may_be_there_in_part(void **state)
{
    kept = lost = parts = seen = 0;
    run_seeds(&(struct scenario){"unsynced", set_up_unsynced, verify_unsynced, SEC(60)}, 100);
    if (all_seeds() && SEEDS_SHARE == 1) assert_true(kept > 10 && lost > 10 && parts > 10);
}

/* A file is replaced: by a new one that was synced, and a rename that was not. */
static int replace(struct disk_world *d)
{
    struct world *w = d->w;
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    FINE(w, write_pattern(qd, 1000, 0));
    FINE(w, sync_file(qd));
    FINE(w, close_file(qd));
    FINE(w, sync_folder("."));
    FINE(w, open_file(&qd, "temp", NEW_FILE));
    FINE(w, write_pattern(qd, 2000, 100));
    FINE(w, sync_file(qd));
    FINE(w, close_file(qd));
    FINE(w, rename_file("temp", "file"));
    if (d->life) FINE(w, sync_folder("."));
    d->n = 1;
    sleep_ns(SEC(10));
    return 0;
}

static void set_up_replace(struct world *w)
{
    struct disk_world *d = disk_world_add(w, NULL, replace);
    d->life = w->seed % 2;
    sim_at(w->sim, SIM_START_NS + SEC(5), crash, d);
}

static void verify_replace(struct world *w)
{
    const struct disk_world *d = w->state;
    size_t n = 0;
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    bool is_old = bytes && n == 1000 && is_pattern(bytes, n, 0),
         is_new = bytes && n == 2000 && is_pattern(bytes, n, 100);
    CHECK(w, d->n == 1);
    CHECK(w, d->life ? is_new : is_old || is_new);
    if (d->life) return;
    kept += is_new;
    lost += is_old;
}

static void test_a_rename_is_safe_when_its_folder_was_synced_and_whole_in_any_case(void **state)
{
    kept = lost = 0;
    run_seeds(&(struct scenario){"replace", set_up_replace, verify_replace, SEC(60)}, 100);
    if (all_seeds() && SEEDS_SHARE == 1) assert_true(kept > 5 && lost > 5);
}

/* The pages of a sync that failed are clean: the next one, which works, has nothing to write. */
static int sync_again(struct disk_world *d)
{
    struct world *w = d->w;
    int qd;
    FINE(w, open_file(&qd, "file", NEW_FILE));
    FINE(w, sync_folder("."));
    FINE(w, write_pattern(qd, 10000, 0));
    sim_disk_fail_nth(d->disk, 1, EIO);
    FAILS(w, EIO, sync_file(qd));
    FINE(w, sync_file(qd));
    seek_to(qd, 0, SEEK_SET);
    CHECK(w, reads_pattern(qd, 10000, 0)); /* as long as the machine runs */
    d->n = 1;
    sleep_ns(SEC(10));
    return 0;
}

static void set_up_sync_again(struct world *w)
{
    struct disk_world *d = disk_world_add(w, NULL, sync_again);
    sim_at(w->sim, SIM_START_NS + SEC(5), crash, d);
}

static void test_a_sync_after_one_that_failed_means_nothing(void **state)
{
    kept = lost = parts = 0;
    run_seeds(&(struct scenario){"sync again", set_up_sync_again, verify_unsynced, SEC(60)}, 50);
    if (all_seeds() && SEEDS_SHARE == 1) assert_true(parts > 40);
}

/* A second host on the same disk and at the same address, while the first one's program has not ended. */
static int second_life(struct disk_world *d)
{
    struct world *w = d->w;
    int qd;
    size_t n;
    if (d->life++) {
        CHECK(w, sim_disk_bytes(d->disk, "file", &n) && n == 1000);
        FINE(w, open_file(&qd, "file", O_RDWR | O_APPEND));
        FINE(w, write_pattern(qd, 1000, 1000));
        FINE(w, sync_file(qd));
        return close_file(qd);
    }
    FINE(w, open_file(&qd, "file", NEW_FILE | O_APPEND));
    FINE(w, write_pattern(qd, 1000, 0));
    FINE(w, sync_file(qd));
    FINE(w, sync_folder("."));
    sleep_ns(SEC(6));
    FAILS(w, EIO, write_pattern(qd, 5000, 0)); /* nothing of it reaches the disk */
    return close_file(qd);
}

static void reboot(void *arg)
{
    struct disk_world *d = arg;
    crash(d);
    sim_host_mount(sim_host_add(d->w->sim, "10.0.0.1", disk_program, d), d->disk);
}

static void set_up_second_life(struct world *w)
{
    struct disk_world *d = disk_world_add(w, NULL, second_life);
    sim_at(w->sim, SIM_START_NS + SEC(5), reboot, d);
}

static void verify_second_life(struct world *w)
{
    const struct disk_world *d = w->state;
    size_t n = 0;
    const char *bytes = sim_disk_bytes(d->disk, "file", &n);
    CHECK(w, d->life == 2 && bytes && n == 2000 && is_pattern(bytes, n, 0));
}

static void test_a_disk_outlives_its_host(void **state)
{
    run_seeds(&(struct scenario){"second life", set_up_second_life, verify_second_life, SEC(60)}, SEEDS);
}

/* --- of a host with our own stack --------------------------------------------------------------------------------- */

/* Its frames are not heard any more, and another host has its address. */
static int net_life(struct disk_world *d)
{
    struct world *w = d->w;
    int qd, life = d->life++;
    FINE(w, open_file(&qd, "file", O_RDWR | O_CREAT | O_APPEND));
    FINE(w, write_pattern(qd, 1000, (size_t)life * 1000));
    FINE(w, sync_file(qd));
    FINE(w, sync_folder("."));
    int listener = listen_at("10.0.0.1", 7000, 4);
    CHECK(w, listener >= 0);
    int peer = accept_on(listener);
    FINE(w, peer >= 0 ? push_bytes(peer, life ? "b" : "a", 1) : peer);
    sleep_ns(SEC(6));
    if (!life) FAILS(w, EIO, write_pattern(qd, 5000, 0));
    FINE(w, demi_close(peer));
    FINE(w, demi_close(listener));
    return close_file(qd);
}

static int ask_who(void *arg)
{
    struct disk_world *d = arg;
    for (int life = 0; life < 2; life++) {
        char got[POP_MAX];
        int qd = -1;
        for (int i = 0; i < 100 && qd < 0; i++) {
            qd = connect_to("10.0.0.1", 7000);
            if (qd < 0) sleep_ns(MS(10));
        }
        if (!CHECK(d->w, qd >= 0)) return 1;
        CHECK_EQUAL(d->w, pop_bytes(qd, got, sizeof got), 1);
        CHECK_EQUAL(d->w, got[0], life ? 'b' : 'a');
        demi_close(qd);
        if (!life) sleep_ns(SEC(8)); /* the crash is at five */
    }
    return 0;
}

static void net_reboot(void *arg)
{
    struct disk_world *d = arg;
    crash(d);
    sim_host_mount(sim_net_host_add(d->w->sim, "10.0.0.1", NULL, disk_program, d), d->disk);
}

static void set_up_net(struct world *w)
{
    struct disk_world *d = w->state = calloc(1, sizeof *d);
    struct sim_disk_settings set = sim_disk_random(w->sim);
    *d = (struct disk_world){.w = w, .fn = net_life, .disk = sim_disk_new(w->sim, &set)};
    d->host = sim_net_host_add(w->sim, "10.0.0.1", NULL, disk_program, d);
    sim_host_mount(d->host, d->disk);
    sim_net_host_add(w->sim, "10.0.0.2", NULL, ask_who, d);
    sim_at(w->sim, SIM_START_NS + SEC(5), net_reboot, d);
}

static void test_a_host_with_our_stack_has_a_disk_and_crashes(void **state)
{
    run_seeds(&(struct scenario){"net host", set_up_net, verify_second_life, SEC(600)}, SEEDS);
}

/* What a scenario puts there is safe; what it finds is what programs would. */
static int add_files(struct disk_world *d)
{
    int qd;
    FINE(d->w, open_file(&qd, "folder/planted", O_RDONLY));
    CHECK(d->w, reads_pattern(qd, 700, 0));
    FINE(d->w, close_file(qd));
    FINE(d->w, open_file(&qd, "folder/late", NEW_FILE)); /* until the crash */
    FINE(d->w, write_pattern(qd, 700, 0));
    d->n = 1;
    sleep_ns(SEC(10));
    return 0;
}

static int plant(struct disk_world *d)
{
    uint8_t bytes[700];
    fill_pattern(bytes, sizeof bytes, 0);
    FINE(d->w, make_folder("folder"));
    CHECK_EQUAL(d->w, sim_disk_put(d->disk, "none/planted", bytes, 700), -ENOENT);
    FINE(d->w, sim_disk_put(d->disk, "folder/planted", bytes, 700));
    return add_files(d);
}

static void set_up_plant(struct world *w)
{
    struct disk_world *d = disk_world_add(w, NULL, plant);
    sim_at(w->sim, SIM_START_NS + SEC(5), crash, d);
}

static void count_paths(void *arg, const char *path)
{
    struct disk_world *d = arg;
    bool known = !strcmp(path, "folder") || !strcmp(path, "folder/planted") || !strcmp(path, "folder/late");
    CHECK(d->w, known);
    d->written++;
}

static void verify_plant(struct world *w)
{
    struct disk_world *d = w->state;
    const struct sim_disk_stats *n = sim_disk_stats(d->disk);
    size_t size = 0;
    const char *bytes = sim_disk_bytes(d->disk, "folder/planted", &size);
    sim_disk_visit(d->disk, count_paths, d);
    CHECK(w, d->n == 1 && bytes && size == 700 && is_pattern(bytes, size, 0));
    CHECK(w, d->written == 2 || d->written == 3);
    CHECK(w, n->crashes == 1 && n->writes >= 1 && n->reads >= 1 && n->bytes_written == 700 && !n->failed);
    kept += d->written == 3;
    lost += d->written == 2;
}

static void test_a_name_is_safe_when_its_folder_was_synced(void **state)
{
    kept = lost = 0;
    run_seeds(&(struct scenario){"plant", set_up_plant, verify_plant, SEC(60)}, 50);
    if (all_seeds() && SEEDS_SHARE == 1) assert_true(kept > 5 && lost > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes_have_their_names),
        cmocka_unit_test(test_a_file_reads_as_it_was_written),
        cmocka_unit_test(test_sync_comes_after_the_pushes_before_it),
        cmocka_unit_test(test_cursors_are_where_they_were_put),
        cmocka_unit_test(test_a_file_is_as_long_as_it_was_made_and_what_it_was_opened_for),
        cmocka_unit_test(test_names_are_changed_and_removed),
        cmocka_unit_test(test_what_waits_for_a_file_fails_as_its_opening_does),
        cmocka_unit_test(test_closing_waits_for_the_writes_and_cancels_their_tokens),
        cmocka_unit_test(test_reads_ahead_stop_at_the_end),
        cmocka_unit_test(test_the_end_of_a_program_does_what_was_begun),
        cmocka_unit_test(test_a_full_disk_takes_what_fits),
        cmocka_unit_test(test_a_write_that_nobody_waited_for_fails_what_follows),
        cmocka_unit_test(test_each_operation_may_fail),
        cmocka_unit_test(test_reads_may_lie),
        cmocka_unit_test(test_what_was_synced_is_there_after_a_crash),
        cmocka_unit_test(test_what_was_not_synced_may_be_there_in_part),
        cmocka_unit_test(test_a_rename_is_safe_when_its_folder_was_synced_and_whole_in_any_case),
        cmocka_unit_test(test_a_sync_after_one_that_failed_means_nothing),
        cmocka_unit_test(test_a_disk_outlives_its_host),
        cmocka_unit_test(test_a_host_with_our_stack_has_a_disk_and_crashes),
        cmocka_unit_test(test_a_name_is_safe_when_its_folder_was_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

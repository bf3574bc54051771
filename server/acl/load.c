/* SPDX-License-Identifier: MIT */
#include "server/acl/load.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/conf/conf.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

static bool refuse(struct conf_text *err, struct bytes name, const char *why)
{
    conf_text_add_str(err, "Error in user declaration '");
    conf_text_add(err, name);
    conf_text_printf(err, "': %s", why);
    return false;
}

static bool load_one(struct acl *acl, const struct conf_args *a, struct acl_words *seen, bool open_channels,
                     struct conf_text *err)
{
    struct bytes name = a->argv[0];
    struct conf_text why = {0};
    if (!acl_user_name_is_fine(name)) return refuse(err, name, "Spaces not allowed in ACL usernames");
    if (acl_words_find(seen, name) >= 0) return refuse(err, name, acl_user_error(-EALREADY));
    acl_words_add(seen, name);
    struct acl_user *now = acl_find(acl, name);
    if (now) acl_user_set(now, BYTES("reset"), open_channels);
    struct acl_user *planned = acl_plan(acl, name, a->argv + 1, a->argc - 1, open_channels, &why);
    if (planned) acl_put(acl, planned);
    else refuse(err, name, why.p);
    conf_text_free(&why);
    return planned != NULL;
}

bool acl_load_lines(struct acl *acl, const char *lines, bool open_channels, struct conf_text *err)
{
    struct acl_words seen = {0};
    bool fine = true;
    while (lines && *lines && fine) {
        const char *end = strchrnul(lines, '\n');
        struct conf_args a;
        int rc = conf_split(bytes_of(lines, (size_t)(end - lines)), &a);
        if (rc == 0 && a.argc) fine = load_one(acl, &a, &seen, open_channels, err);
        if (rc == 0) conf_args_free(&a);
        lines = *end ? end + 1 : end;
    }
    acl_words_clear(&seen);
    return fine;
}

static int read_all(int fd, struct conf_text *out)
{
    char chunk[8192];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : 0;
        if (out->n + (size_t)n > FILE_BYTES_MAX) return -EFBIG;
        conf_text_add(out, bytes_of(chunk, (size_t)n));
    }
}

bool acl_load_file(const char *path, bool open_channels, struct acl_users *out, struct conf_text *err)
{
    struct conf_text text = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc = fd < 0 || fstat(fd, &st) ? -errno : 0;
    if (!rc && S_ISFIFO(st.st_mode)) rc = -EINVAL; /* it has no end, or none yet: not the same as no users */
    if (!rc) rc = read_all(fd, &text);
    if (fd >= 0) close(fd);
    if (rc) conf_text_printf(err, "Error loading ACLs, opening file '%s': %s", path, strerror(-rc));
    bool fine = rc == 0 && acl_parse(conf_text_bytes(&text), path, open_channels, out, err);
    conf_text_free(&text);
    return fine;
}

int acl_save_file(const struct acl *acl, const char *path)
{
    struct conf_text text = {0};
    struct stat st;
    mode_t mode = stat(path, &st) == 0 ? st.st_mode & 07777 : 0644;
    acl_describe(acl, &text);
    int rc = conf_file_replace(path, mode, conf_text_bytes(&text));
    conf_text_free(&text);
    return rc;
}

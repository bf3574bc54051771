/* SPDX-License-Identifier: MIT
 *
 * Files of a folder by HTTP/1.1: GET and HEAD, connections that stay, one range, conditions (RFC 9110, RFC 9112).
 *
 *     file --demi_pop--> array --demi_push--> client          nothing is copied between the two
 *
 * A file is a queue as the connection is: what is read from it goes out as it lies, the next piece when that is
 * through. Who is asked where a file is, and how large, is the kernel, at once; reading is done elsewhere (demi_open).
 * What leads out of the folder, by .. or by a link, is not there; whoever changes links in the folder is trusted. A
 * folder shows its index.html and no list. Usage: http-files ADDR PORT FOLDER
 */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "demi/examples/clients.h"
#include "demi/examples/http/request.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>

#define HEAD_SIZE 8192

struct session {
    size_t head_size;
    char head[HEAD_SIZE + 1];
    /* The body that goes out. */
    int file; /* -1: none */
    int is_reading;
    uint64_t left;
    int is_kept;
};

static char folder[PATH_MAX];
static size_t folder_size;

static const struct {
    int status;
    const char *words;
} statuses[] = {{200, "OK"},
                {206, "Partial Content"},
                {301, "Moved Permanently"},
                {304, "Not Modified"},
                {400, "Bad Request"},
                {404, "Not Found"},
                {405, "Method Not Allowed"},
                {413, "Content Too Large"},
                {416, "Range Not Satisfiable"},
                {431, "Request Header Fields Too Large"},
                {500, "Internal Server Error"},
                {501, "Not Implemented"},
                {503, "Service Unavailable"},
                {505, "HTTP Version Not Supported"}};

static const struct {
    const char *suffix, *type;
} types[] = {{".html", "text/html; charset=utf-8"},
             {".css", "text/css"},
             {".js", "text/javascript"},
             {".txt", "text/plain; charset=utf-8"},
             {".json", "application/json"},
             {".svg", "image/svg+xml"},
             {".png", "image/png"},
             {".jpg", "image/jpeg"},
             {".gif", "image/gif"},
             {".pdf", "application/pdf"},
             {".wasm", "application/wasm"}};

static const char *words_of(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status) return statuses[i].words;
    return "?";
}

static const char *type_of(const char *path)
{
    const char *suffix = strrchr(path, '.');
    for (size_t i = 0; suffix && i < sizeof types / sizeof *types; i++)
        if (strcmp(suffix, types[i].suffix) == 0) return types[i].type;
    return "application/octet-stream";
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void begin_head(struct client *c, int status, int is_kept)
{
    char date[30];
    http_date_write(date, demi_wall_us() / 1000000);
    client_say(c, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: demi/%s\r\n", status, words_of(status), date, demi_version());
    client_say(c, is_kept ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
    if (!is_kept) c->is_ending = 1;
}

/* One without a file, with its name for people as a body. more: further lines. */
static void answer(struct client *c, int status, int is_kept, int with_body, const char *more)
{
    char body[64];
    int n = snprintf(body, sizeof body, "%d %s\n", status, words_of(status));
    begin_head(c, status, is_kept);
    client_bytes(c, more, strlen(more));
    client_say(c, "Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n", n);
    if (with_body) client_bytes(c, body, (size_t)n);
}

/* A folder without its slash is another address (RFC 9110, 15.4.2). What cannot stand in a line is written as signs. */
static void answer_moved(struct client *c, const struct request *r, int with_body)
{
    char line[3 * HEAD_SIZE + 16];
    size_t n = (size_t)snprintf(line, sizeof line, "Location: ");
    for (const unsigned char *at = (const unsigned char *)r->path; *at && n + 8 < sizeof line; at++) {
        int is_plain = *at > ' ' && *at < 127 && !strchr("%?#\"<>\\^`{|}", *at);
        n += (size_t)snprintf(line + n, sizeof line - n, is_plain ? "%c" : "%%%02X", *at);
    }
    snprintf(line + n, sizeof line - n, "/\r\n");
    answer(c, 301, r->is_kept, with_body, line);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Where the file of a request lies, links followed, if that is inside of the folder. */
static int find(const char *path, char out[PATH_MAX], struct stat *st)
{
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", folder, path);
    if (n < 0 || (size_t)n >= sizeof full || !realpath(full, out)) return 404;
    if (strncmp(out, folder, folder_size) != 0 || (out[folder_size] != '/' && out[folder_size] != 0)) return 404;
    return stat(out, st) ? 404 : 0;
}

static int is_unchanged(const struct request *r, const char *etag, int64_t modified)
{
    if (r->if_none_match) return etag_matches(r->if_none_match, etag); /* and the date is not looked at: 9110, 13.2.2 */
    int64_t since = r->if_modified_since ? http_date(r->if_modified_since) : -1;
    return since >= 0 && modified <= since;
}

static void answer_file(struct client *c, struct session *s, const struct request *r, const char *path,
                        const struct stat *st, int with_body)
{
    char etag[64], date[30], more[256];
    uint64_t size = (uint64_t)st->st_size, first = 0, last = size - 1;
    int64_t modified = st->st_mtim.tv_sec;
    snprintf(etag, sizeof etag, "\"%" PRIx64 "-%" PRIx64 "%09lx\"", size, (uint64_t)modified,
             (unsigned long)st->st_mtim.tv_nsec);
    http_date_write(date, modified);
    if (is_unchanged(r, etag, modified)) {
        begin_head(c, 304, r->is_kept);
        client_say(c, "ETag: %s\r\nLast-Modified: %s\r\n\r\n", etag, date);
        return;
    }
    int has_range =
        with_body && r->range && (!r->if_range || strcmp(r->if_range, etag) == 0 || http_date(r->if_range) == modified)
            ? range_parse(r->range, size, &first, &last)
            : 0;
    if (has_range < 0) {
        snprintf(more, sizeof more, "Content-Range: bytes */%" PRIu64 "\r\n", size);
        answer(c, 416, r->is_kept, with_body, more);
        return;
    }
    if (!has_range) first = 0, last = size - 1;
    if (with_body && size > 0 &&
        (demi_open(&s->file, path, O_RDONLY, 0) ||
         (first && demi_lseek(s->file, (off_t)first, SEEK_SET, &(off_t){0})))) {
        answer(c, 503, 0, with_body, "");
        return;
    }
    begin_head(c, has_range ? 206 : 200, r->is_kept);
    client_say(c,
               "Content-Type: %s\r\nContent-Length: %" PRIu64
               "\r\nETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n",
               type_of(path), size ? last - first + 1 : 0, etag, date);
    if (has_range) client_say(c, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", first, last, size);
    client_bytes(c, "\r\n", 2);
    s->left = with_body && size ? last - first + 1 : 0;
    s->is_kept = r->is_kept;
    c->is_ending = 0; /* not before the body is through */
    if (!s->left && !r->is_kept) c->is_ending = 1;
}

static void close_file(struct session *s)
{
    if (s->file >= 0) demi_close(s->file);
    s->file = -1;
    s->left = 0;
}

static void read_on(struct client *c, struct session *s)
{
    demi_qtoken_t qt;
    if (demi_pop(&qt, s->file)) {
        close_file(s);
        c->is_ending = 1; /* the rest of the body cannot come: the client sees that by the end */
        return;
    }
    client_started(c, qt);
    s->is_reading = 1;
}

/* A piece of the file is there. */
static void other(struct client *c, demi_qresult_t *qr)
{
    struct session *s = c->session;
    demi_sgarray_t *sga = &qr->qr_value.sga;
    demi_qtoken_t qt;
    s->is_reading = 0;
    if (qr->qr_opcode == DEMI_OPC_POP) {
        size_t size = sga->sga_segs[0].sgaseg_len;
        if (size > s->left) sga->sga_segs[0].sgaseg_len = (uint32_t)(size = (size_t)s->left);
        s->left -= size;
        if (size > 0 && demi_push(&qt, c->qd, sga) == 0) client_started(c, qt);
        else c->is_ending = 1; /* the file has become shorter, or the client has gone */
        demi_sgafree(sga);
    } else c->is_ending = 1;
    if (s->left == 0 || c->is_ending) {
        close_file(s);
        if (!s->is_kept) c->is_ending = 1;
    }
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void serve(struct client *c, struct session *s)
{
    struct request r;
    struct stat st;
    char path[PATH_MAX];
    int status = request_parse(&r, s->head);
    int is_head = !status && strcmp(r.method, "HEAD") == 0, is_get = !status && strcmp(r.method, "GET") == 0;
    if (!status && !is_head && !is_get) {
        static const char *const known[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"};
        status = 501;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(r.method, known[i]) == 0) status = 405;
    }
    if (status) {
        answer(c, status, 0, !is_head, status == 405 ? "Allow: GET, HEAD\r\n" : "");
        return;
    }
    size_t size = strlen(r.path);
    int is_folder = r.path[size - 1] == '/';
    status = find(r.path, path, &st);
    if (!status && S_ISDIR(st.st_mode) && !is_folder) {
        answer_moved(c, &r, is_get);
        return;
    }
    if (!status && is_folder) { /* its index, which may be a link again */
        char index[PATH_MAX];
        int n = snprintf(index, sizeof index, "%sindex.html", r.path);
        status = n < 0 || (size_t)n >= sizeof index ? 404 : find(index, path, &st);
    }
    if (status || !S_ISREG(st.st_mode)) answer(c, 404, r.is_kept, is_get, "");
    else answer_file(c, s, &r, path, &st, is_get);
}

/* Collects a head, to its empty line. */
static void take_head(struct client *c, struct session *s, const char *at, size_t size)
{
    size_t used = 0;
    while (used < size) {
        char b = at[used++];
        if (s->head_size == 0 && (b == '\r' || b == '\n')) continue; /* empty lines before a request: 9112, 2.2 */
        if (s->head_size == HEAD_SIZE || b == 0) {
            client_use(c, used);
            answer(c, b ? 431 : 400, 0, 1, "");
            return;
        }
        s->head[s->head_size++] = b;
        size_t n = s->head_size;
        if (b != '\n' ||
            !((n >= 2 && s->head[n - 2] == '\n') || (n >= 3 && s->head[n - 2] == '\r' && s->head[n - 3] == '\n')))
            continue;
        client_use(c, used);
        s->head[n] = 0;
        s->head_size = 0;
        serve(c, s);
        return;
    }
    client_use(c, used);
}

static void advance(struct client *c)
{
    struct session *s = c->session;
    const char *at = NULL;
    size_t size;
    while (!c->is_ending && !client_is_full(c) && !s->is_reading) {
        if (s->left) read_on(c, s);
        else if ((size = client_input(c, &at)) == 0) return;
        else take_head(c, s, at, size);
    }
}

static void *session_open(struct client *c)
{
    struct session *s = calloc(1, sizeof *s);
    (void)c;
    if (s) s->file = -1;
    return s;
}

static void session_close(void *session)
{
    close_file(session);
    free(session);
}

static const struct service service = {session_open, session_close, advance, other};

int main(int argc, char *const argv[])
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct demi_args args = {argc, argv, NULL};
    struct stat st;
    long port = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    if (argc != 4 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1 || port < 1 || port > 65535) {
        fprintf(stderr, "usage: %s ADDR PORT FOLDER\n", argv[0]);
        return 1;
    }
    if (!realpath(argv[3], folder) || stat(folder, &st) || !S_ISDIR(st.st_mode)) {
        fprintf(stderr, "%s: no such folder\n", argv[3]);
        return 1;
    }
    folder_size = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    folder[folder_size] = 0;
    at.sin_port = htons((uint16_t)port);
    MUST(demi_init(&args));
    clients_serve(&at, &service);
}

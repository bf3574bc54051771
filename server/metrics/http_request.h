/* SPDX-License-Identifier: MIT
 *
 * The head of an HTTP request: the strict subset of HTTP/1.1 (RFC 9112) that a scrape needs. A request has no body
 * here, a line ends with CRLF and nothing else, and nothing is folded, guessed or mended.
 */
#ifndef SERVER_METRICS_HTTP_REQUEST_H
#define SERVER_METRICS_HTTP_REQUEST_H

#include <stdbool.h>

#include "alloc/base/bytes.h"

enum {
    HTTP_LINE_MAX = 2048,  /* the request line: longer is 414 */
    HTTP_HEAD_MAX = 8192,  /* all of a request, the empty line included: longer is 431 */
    HTTP_HEADERS_MAX = 64, /* more are 431 */
};

/* What the answer is to be. */
enum http_status {
    HTTP_OK = 200,
    HTTP_BAD_REQUEST = 400,
    HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404,
    HTTP_METHOD_NOT_ALLOWED = 405,
    HTTP_CONTENT_TOO_LARGE = 413,
    HTTP_URI_TOO_LONG = 414,
    HTTP_EXPECTATION_FAILED = 417,
    HTTP_HEAD_TOO_LARGE = 431,
    HTTP_NOT_IMPLEMENTED = 501,
    HTTP_UNAVAILABLE = 503,
    HTTP_VERSION_NOT_SUPPORTED = 505,
};
const char *http_reason(enum http_status status); /* "Not Found" */

struct http_request {
    enum http_status status; /* HTTP_OK: a GET or HEAD of the path that was asked for */
    bool is_head;            /* the answer has no body */
    bool is_old;             /* HTTP/1.0: knows no chunks */
    bool closes;             /* the connection is not used on */
};

/* Reads one request from the beginning of what has come. 0: it is not all there, and may still be fine. Otherwise how
 * many bytes it has, or, where status says what is wrong with it and closes is set, where reading has ended: what
 * follows is no request. `path` is the one that exists. */
size_t http_request_parse(struct bytes in, const char *path, struct http_request *out);

#endif

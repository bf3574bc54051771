/* SPDX-License-Identifier: MIT
 *
 * Between the parts of cjson: the settings of one object of the library (cjson itself, or what cjson.new() gave), and
 * the two functions that follow them.
 */
#ifndef SERVER_SCRIPT_LIB_CJSON_H
#define SERVER_SCRIPT_LIB_CJSON_H

struct lua_State;

enum cjson_invalid { CJSON_INVALID_OFF, CJSON_INVALID_ON, CJSON_INVALID_NULL };

struct cjson_settings {
    int sparse_convert, sparse_ratio, sparse_safe;
    int encode_depth_max, decode_depth_max;
    int encode_invalid, decode_invalid; /* enum cjson_invalid */
    int digits;                         /* of numbers that are written */
    int keep_buffer;                    /* is told back, and means nothing here */
};

/* Functions of Lua whose first upvalue is the settings. */
int cjson_encode(struct lua_State *L);
int cjson_decode(struct lua_State *L);

#endif

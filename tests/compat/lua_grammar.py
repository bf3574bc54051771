# SPDX-License-Identifier: MIT
"""Random programs for EVAL and FCALL: a bounded grammar of Lua 5.1 as scripts use it.

Left out is what two right interpreters may do differently (server/README.md, server/script/README.md): the order of pairs and of maps with
several keys, lengths of tables with holes, addresses, numbers of more digits than a double keeps, a tail call that is not the last one.
"""

NAMES = ("a", "b", "c")
NUMBERS = ("0", "1", "-1", "2", "3", "7", "10", "100", "1.5", "-0.25", "255", "65536", "2147483647", "-2147483648", "4294967296", "0.5", "1e3", "0x10")
STRINGS = ("''", "'a'", "'abc'", "'10'", "'-3'", "'1.5'", "'0x10'", "' 7 '", "'nan'", "'hello world'", "'a,b,c'", "'\\0x'", "'\\r\\n'", "'%d'", "'\\255'", "'{\"k\":[1,null,true]}'",
           "'[1,2.5,\"x\"]'", "'[]'", "'{'", "'\\147\\1\\2\\3'", "KEYS[1]", "KEYS[2]", "ARGV[1]", "ARGV[2]", "KEYS[9]")
LINES = tuple(s for s in STRINGS if "\\0x" not in s)  # redis-server cuts a status or an error at a zero byte
PATTERNS = ("'a'", "'%d+'", "'(%a)(%d*)'", "'^a'", "'.-b'", "'[^a-c]+'", "'%f[%w]%w+'", "'()l'", "'%'", "'['", "'(a'", "','")
FORMATS = ("'%d'", "'%s'", "'%5.1f'", "'%x'", "'%c'", "'%q'", "'%i|%s'", "'%%'", "'%-5s|'", "'%05d'", "'%e'", "'%g'", "'%z'")
ARITHMETIC = ("+", "-", "*", "/", "%", "^")
COMPARISONS = ("==", "~=", "<", "<=", ">", ">=")
STRUCT_FORMATS = ("'>I2'", "'<i4'", "'b'", "'>I2bh'", "'s'", "'<d'", "'c3'", "'!4 b i4'", "'z'", "'I33'", "'>l'", "'Bc0'")
ERRORS = ("'plain'", "'MY code'", "{err = 'MY err'}", "{err = 'plain'}", "'with\\nline'", "nil", "12")  # of a table without err redis-server dies


class LuaGrammar:
    """command() draws words of a command for redis.call: strings."""

    def __init__(self, rng, command):
        self.rng, self.command = rng, command

    def pick(self, what):
        return self.rng.choice(what)

    def name(self):
        return self.pick(NAMES)

    # --- expressions

    def atom(self):
        return self.pick((self.name, self.name, lambda: self.pick(NUMBERS), lambda: self.pick(STRINGS), lambda: self.pick(("nil", "true", "false"))))()

    def number(self, depth):
        return self.pick((lambda: self.pick(NUMBERS), lambda: self.pick(NUMBERS), lambda: "tonumber(%s)" % self.expression(depth - 1), lambda: "#%s" % self.string(depth - 1),
                          lambda: "(%s %s %s)" % (self.number(depth - 1), self.pick(ARITHMETIC), self.number(depth - 1)) if depth > 0 else "2"))()

    def string(self, depth):
        return self.pick((lambda: self.pick(STRINGS), lambda: self.pick(STRINGS), lambda: "tostring(%s)" % self.pick(STRINGS + NUMBERS + ("nil", "true")),
                          lambda: "(%s .. %s)" % (self.pick(STRINGS), self.pick(STRINGS + ("1", "12", "-7")))))()

    def array(self, depth):
        return "{%s}" % ", ".join(self.present(depth - 1) for _ in range(self.rng.randint(0, 4)))

    def present(self, depth):
        """Not nil, so that it leaves no hole."""
        return self.pick((lambda: self.pick(NUMBERS), lambda: self.pick(STRINGS[:16]), lambda: self.pick(("true", "false")), lambda: self.array(depth) if depth > 0 else "{}"))()

    def table(self, depth):
        return self.pick((lambda: self.array(depth), lambda: self.array(depth), lambda: "{ok = %s}" % self.pick(LINES), lambda: "{err = %s}" % self.pick(LINES),
                          lambda: "{double = %s}" % self.pick(("1.5", "0.25", "-3", "1e20", "'x'", "1/0", "-1/0")), lambda: "{map = {[%s] = %s}}" % (self.pick(("'k'", "1", "true")), self.present(depth)),
                          lambda: "{set = {[%s] = true}}" % self.pick(("'m'", "2", "1.5")), lambda: "{big_number = %s}" % self.pick(("'123456789012345678901'", "5", "'x\\r\\ny'")),
                          lambda: "{verbatim_string = {format = %s, string = %s}}" % (self.pick(("'txt'", "'mkd'", "'x'", "1")), self.string(0)),
                          lambda: "{k = %s}" % self.present(depth), lambda: "{%s, nil, %s}" % (self.present(0), self.present(0))))()

    def library(self, depth):
        e, s, n = (lambda: self.expression(depth - 1)), (lambda: self.string(depth - 1)), (lambda: self.number(depth - 1))
        return self.pick((
            lambda: "string.sub(%s, %s, %s)" % (s(), self.rng.randint(-4, 4), self.rng.randint(-4, 9)), lambda: "string.rep(%s, %s)" % (s(), self.rng.randint(-1, 5)),
            lambda: "string.format(%s, %s, %s)" % (self.pick(FORMATS), self.pick(STRINGS + NUMBERS), self.pick(STRINGS)), lambda: "string.byte(%s, 1, 3)" % s(),
            lambda: "string.char(%d, %d)" % (self.rng.randint(0, 255), self.rng.randint(0, 300)), lambda: "string.find(%s, %s)" % (s(), self.pick(PATTERNS)),
            lambda: "string.match(%s, %s)" % (s(), self.pick(PATTERNS)), lambda: "string.gsub(%s, %s, %s)" % (s(), self.pick(PATTERNS), self.pick(("'x'", "'%1'", "'%0%0'", "{a = 'b'}", "string.upper"))),
            lambda: "%s:upper()" % self.pick(STRINGS[:6]).join("()"), lambda: "string.reverse(%s)" % s(), lambda: "string.len(%s)" % s(), lambda: "string.lower(%s)" % e(),
            lambda: "math.%s(%s)" % (self.pick(("floor", "ceil", "abs")), n()), lambda: "math.%s(%s, %s)" % (self.pick(("max", "min")), n(), n()),
            lambda: "math.%s(%s, %s)" % (self.pick(("fmod", "pow", "atan2")), self.pick(NUMBERS), self.pick(NUMBERS)), lambda: "math.%s(%s)" % (self.pick(("deg", "rad", "sqrt", "exp")), n()),
            lambda: "table.concat(%s, %s)" % (self.array(depth), self.pick(("','", "''", "1"))), lambda: "table.concat({1, 2, 3}, '-', %d, %d)" % (self.rng.randint(0, 3), self.rng.randint(0, 4)),
            lambda: "select(%s, %s, %s)" % (self.pick(("1", "2", "'#'", "-1", "0")), e(), e()), lambda: "unpack(%s)" % self.array(depth), lambda: "type(%s)" % e(), lambda: "tostring(%s)" % self.pick(STRINGS + NUMBERS),
            lambda: "tonumber(%s, %s)" % (s(), self.pick(("10", "16", "2", "36", "1"))), lambda: "rawequal(%s, %s)" % (e(), e()), lambda: "next({%s})" % self.present(0),
            lambda: "bit.%s(%s, %s)" % (self.pick(("band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror")), n(), n()), lambda: "bit.%s(%s)" % (self.pick(("bnot", "tobit", "bswap", "tohex")), n()),
            lambda: "bit.tohex(%s, %d)" % (n(), self.rng.randint(-9, 9)),
            lambda: "cjson.encode(%s)" % self.pick((lambda: self.array(depth), lambda: "{k = %s}" % self.present(depth), self.atom))(), lambda: "cjson.decode(%s)" % s(),
            lambda: "cjson.decode(cjson.encode(%s))" % self.array(depth), lambda: "cmsgpack.pack(%s)" % self.pick((lambda: self.array(depth), self.atom))(), lambda: "cmsgpack.unpack(%s)" % s(),
            lambda: "cmsgpack.unpack(cmsgpack.pack(%s))" % self.array(depth), lambda: "struct.pack(%s, %s, %s, %s)" % (self.pick(STRUCT_FORMATS), e(), n(), n()),
            lambda: "struct.unpack(%s, %s)" % (self.pick(STRUCT_FORMATS), s()), lambda: "struct.size(%s)" % self.pick(STRUCT_FORMATS), lambda: "redis.sha1hex(%s)" % e(),
            lambda: "redis.%s(%s)" % (self.pick(("error_reply", "status_reply")), self.pick(LINES + ("1", "nil", "'CODE text'", "'-CODE text'"))),
        ))()

    def called(self):
        words = self.command()
        expires = b"EX" in words[0] or {b"EX", b"PX", b"EXAT", b"PXAT"} & set(words)  # in so many seconds and no other
        return ", ".join(self.word(w, bool(expires)) for w in words)

    def word(self, w, as_it_is):
        if self.rng.random() < 0.1 and not as_it_is:
            return self.pick(("KEYS[1]", "ARGV[1]", "ARGV[2]", "3", "1.5"))
        if w.isdigit() and len(w) < 6 and (len(w) == 1 or w[:1] != b"0") and self.rng.random() < 0.5:
            return w.decode()
        return "'%s'" % "".join(chr(ch) if 32 <= ch < 127 and ch not in b"'\\" else "\\%03d" % ch for ch in w)

    def call(self):
        return "redis.%s(%s)" % (self.pick(("call", "call", "pcall")), self.called())

    def expression(self, depth):
        if depth <= 0:
            return self.atom()
        d = depth - 1
        return self.pick((self.atom, lambda: self.table(d), lambda: self.library(d), lambda: self.library(d), lambda: self.call(), lambda: self.number(d), lambda: self.string(d),
                          lambda: "(%s %s %s)" % (self.expression(d), self.pick(COMPARISONS[:2]), self.expression(d)), lambda: "(%s %s %s)" % (self.number(d), self.pick(COMPARISONS), self.number(d)),
                          lambda: "(%s %s %s)" % (self.expression(d), self.pick(("and", "or")), self.expression(d)), lambda: "(not %s)" % self.expression(d),
                          lambda: "(function(x) return (x) end)(%s)" % self.expression(d)))()

    # --- statements

    def statement(self, depth):
        e = self.expression
        simple = [lambda: "%s = %s" % (self.name(), e(2)), lambda: "%s = %s" % (self.name(), e(2)), lambda: "%s = %s" % (self.name(), self.call()), self.call, lambda: "%s, %s = %s" % (self.name(), self.name(), e(2)),
                  lambda: "redis.setresp(%s)" % self.pick(("2", "3", "3", "4")), lambda: "t[#t + 1] = %s" % self.present(1), lambda: "table.insert(t, %s)" % self.present(1),
                  lambda: "%s = table.remove(t)" % self.name(), lambda: "t = %s" % self.array(2), lambda: "u.k = %s" % e(1),
                  lambda: "a, b = pcall(function() error(%s) end)" % self.pick(ERRORS), lambda: "a, b = pcall(function() %s = %s end)" % (self.name(), e(2)), lambda: "a = pcall(redis.call, %s)" % self.called(),
                  lambda: "local ok, err = xpcall(function() local x = %s end, function(x) return type(x) end) a = ok b = err" % e(1)]
        if self.rng.random() < 0.04:
            return self.pick((lambda: "error(%s)" % self.pick(ERRORS), lambda: "nosuch = 1", lambda: "a = nosuch", lambda: "assert(%s, 'asserted')" % e(1), lambda: "redis.nosuch()", lambda: "a = a.b.c",
                              lambda: "KEYS[1] = %s" % e(0)))()
        if depth <= 0 or self.rng.random() < 0.7:
            return self.pick(simple)()
        d = depth - 1
        return self.pick((lambda: "if %s then\n%s\nelse\n%s\nend" % (e(1), self.statement(d), self.statement(d)), lambda: "for i = 1, %d do\n%s\nend" % (self.rng.randint(0, 3), self.statement(d)),
                          lambda: "for i, v in ipairs(%s) do\na = v\n%s\nend" % (self.array(1), self.statement(d)), lambda: "do\nlocal a = %s\n%s\nend" % (e(1), self.statement(d)),
                          lambda: "local n = 0\nwhile n < %d do\nn = n + 1\n%s\nend" % (self.rng.randint(0, 3), self.statement(d))))()

    def result(self):
        return self.pick((lambda: "return %s" % self.name(), lambda: "return {%s}" % ", ".join(self.pick(("a", "b", "c", "type(a)", "tostring(b == nil)")) for _ in range(3)),
                          lambda: "return %s" % self.call(), lambda: "return (%s)" % self.expression(3), lambda: "return t", lambda: "return %s" % self.table(2), lambda: ""))()

    def body(self, head="local a, b, c\nlocal t, u = {}, {}\n"):
        return head + "\n".join([self.statement(2) for _ in range(self.rng.randint(0, 5))] + [self.result()])

    def script(self):
        flags = self.pick(("", "", "", "", "#!lua flags=no-writes\n", "#!lua\n", "#!lua flags=allow-oom\n", "#!lua flags=nosuch\n", "#!lua name=x\n"))
        return flags + self.body()

    def library_source(self, name, function):
        """A library of one function, whose calls count in a variable of its own."""
        body = self.body("count = count + 1\nlocal KEYS, ARGV = keys, args\nlocal a, b, c = count\nlocal t, u = {}, {}\n")
        how = self.pick((lambda: "redis.register_function('%s', run)" % function, lambda: "redis.register_function('%s', run)" % function,
                         lambda: "redis.register_function{function_name = '%s', callback = run, description = 'd', flags = {%s}}" %
                         (function, self.pick(("", "'no-writes'", "'allow-oom'", "'allow-stale', 'no-writes'", "'nosuch'")))))()
        return "#!lua name=%s\nlocal count = 0\nlocal function run(keys, args)\n%s\nend\n%s" % (name, body, how)

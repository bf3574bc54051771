/* SPDX-License-Identifier: MIT
 *
 * tcp-echo in C++20: each connection is a coroutine, and what it holds is given back wherever it ends.
 *
 *     cpp-echo --server|--client ADDR PORT [SIZE] [COUNT] [CONNECTIONS]
 *
 * The client opens CONNECTIONS (1) at once, sends COUNT messages over each, and checks what comes back.
 */
#include <demi/demi.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace
{

/* One that breaks off ends this task and no other. */
demi::task<> echo(demi::queue connection)
{
    try {
        for (;;) {
            demi::sga bytes = co_await connection.pop();
            if (bytes.empty()) co_return;
            co_await connection.push(bytes);
        }
    } catch (const demi::error &e) {
        std::fprintf(stderr, "connection: %s\n", e.what());
    }
}

demi::task<> serve(demi::endpoint at)
{
    demi::queue listener = demi::queue::stream(at.family());
    listener.bind(at);
    listener.listen();
    for (;;) {
        demi_qresult_t result = co_await listener.accept().quietly();
        if (result.qr_opcode == DEMI_OPC_FAILED) continue; /* a client that went before it was accepted */
        demi::runtime::current()->spawn(echo(demi::result_as<demi::accepted>(result).connection));
    }
}

demi::task<> ask(demi::endpoint to, size_t size, long count, long &echoes)
{
    demi::queue connection = demi::queue::stream(to.family());
    co_await connection.connect(to);
    for (long i = 0; i < count; i++) {
        const std::string message(size, static_cast<char>('a' + i % 26));
        auto pushed = connection.push(message); /* reads go on while it is on its way */
        for (size_t got = 0; got < size;) {
            demi::sga bytes = co_await connection.pop();
            if (bytes.empty()) throw demi::error(ECONNRESET, "the server");
            if (bytes.view() != std::string_view(message).substr(got, bytes.size())) throw demi::error(EBADMSG, "echo");
            got += bytes.size();
        }
        co_await pushed;
        echoes++;
    }
}

} // namespace

int main(int argc, char *argv[])
try {
    const std::string side = argc > 1 ? argv[1] : "";
    const long port = argc > 3 ? std::atol(argv[3]) : 0;
    const long size = argc > 4 ? std::atol(argv[4]) : 64;
    const long count = argc > 5 ? std::atol(argv[5]) : 1000;
    const long connections = argc > 6 ? std::atol(argv[6]) : 1;
    if (argc < 4 || argc > 7 || (side != "--server" && side != "--client") || port < 1 || port > 65535 || size < 1 ||
        size > 1 << 20 || count < 1 || connections < 1 || connections > 10000) {
        std::fprintf(stderr, "usage: %s --server|--client ADDR PORT [SIZE] [COUNT] [CONNECTIONS]\n", argv[0]);
        return 1;
    }
    const demi::endpoint at(argv[2], static_cast<uint16_t>(port));
    demi::runtime rt;
    if (side == "--server") rt.run(serve(at));
    long echoes = 0;
    for (long i = 0; i < connections; i++) rt.spawn(ask(at, static_cast<size_t>(size), count, echoes));
    rt.run();
    std::printf("%ld echoes of %ld bytes\n", echoes, size);
    return 0;
} catch (const std::exception &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}

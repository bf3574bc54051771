/* SPDX-License-Identifier: MIT
 *
 * demi/demi.hpp: who gives back what, when tasks end early, late, by an exception, or by each other's hand. Compiled under
 * the address sanitizer by tests/interop/cpp.py: a frame that is lost or used after its end is found by that, an array or a
 * queue by the library's counters at the end of each test. TAP; LIBOS says on what.
 */
#include <demi/demi.hpp>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace
{

using demi::op;
using demi::queue;
using demi::runtime;
using demi::sga;
using demi::task;
using namespace std::chrono_literals;

struct failed {
    int line;
};
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) throw failed{__LINE__};                                                                      \
    } while (0)

uint64_t counter(const char *name)
{
    struct asked {
        std::string_view name;
        uint64_t value;
    } a{name, 0};
    demi_counters(
        [](void *arg, const char *n, uint64_t value) {
            auto *to = static_cast<asked *>(arg);
            if (to->name == n) to->value = value;
        },
        &a);
    return a.value;
}

size_t memory_used() { return demi_mem_used(); }

/* What a failing call throws. */
int code_of(const std::function<void()> &call)
{
    try {
        call();
    } catch (const demi::error &e) {
        return e.code().value();
    }
    return 0;
}

/* --- arrays and queues --------------------------------------------------------------------------------------------- */

void arrays_move_and_are_freed_once(runtime &)
{
    size_t before = memory_used();
    {
        sga a("twelve bytes"), b(100000);
        CHECK(a.view() == "twelve bytes" && b.size() == 100000);
        sga c = std::move(a);
        CHECK(a.empty() && !a.get()->sga_buf && c.view() == "twelve bytes");
        a = std::move(c);
        a.shorten(6);
        a.shorten(60);
        CHECK(a.view() == "twelve");
        demi_sgarray_t released = b.release();
        CHECK(b.empty());
        sga again(released);
        CHECK(again.size() == 100000);
    }
    CHECK(memory_used() <= before);
    CHECK(code_of([] { sga none(size_t{0}); }) == EINVAL);
}

void queues_move_and_are_closed_once(runtime &)
{
    uint64_t before = counter("libos.queues");
    {
        queue a = queue::memory();
        queue b = std::move(a);
        CHECK(!a && b && b.get() >= 0);
        a = std::move(b);
        int qd = a.release();
        queue c(qd);
        auto [left, right] = queue::pipe();
        CHECK(counter("libos.queues") == before + 3);
    }
    CHECK(counter("libos.queues") == before);
    CHECK(code_of([] { queue().listen(); }) == EBADF);
    CHECK(code_of([] { demi::endpoint("no address", 1); }) == EINVAL);
    CHECK(demi::endpoint("::1", 77).port() == 77 && demi::endpoint("127.0.0.1", 78).port() == 78);
}

/* --- tasks ------------------------------------------------------------------------------------------------------------ */

task<> echo(queue q)
{
    for (;;) {
        sga bytes = co_await q.pop();
        if (bytes.empty()) co_return;
        co_await q.push(bytes);
    }
}

task<std::string> asked(queue &q, std::string_view words)
{
    std::string answer;
    co_await q.push(words);
    while (answer.size() < words.size()) answer += (co_await q.pop()).view();
    co_return answer;
}

task<std::string> talk(queue q)
{
    std::string all;
    for (int i = 0; i < 100; i++) all += co_await asked(q, "over and over ");
    q.shutdown();
    CHECK((co_await q.pop()).empty());
    co_return all;
}

void a_value_comes_back_through_tasks(runtime &rt)
{
    auto [left, right] = queue::pipe();
    rt.spawn(echo(std::move(left)));
    CHECK(rt.run(talk(std::move(right))).size() == 1400);
    rt.run();
}

task<std::unique_ptr<int>> moved() { co_return std::make_unique<int>(7); }
task<int> thrown()
{
    co_await demi::sleep(1ms);
    throw std::runtime_error("thrown");
}

void values_move_and_exceptions_pass(runtime &rt)
{
    CHECK(*rt.run(moved()) == 7);
    bool caught = false;
    try {
        rt.run(thrown());
    } catch (const std::runtime_error &) {
        caught = true;
    }
    CHECK(caught);
    {
        task<int> never = thrown();
    } /* not begun */
    rt.run();
}

task<> pops_for_ever(queue &q) { co_await q.pop(); }
task<> fails_later()
{
    co_await demi::sleep(1ms);
    throw demi::error(EPERM, "on purpose");
}

void a_spawned_tasks_exception_ends_run(runtime &rt)
{
    queue q = queue::memory();
    CHECK(code_of([&] {
              rt.spawn(fails_later());
              rt.run(pops_for_ever(q));
          }) == EPERM);
    rt.run(); /* the other one is gone with its run() */
    CHECK(counter("libos.ops_outstanding") <= 1);
    rt.spawn(fails_later());
    CHECK(code_of([&] { rt.run(); }) == EPERM);
}

task<> waits_for(op<sga> &o) { co_await o; }

void who_waits_for_nothing_is_told(runtime &rt)
{
    queue q = queue::memory();
    op<sga> taken = q.pop();
    CHECK(code_of([&] {
              struct nobody {
                  static task<> resumes() { co_await std::suspend_always(); }
              };
              op<sga> other = q.pop();
              q.close(); /* both fail */
              rt.run(nobody::resumes());
          }) == EDEADLK);
    CHECK(code_of([&] { rt.run(waits_for(taken)); }) == ECANCELED);
}

/* --- operations ---------------------------------------------------------------------------------------------------- */

task<> drops_operations(queue &q)
{
    {
        op<sga> dropped = q.pop(); /* cancelled */
    }
    co_await q.push("first");
    co_await demi::sleep(1ms);
    op<sga> first = q.pop();
    co_await demi::sleep(1ms);
    CHECK(first.is_done()); /* and given back, though nobody takes it */
}

void an_operation_that_is_dropped_is_given_back(runtime &rt)
{
    queue q = queue::memory();
    size_t before = memory_used();
    rt.run(drops_operations(q));
    for (int i = 0; i < 50; i++) rt.run(drops_operations(q));
    CHECK(memory_used() <= before + 4096);
}

task<> first_of_two(queue &q)
{
    op<sga> bytes = q.pop();
    auto timer = demi::sleep(1ms);
    CHECK(co_await demi::any(bytes, timer) == 1);
    CHECK(co_await demi::any(bytes, timer) == 1); /* still not taken */
    co_await timer;
    auto hour = demi::sleep(1h);
    co_await q.push("now");
    CHECK(co_await demi::any(hour, bytes) == 1);
    CHECK((co_await bytes).view() == "now");
}

void any_tells_the_first(runtime &rt)
{
    queue q = queue::memory();
    rt.run(first_of_two(q));
}

task<> is_quiet(queue &q)
{
    op<sga> bytes = q.pop();
    q.close();
    demi_qresult_t result = co_await bytes.quietly();
    CHECK(result.qr_opcode == DEMI_OPC_FAILED && result.qr_ret == ECANCELED);
    op<sga> refused = q.pop(); /* not even started */
    CHECK(refused.is_done());
    result = co_await refused.quietly();
    CHECK(result.qr_opcode == DEMI_OPC_FAILED && result.qr_ret == EBADF);
}

void quietly_throws_nothing(runtime &rt)
{
    queue q = queue::memory();
    rt.run(is_quiet(q));
}

task<> sleeps(std::chrono::nanoseconds time, int &ended)
{
    sga array(1000);
    co_await demi::sleep(time);
    ended++;
}

task<> ends_another(std::chrono::nanoseconds time, std::optional<task<>> &other)
{
    co_await demi::sleep(time);
    other.reset();
}

/* Both timers have run out when the thread looks: the task that goes on first destroys the other's frame, which waits or
 * has ended, or, with a timer of an hour, whose operation is cancelled. */
void a_task_is_destroyed_where_it_waits(runtime &rt)
{
    const std::chrono::nanoseconds times[] = {1us, 1ms, 1h};
    for (auto time : times) {
        int ended = 0;
        std::optional<task<>> victim(sleeps(time, ended));
        victim->await_suspend(std::noop_coroutine()).resume(); /* up to its wait, nobody behind it */
        rt.spawn(ends_another(10us, victim));
        timespec late = {0, 5000000};
        nanosleep(&late, nullptr);
        rt.run();
        CHECK(!victim);
        if (time == times[1]) CHECK(ended <= 1); /* which of these two is first, a busy machine decides */
        else CHECK(ended == (time == times[0]));
    }
}

task<> talks_to_itself(bool &was_dropped)
{
    queue listener = queue::stream();
    listener.bind(demi::endpoint("127.0.0.1", 0));
    listener.listen();
    const demi::endpoint at = listener.name();
    CHECK(at.port() != 0);
    queue client = queue::stream();
    auto accepted = listener.accept();
    co_await client.connect(at);
    demi::accepted server = co_await accepted;
    CHECK(server.peer.family() == AF_INET && server.peer.port() == client.name().port());
    CHECK(client.peer().port() == at.port());
    std::string large(1 << 20, 'x');
    auto pushed = client.push(large);
    size_t got = 0;
    while (got < large.size()) got += (co_await server.connection.pop()).size();
    CHECK(got == large.size());
    co_await pushed;
    { /* a client that comes, and an accept that nobody takes */
        auto dropped = listener.accept();
        queue second = queue::stream();
        co_await second.connect(at);
        auto bytes = second.pop();
        while (!dropped.is_done()) co_await demi::sleep(1ms);
        was_dropped = true;
    }
    server.connection.close();
    demi_qresult_t end = co_await client.pop().quietly();
    if (end.qr_opcode == DEMI_OPC_POP) CHECK(sga(end.qr_value.sga).empty());
}

void streams_are_accepted_connected_and_dropped(runtime &rt)
{
    bool was_dropped = false;
    uint64_t before = counter("libos.queues");
    rt.run(talks_to_itself(was_dropped));
    CHECK(was_dropped);
    CHECK(counter("libos.queues") == before);
}

void there_is_one_runtime_a_thread(runtime &rt)
{
    CHECK(runtime::current() == &rt);
    CHECK(code_of([] { runtime second; }) == EEXIST);
    CHECK(runtime::current() == &rt);
}

/* What is left at the end is destroyed by the runtime's. */
void leaves_tasks_behind(runtime &rt)
{
    struct left {
        static task<> behind(queue a, queue b)
        {
            auto array = sga("held");
            co_await a.push(array);
            co_await b.pop();
            co_await a.pop();
        }
    };
    for (int i = 0; i < 10; i++) {
        auto [a, b] = queue::pipe();
        rt.spawn(left::behind(std::move(a), std::move(b)));
    }
    struct sleeper {
        static task<> sleeps() { co_await demi::sleep(5ms); }
    };
    rt.run(sleeper::sleeps());
}

} // namespace

int main()
{
    const struct {
        const char *claim;
        void (*fn)(runtime &);
    } tests[] = {
        {"arrays move, and are freed once", arrays_move_and_are_freed_once},
        {"queues move, and are closed once", queues_move_and_are_closed_once},
        {"a value comes back through tasks", a_value_comes_back_through_tasks},
        {"values move, exceptions pass", values_move_and_exceptions_pass},
        {"a spawned task's exception ends run()", a_spawned_tasks_exception_ends_run},
        {"who waits for nothing is told", who_waits_for_nothing_is_told},
        {"an operation that is dropped is given back", an_operation_that_is_dropped_is_given_back},
        {"any() tells the first", any_tells_the_first},
        {"quietly() throws nothing", quietly_throws_nothing},
        {"a task is destroyed where it waits", a_task_is_destroyed_where_it_waits},
        {"streams are accepted, connected and dropped", streams_are_accepted_connected_and_dropped},
        {"there is one runtime a thread", there_is_one_runtime_a_thread},
        {"tasks that are left end with the runtime", leaves_tasks_behind},
    };
    int number = 0, bad = 0;
    for (const auto &test : tests) {
        std::string why;
        try {
            runtime rt;
            test.fn(rt);
        } catch (const failed &f) {
            why = "line " + std::to_string(f.line);
        } catch (const std::exception &e) {
            why = e.what();
        }
        if (runtime::current() || demi_libos_name()) why += " (the runtime is still there)";
        bad += !why.empty();
        std::printf("%sok %d - %s\n", why.empty() ? "" : "not ", ++number, test.claim);
        if (!why.empty()) std::printf("#   %s\n", why.c_str());
    }
    std::printf("1..%d\n", number);
    return bad ? 1 : 0;
}

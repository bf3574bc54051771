/* SPDX-License-Identifier: MIT
 *
 * The library in C++20: what has to be given back is given back by itself, and an operation is awaited where it is
 * started. Header only, over the C calls; link with -ldemikernel.
 *
 *     demi::task<> echo(demi::queue connection)
 *     {
 *         for (;;) {
 *             demi::sga bytes = co_await connection.pop();
 *             if (bytes.empty()) co_return;              the peer has sent all: the queue is closed here
 *             co_await connection.push(bytes);
 *         }
 *     }
 *     demi::runtime rt;                                  as LIBOS says
 *     rt.spawn(...); rt.run();                           one wait for all tasks, until the last has ended
 *
 * Errors. What the library refuses, and an operation that failed, is thrown as demi::error, a std::system_error with the
 * errno as its code. The end of a stream is none: an empty array. Whoever wants no exception awaits `.quietly()`, and gets
 * the C result. Destructors throw nothing. An exception that leaves a spawned task ends run() with it.
 *
 * Lifetimes. runtime outlives every queue, array, operation and task of its thread: make it first. A queue that ends is
 * closed, an array that ends is freed; either may be moved. An operation (op) stays where it is made; one that ends before
 * its result was taken is cancelled, and what it brings all the same is given back. So a task may be destroyed wherever it
 * waits, and runtime's end does that to those that are left. Coroutine frames come from operator new.
 *
 * One thread, one runtime: nothing here may be touched by another thread.
 */
#ifndef DEMI_DEMI_HPP
#define DEMI_DEMI_HPP

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"

#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace demi
{

struct error : std::system_error {
    error(int code, const char *what) : std::system_error(code, std::generic_category(), what) {}
    error(int code, const std::string &what) : std::system_error(code, std::generic_category(), what) {}
};

inline void must(int code, const char *what)
{
    if (code) throw error(code, what);
}

/* --- addresses and arrays ------------------------------------------------------------------------------------------- */

/* An IPv4 or IPv6 address with its port. */
struct endpoint {
    sockaddr_storage storage{};

    endpoint() = default;
    endpoint(const char *address, uint16_t port)
    {
        auto *v4 = reinterpret_cast<sockaddr_in *>(&storage);
        auto *v6 = reinterpret_cast<sockaddr_in6 *>(&storage);
        if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons(port);
        } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons(port);
        } else throw error(EINVAL, address);
    }
    explicit endpoint(const sockaddr_in &from) { std::memcpy(&storage, &from, sizeof from); }
    explicit endpoint(const sockaddr_in6 &from) { std::memcpy(&storage, &from, sizeof from); }

    int family() const { return storage.ss_family; }
    const sockaddr *data() const { return reinterpret_cast<const sockaddr *>(&storage); }
    socklen_t size() const { return family() == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }
    uint16_t port() const
    {
        return ntohs(family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6 *>(&storage)->sin6_port
                                          : reinterpret_cast<const sockaddr_in *>(&storage)->sin_port);
    }
};

/* A scatter-gather array: bytes that a device reaches as they lie. */
class sga
{
  public:
    sga() = default; /* none */
    explicit sga(size_t size) : array_(demi_sgaalloc_large(size))
    {
        if (!array_.sga_buf) throw error(size ? ENOMEM : EINVAL, "demi_sgaalloc_large");
    }
    explicit sga(std::string_view bytes) : sga(bytes.size()) { std::memcpy(data(), bytes.data(), bytes.size()); }
    explicit sga(const demi_sgarray_t &owned) : array_(owned) {} /* from here on this one's */
    sga(sga &&from) noexcept : array_(std::exchange(from.array_, {})) {}
    sga &operator=(sga &&from) noexcept
    {
        std::swap(array_, from.array_);
        return *this;
    }
    ~sga()
    {
        if (array_.sga_buf) demi_sgafree(&array_);
    }

    std::byte *data() const { return static_cast<std::byte *>(array_.sga_segs[0].sgaseg_buf); }
    size_t size() const { return array_.sga_numsegs ? array_.sga_segs[0].sgaseg_len : 0; }
    bool empty() const { return size() == 0; } /* of a pop: the end of the stream */
    std::span<std::byte> bytes() const { return {data(), size()}; }
    std::string_view view() const { return {reinterpret_cast<const char *>(data()), size()}; }
    endpoint from() const { return endpoint(array_.sga_addr); } /* who sent a datagram */
    /* The first `size` bytes are the array. */
    void shorten(size_t size)
    {
        if (size < this->size()) array_.sga_segs[0].sgaseg_len = static_cast<uint32_t>(size);
    }
    const demi_sgarray_t *get() const { return &array_; }
    demi_sgarray_t release() { return std::exchange(array_, {}); } /* whoever has it frees it */

  private:
    demi_sgarray_t array_{};
};

/* --- operations ------------------------------------------------------------------------------------------------------ */

class runtime;

/* What all operations share: a token, who waits for it, and its result. */
class op_base
{
  public:
    op_base(const op_base &) = delete;
    op_base &operator=(const op_base &) = delete;
    bool is_done() const { return state_ != state::pending; }

  protected:
    op_base(int code, demi_qtoken_t token, const char *what);
    ~op_base();
    demi_qresult_t take()
    {
        state_ = state::taken;
        return result_;
    }
    void must_have_worked() const
    {
        if (result_.qr_opcode == DEMI_OPC_FAILED) throw error(static_cast<int>(result_.qr_ret), what_);
    }

    enum class state { pending, done, taken } state_ = state::pending;
    std::coroutine_handle<> waiter_;
    demi_qresult_t result_{};

  private:
    friend class runtime;
    template <class... Ops> friend struct any_awaiter;
    const char *what_;
    demi_qtoken_t token_;
};

/* What a result is to whoever awaits it. */
struct accepted;
template <class T> T result_as(demi_qresult_t &result);
template <> inline void result_as<void>(demi_qresult_t &) {}
template <> inline int64_t result_as<int64_t>(demi_qresult_t &result) { return result.qr_ret; }
template <> inline sga result_as<sga>(demi_qresult_t &result) { return sga(result.qr_value.sga); }

/* One that was started. co_await gives its result, once; it may have completed long before. */
template <class T> class [[nodiscard]] op : public op_base
{
  public:
    op(int code, demi_qtoken_t token, const char *what) : op_base(code, token, what) {}

    auto operator co_await() { return waiting<T>{{*this}, *this}; }
    /* The same without exceptions: co_await x.quietly() is the C result, whose array or queue is the caller's. */
    auto quietly() { return waiting<demi_qresult_t>{{*this}, *this}; }

  private:
    /* Whose end takes the waiting coroutine out: it may be destroyed, and the operation live on. */
    struct waiting_base {
        op &self;
        ~waiting_base() { self.waiter_ = nullptr; }
        bool await_ready() const { return self.is_done(); }
        void await_suspend(std::coroutine_handle<> waiter) { self.waiter_ = waiter; }
    };
    template <class R> struct waiting : waiting_base {
        op &o;
        R await_resume()
        {
            demi_qresult_t result = o.take();
            if constexpr (std::is_same_v<R, demi_qresult_t>) return result;
            else {
                o.must_have_worked();
                return result_as<R>(result);
            }
        }
    };
};

/* co_await any(a, b): the number of the first of them, in their order, that is done; none is taken. */
template <class... Ops> struct any_awaiter {
    std::tuple<Ops &...> ops;
    ~any_awaiter() { set(nullptr); }
    bool await_ready() const
    {
        return std::apply([](auto &...o) { return (o.is_done() || ...); }, ops);
    }
    void await_suspend(std::coroutine_handle<> waiter) { set(waiter); }
    size_t await_resume()
    {
        size_t index = 0;
        set(nullptr);
        std::apply([&](auto &...o) { (void)((o.is_done() || (index++, false)) || ...); }, ops);
        return index;
    }
    void set(std::coroutine_handle<> waiter)
    {
        std::apply([&](auto &...o) { ((o.waiter_ = waiter), ...); }, ops);
    }
};
template <class... Ops> any_awaiter<Ops...> any(Ops &...ops) { return {{ops...}}; }

/* Completes after so long. */
inline op<void> sleep(std::chrono::nanoseconds time)
{
    demi_qtoken_t token = 0;
    int code = demi_timer(&token, time.count() > 0 ? static_cast<uint64_t>(time.count()) : 0);
    return {code, token, "demi_timer"};
}

/* --- queues ----------------------------------------------------------------------------------------------------------- */

class queue
{
  public:
    queue() = default; /* none */
    explicit queue(int owned) : qd_(owned) {}
    queue(queue &&from) noexcept : qd_(std::exchange(from.qd_, -1)) {}
    queue &operator=(queue &&from) noexcept
    {
        std::swap(qd_, from.qd_);
        return *this;
    }
    ~queue() { close(); }

    static queue socket(int domain, int type)
    {
        int qd = -1;
        must(demi_socket(&qd, domain, type, 0), "demi_socket");
        return queue(qd);
    }
    static queue stream(int domain = AF_INET) { return socket(domain, SOCK_STREAM); }
    static queue datagram(int domain = AF_INET) { return socket(domain, SOCK_DGRAM); }
    /* In memory, without a device; and two ends of a stream. */
    static queue memory()
    {
        int qd = -1;
        must(demi_queue(&qd), "demi_queue");
        return queue(qd);
    }
    static std::pair<queue, queue> pipe()
    {
        int qds[2] = {-1, -1};
        must(demi_pipe(qds), "demi_pipe");
        return {queue(qds[0]), queue(qds[1])};
    }

    void bind(const endpoint &at) { must(demi_bind(qd_, at.data(), at.size()), "demi_bind"); }
    void listen(int backlog = 128) { must(demi_listen(qd_, backlog), "demi_listen"); }
    void shutdown(int how = SHUT_WR) { must(demi_shutdown(qd_, how), "demi_shutdown"); }
    void close() noexcept
    {
        if (qd_ >= 0) demi_close(std::exchange(qd_, -1));
    }

    op<accepted> accept();
    op<void> connect(const endpoint &to)
    {
        demi_qtoken_t token = 0;
        int code = demi_connect(&token, qd_, to.data(), to.size());
        return {code, token, "demi_connect"};
    }
    op<sga> pop()
    {
        demi_qtoken_t token = 0;
        int code = demi_pop(&token, qd_);
        return {code, token, "demi_pop"};
    }
    /* The array may end at once; its bytes must not change before the push is done. */
    op<void> push(const sga &bytes)
    {
        demi_qtoken_t token = 0;
        int code = demi_push(&token, qd_, bytes.get());
        return {code, token, "demi_push"};
    }
    op<void> push_to(const sga &bytes, const endpoint &to)
    {
        demi_qtoken_t token = 0;
        int code = demi_pushto(&token, qd_, bytes.get(), to.data(), to.size());
        return {code, token, "demi_pushto"};
    }
    /* Bytes of the program's own memory are copied before the call returns (demi_pushv). flags: DEMI_PUSH_HANDED_OVER,
     * DEMI_PUSH_MORE, DEMI_PUSH_DURABLE. */
    op<void> push(std::string_view bytes, unsigned flags = 0)
    {
        demi_qtoken_t token = 0;
        iovec piece = {const_cast<char *>(bytes.data()), bytes.size()};
        int code = demi_pushv(&token, qd_, &piece, 1, flags & ~DEMI_PUSH_NO_TOKEN);
        return {code, token, "demi_pushv"};
    }

    endpoint name() const { return named(demi_getsockname, "demi_getsockname"); }
    endpoint peer() const { return named(demi_getpeername, "demi_getpeername"); }
    int get() const { return qd_; }
    int release() { return std::exchange(qd_, -1); } /* whoever has it closes it */
    explicit operator bool() const { return qd_ >= 0; }

  private:
    endpoint named(int (*call)(int, sockaddr *, socklen_t *), const char *what) const
    {
        endpoint out;
        socklen_t size = sizeof out.storage;
        must(call(qd_, reinterpret_cast<sockaddr *>(&out.storage), &size), what);
        return out;
    }
    int qd_ = -1;
};

struct accepted {
    queue connection;
    endpoint peer;
};
template <> inline accepted result_as<accepted>(demi_qresult_t &result)
{
    sockaddr_in v4;
    sockaddr_in6 v6;
    std::memcpy(&v6, &result.qr_value.ares6.addr, sizeof v6);
    std::memcpy(&v4, &result.qr_value.ares.addr, sizeof v4);
    return {queue(result.qr_value.ares.qd), v4.sin_family == AF_INET6 ? endpoint(v6) : endpoint(v4)};
}
inline op<accepted> queue::accept()
{
    demi_qtoken_t token = 0;
    int code = demi_accept(&token, qd_);
    return {code, token, "demi_accept"};
}

/* --- tasks ------------------------------------------------------------------------------------------------------------- */

/* A coroutine that runs when it is awaited, or spawned, and gives a T. Its end destroys the frame. */
template <class T = void> class task;

struct task_promise_base {
    std::coroutine_handle<> continuation;
    std::exception_ptr failure;

    struct final_awaiter {
        bool await_ready() const noexcept { return false; }
        template <class P> std::coroutine_handle<> await_suspend(std::coroutine_handle<P> ended) noexcept
        {
            std::coroutine_handle<> next = ended.promise().continuation;
            return next ? next : std::noop_coroutine();
        }
        void await_resume() const noexcept {}
    };
    std::suspend_always initial_suspend() const noexcept { return {}; }
    final_awaiter final_suspend() const noexcept { return {}; }
    void unhandled_exception() { failure = std::current_exception(); }
};
template <class T> struct task_promise : task_promise_base {
    std::optional<T> value;
    task<T> get_return_object();
    template <class U> void return_value(U &&v) { value.emplace(std::forward<U>(v)); }
    T result()
    {
        if (failure) std::rethrow_exception(failure);
        return std::move(*value);
    }
};
template <> struct task_promise<void> : task_promise_base {
    task<void> get_return_object();
    void return_void() const {}
    void result() const
    {
        if (failure) std::rethrow_exception(failure);
    }
};

template <class T> class [[nodiscard]] task
{
  public:
    using promise_type = task_promise<T>;
    using handle = std::coroutine_handle<promise_type>;

    explicit task(handle coroutine) : coroutine_(coroutine) {}
    task(task &&from) noexcept : coroutine_(std::exchange(from.coroutine_, nullptr)) {}
    task &operator=(task &&from) noexcept
    {
        std::swap(coroutine_, from.coroutine_);
        return *this;
    }
    ~task()
    {
        if (coroutine_) coroutine_.destroy();
    }

    bool await_ready() const { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter)
    {
        coroutine_.promise().continuation = waiter;
        return coroutine_;
    }
    T await_resume() { return coroutine_.promise().result(); }

  private:
    handle coroutine_;
};
template <class T> task<T> task_promise<T>::get_return_object()
{
    return task<T>(std::coroutine_handle<task_promise<T>>::from_promise(*this));
}
inline task<void> task_promise<void>::get_return_object()
{
    return task<void>(std::coroutine_handle<task_promise<void>>::from_promise(*this));
}

/* --- the runtime -------------------------------------------------------------------------------------------------------- */

/* The thread's library OS, and the one wait that all its tasks share. */
class runtime
{
  public:
    /* libos nullptr: as LIBOS and CONFIG_PATH say. What is missing for a start is in what(). */
    explicit runtime(const char *libos = nullptr, std::span<const demi_setting> settings = {})
    {
        char why[256] = "";
        struct demi_init_options options {
        };
        options.libos = libos;
        options.settings = settings.data();
        options.setting_count = settings.size();
        options.why = why;
        options.why_size = sizeof why;
        int code = demi_init_options(&options);
        if (code) throw error(code, *why ? why : "demi_init_options");
        current_ = this;
    }
    runtime(const runtime &) = delete;
    runtime &operator=(const runtime &) = delete;
    ~runtime()
    {
        while (roots_) roots_->self().destroy();
        current_ = nullptr;
        demi_exit();
    }
    static runtime *current() { return current_; }

    /* Runs the task up to its first wait. It is the runtime's from here on, and goes when it has ended. */
    void spawn(task<> t) { root_of(this, std::move(t)); }

    /* Until no spawned task is left, or one has failed: then with its exception. EDEADLK: those that are left wait for
     * nothing that could happen. */
    void run()
    {
        while (roots_ && !failure_) turn();
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

    /* That, until this task has ended, and gives what it does. */
    template <class T> T run(task<T> t)
    {
        bool is_over = false;
        struct started {
            root r;
            bool &is_over;
            ~started()
            {
                if (!is_over) r.promise->self().destroy(); /* another task has failed */
            }
        } s{root_of(this, over(t, is_over)), is_over};
        while (!is_over && !failure_) turn();
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
        return t.await_resume();
    }

  private:
    friend class op_base;
    static constexpr int batch = 64;

    /* A spawned task's frame, in the list of those that have not ended; frees itself. */
    struct root {
        struct promise_type;
        promise_type *promise; /* until it has ended */
        struct promise_type {
            runtime *rt;
            promise_type *next = nullptr, **link = nullptr;

            promise_type(runtime *owner, task<> &) : rt(owner), next(owner->roots_), link(&owner->roots_)
            {
                if (next) next->link = &next;
                *link = this;
            }
            ~promise_type()
            {
                *link = next;
                if (next) next->link = link;
            }
            std::coroutine_handle<promise_type> self()
            {
                return std::coroutine_handle<promise_type>::from_promise(*this);
            }
            root get_return_object() { return {this}; }
            std::suspend_never initial_suspend() const noexcept { return {}; }
            std::suspend_never final_suspend() const noexcept { return {}; }
            void return_void() const {}
            void unhandled_exception()
            {
                if (!rt->failure_) rt->failure_ = std::current_exception();
            }
        };
    };
    static root root_of(runtime *, task<> t) { co_await t; }

    /* Says when a task is over; its result, or its exception, stays in it. */
    template <class T> static task<> over(task<T> &t, bool &is_over)
    {
        struct ended {
            task<T> &t;
            bool await_ready() const { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) { return t.await_suspend(waiter); }
            void await_resume() const {}
        };
        co_await ended{t};
        is_over = true;
    }

    /* One wait, and everybody whose operation has completed goes on. */
    void turn()
    {
        demi_qresult_t results[batch];
        int count = 0;
        if (!pending_) throw error(EDEADLK, "demi::runtime::run");
        must(demi_wait_batch(results, batch, &count, nullptr), "demi_wait_batch");
        /* Words of results are valid until the next wait, which may come from whoever is resumed; and an operation may
         * end while it stands in here: it takes itself out. */
        op_base *ready[batch];
        for (int i = 0; i < count; i++) {
            ready[i] = static_cast<op_base *>(demi_result_data(&results[i]));
            if (ready[i]) complete(*ready[i], results[i]);
            else give_back(results[i]);
        }
        ready_ = ready;
        ready_count_ = count;
        for (int i = 0; i < count; i++) {
            if (!ready[i] || !ready[i]->waiter_) continue;
            std::exchange(ready[i]->waiter_, nullptr).resume();
        }
        ready_ = nullptr;
        ready_count_ = 0;
    }
    void complete(op_base &o, const demi_qresult_t &result)
    {
        o.result_ = result;
        o.state_ = op_base::state::done;
        pending_--;
    }
    /* What came for somebody who is not there any more. */
    static void give_back(demi_qresult_t &result)
    {
        if (result.qr_opcode == DEMI_OPC_POP) demi_sgafree(&result.qr_value.sga);
        if (result.qr_opcode == DEMI_OPC_ACCEPT) demi_close(result.qr_value.ares.qd);
    }
    void forget(op_base &o)
    {
        for (int i = 0; i < ready_count_; i++)
            if (ready_[i] == &o) ready_[i] = nullptr;
    }

    static inline thread_local runtime *current_ = nullptr;
    root::promise_type *roots_ = nullptr;
    std::exception_ptr failure_;
    size_t pending_ = 0;
    op_base **ready_ = nullptr; /* of the turn that goes on */
    int ready_count_ = 0;
};

inline op_base::op_base(int code, demi_qtoken_t token, const char *what) : what_(what), token_(token)
{
    if (!code && !runtime::current_) code = ENOSYS; /* a libOS that was started without us */
    if (!code) code = demi_set_data(token, this);
    if (code) { /* a failure to start is one of the operation: thrown where it is awaited */
        result_.qr_opcode = DEMI_OPC_FAILED;
        result_.qr_ret = code;
        state_ = state::done;
    } else runtime::current_->pending_++;
}

inline op_base::~op_base()
{
    runtime *rt = runtime::current_;
    if (!rt) return; /* all of it has gone with the runtime */
    if (state_ == state::pending) {
        demi_set_data(token_, nullptr);
        demi_cancel(token_);
        rt->pending_--;
    } else rt->forget(*this);
    if (state_ == state::done) runtime::give_back(result_);
}

} // namespace demi

#endif

// SPDX-License-Identifier: MIT
//! demi/bindings/rust: who gives back what, and who may outlive whom. tests/interop/rust.py compiles and runs it; TAP.

use demikernel::{feature, sleep, spawn, sys, version, Array, Queue, Runtime};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|e| e.raw_os_error()).unwrap_or(0)
}

/// A future by a closure; rustc 1.63 has none in its library.
struct PollFn<F>(F);
impl<F: FnMut(&mut Context<'_>) -> Poll<()> + Unpin> Future for PollFn<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, c: &mut Context<'_>) -> Poll<()> {
        (self.0)(c)
    }
}
fn poll_fn<F: FnMut(&mut Context<'_>) -> Poll<()> + Unpin>(f: F) -> PollFn<F> {
    PollFn(f)
}

fn used() -> usize {
    unsafe { sys::demi_mem_used() }
}

fn what_is_not_started_says_so() {
    assert!(errno(Queue::memory()) == 38 && errno(Array::new(1)) == 38);
    assert!(Runtime::new(Some("no-such")).is_err());
    assert!(Runtime::new(Some("a\0b")).is_err());
    let rt = Runtime::new(None).unwrap();
    assert!(Runtime::new(None).is_err());
    drop(rt);
    assert!(version().starts_with("1.") && feature("libos.posix") && !feature("libos.no-such") && !feature("\0"));
}

fn an_array_outlives_the_runtime() {
    let rt = Runtime::new(None).unwrap();
    let array = rt.run(async {
        let q = Queue::memory()?;
        let mut bytes = Array::new(5)?;
        bytes.copy_from_slice(b"alive");
        q.push(bytes).await?;
        q.pop().await
    });
    drop(rt);
    let array = array.unwrap().unwrap();
    assert_eq!(&array[..], b"alive");
    assert!(Runtime::new(None).is_err()); // it runs for as long as that
    drop(array);
    Runtime::new(None).unwrap();
}

fn what_is_dropped_is_given_back() {
    let rt = Runtime::new(None).unwrap();
    let before = rt.run(async { used() }).unwrap();
    for _ in 0..50 {
        rt.run(async {
            let q = Queue::memory().unwrap();
            drop(q.pop()); // cancelled
            q.push_bytes(b"for nobody").await.unwrap();
            sleep(MS / 100).await.unwrap();
            let mut late = q.pop();
            poll_fn(|c| {
                let _ = Pin::new(&mut late).poll(c);
                Poll::Ready(())
            })
            .await;
            sleep(MS / 100).await.unwrap();
            drop(late); // it is there, and nobody takes it
        })
        .unwrap();
    }
    assert!(used() <= before + 4096, "{} bytes more", used() - before);
}

fn errors_are_errnos() {
    let rt = Runtime::new(None).unwrap();
    rt.run(async {
        let q = Queue::memory().unwrap();
        assert!(q.bind(local()).is_err());
        let listener = Queue::stream(local()).unwrap();
        listener.bind(local()).unwrap();
        let at = listener.name().unwrap().unwrap();
        assert!(at.port() != 0);
        drop(listener); // and nobody listens there
        let client = Queue::stream(at).unwrap();
        assert!(errno(client.connect(at).await) == 111);
        assert!(errno(Queue::memory().unwrap().accept().await) != 0);
    })
    .unwrap();
}

fn a_stream_goes_both_ways() {
    let rt = Runtime::new(None).unwrap();
    let total = rt.run(async {
        let listener = Queue::stream(local())?;
        listener.bind(local())?;
        listener.listen(16)?;
        let at = listener.name()?.unwrap();
        spawn(async move {
            let (connection, peer) = listener.accept().await.unwrap();
            assert!(peer.unwrap().is_ipv4());
            loop {
                let bytes = connection.pop().await.unwrap();
                if bytes.is_empty() {
                    break;
                }
                connection.push(bytes).await.unwrap();
            }
        })?;
        let client = Queue::stream(at)?;
        client.connect(at).await?;
        let large = vec![7u8; 1 << 20];
        let pushed = client.push_bytes(&large);
        let mut got = 0;
        while got < large.len() {
            got += client.pop().await?.len();
        }
        pushed.await?;
        client.shutdown()?;
        assert!(client.pop().await?.is_empty());
        io::Result::Ok(got)
    });
    assert_eq!(total.unwrap().unwrap(), 1 << 20);
}

fn a_thread_wakes_a_task() {
    let rt = Runtime::new(None).unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    let mut thread = None;
    let theirs = flag.clone();
    rt.run(poll_fn(move |c| {
        if theirs.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        if thread.is_none() {
            let (waker, flag) = (c.waker().clone(), theirs.clone());
            thread = Some(std::thread::spawn(move || {
                std::thread::sleep(20 * MS);
                flag.store(true, Ordering::SeqCst);
                waker.wake(); // the owner sleeps in the library
            }));
        }
        Poll::Pending
    }))
    .unwrap();
    assert!(flag.load(Ordering::SeqCst));
}

fn who_wakes_himself_lets_others_go_on() {
    let rt = Runtime::new(None).unwrap();
    let done = Rc::new(Cell::new(false));
    let seen = done.clone();
    rt.run(async move {
        spawn(async move {
            sleep(MS).await.unwrap();
            done.set(true);
        })
        .unwrap();
        poll_fn(move |c| {
            c.waker().wake_by_ref();
            if seen.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    })
    .unwrap();
}

fn tasks_that_are_left_are_dropped() {
    let rt = Runtime::new(None).unwrap();
    let kept = Rc::new(RefCell::new(0));
    let theirs = kept.clone();
    rt.run(async move {
        for _ in 0..3 {
            let mine = theirs.clone();
            spawn(async move {
                let q = Queue::memory().unwrap();
                let _ = q.pop().await;
                *mine.borrow_mut() += 1;
            })
            .unwrap();
        }
        sleep(MS).await.unwrap();
    })
    .unwrap();
    assert_eq!((*kept.borrow(), Rc::strong_count(&kept)), (0, 1));
    spawn(async move { drop(Queue::memory()) }).unwrap(); // never run
    drop(rt);
    Runtime::new(None).unwrap();
}

fn main() {
    let tests: [(&str, fn()); 8] = [
        ("what is not started says so", what_is_not_started_says_so),
        ("an array outlives the runtime", an_array_outlives_the_runtime),
        ("what is dropped is given back", what_is_dropped_is_given_back),
        ("errors are errnos", errors_are_errnos),
        ("a stream goes both ways", a_stream_goes_both_ways),
        ("a thread wakes a task", a_thread_wakes_a_task),
        ("who wakes himself lets others go on", who_wakes_himself_lets_others_go_on),
        ("tasks that are left are dropped", tasks_that_are_left_are_dropped),
    ];
    let mut bad = 0;
    for (i, (claim, test)) in tests.iter().enumerate() {
        let good = catch_unwind(AssertUnwindSafe(test)).is_ok();
        bad += !good as i32;
        println!("{}ok {} - {}", if good { "" } else { "not " }, i + 1, claim);
    }
    println!("1..{}", tests.len());
    std::process::exit(bad.min(1))
}

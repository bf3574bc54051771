// SPDX-License-Identifier: MIT
//! libdemikernel as futures: an operation is awaited where it is started, and one wait serves all tasks of the thread.
//!
//!     let rt = demikernel::Runtime::new(None)?;               // as LIBOS says
//!     rt.run(async {
//!         let q = Queue::stream(to)?;
//!         q.connect(to).await?;
//!         q.push_bytes(b"hello").await?;
//!         let bytes = q.pop().await?;                         // empty: the end of the stream
//!         io::Result::Ok(())
//!     })
//!
//! Errors are io::Error with the errno, those of starting an operation come with its result. A Queue closes itself, an Array
//! frees itself, an Op that is dropped is cancelled, and what it brings all the same is given back. The library OS ends with
//! whichever of them is the last, so that nothing here can outlive its memory. All of it stays on its thread (!Send); a
//! Waker may be called from any.
//!
//! `sys` has the C calls, by bindgen (./generate).

#[allow(non_camel_case_types, non_upper_case_globals, non_snake_case, dead_code, clippy::all)]
pub mod sys {
    include!(concat!(env!("DEMI_BINDINGS"), "/sys.rs"));
}

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::future::Future;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::os::raw::{c_int, c_void};
use std::pin::Pin;
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

const BATCH: usize = 64;

fn must(code: c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// The version of the library that runs.
pub fn version() -> &'static str {
    unsafe { CStr::from_ptr(sys::demi_version()) }.to_str().unwrap_or("?")
}

/// demi_feature(3).
pub fn feature(name: &str) -> bool {
    CString::new(name).map_or(false, |n| unsafe { sys::demi_feature(n.as_ptr()) })
}

// --- the thread's library OS ------------------------------------------------------------------------------------------

/// An operation on its way: its result, once it is there, and who wants it.
#[derive(Default)]
struct Slot {
    result: Cell<Option<sys::demi_qresult_t>>,
    waker: RefCell<Option<Waker>>,
    dropped: Cell<bool>,
}

/// Tasks that may go on. Any thread may add one, and then rings, as the owner may sleep.
struct Ready {
    tasks: Mutex<VecDeque<usize>>,
    owner: ThreadId,
    bell: Mutex<*mut sys::demi_wake_t>, // null: the library OS has ended
}
unsafe impl Send for Ready {}
unsafe impl Sync for Ready {}

struct TaskWaker {
    task: usize,
    ready: Arc<Ready>,
}
impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.tasks.lock().unwrap().push_back(self.task);
        if thread::current().id() != self.ready.owner {
            let bell = self.ready.bell.lock().unwrap();
            if !bell.is_null() {
                unsafe { sys::demi_wake_ring(*bell) }
            }
        }
    }
}

struct Life {
    slots: RefCell<HashMap<sys::demi_qtoken_t, Rc<Slot>>>,
    new_tasks: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
    ready: Arc<Ready>,
}
impl Drop for Life {
    fn drop(&mut self) {
        unsafe {
            let mut bell = self.ready.bell.lock().unwrap();
            sys::demi_wake_free(mem::replace(&mut *bell, ptr::null_mut()));
            sys::demi_exit();
        }
    }
}

thread_local!(static LIFE: RefCell<Weak<Life>> = RefCell::new(Weak::new()));

fn life() -> io::Result<Rc<Life>> {
    LIFE.with(|l| l.borrow().upgrade()).ok_or_else(|| io::Error::from_raw_os_error(38 /* ENOSYS */))
}

/// Whatever came for somebody who is not there any more.
fn give_back(mut r: sys::demi_qresult_t) {
    unsafe {
        if r.qr_opcode == sys::demi_opcode_DEMI_OPC_POP {
            let mut sga = r.qr_value.sga;
            sys::demi_sgafree(&mut sga);
            r.qr_value.sga = sga;
        } else if r.qr_opcode == sys::demi_opcode_DEMI_OPC_ACCEPT {
            sys::demi_close(r.qr_value.ares.qd);
        }
    }
}

/// The thread's library OS, and its tasks.
pub struct Runtime {
    life: Rc<Life>,
}

impl Runtime {
    /// None: as LIBOS and CONFIG_PATH say. What is missing for a start is the error's text.
    pub fn new(libos: Option<&str>) -> io::Result<Runtime> {
        let name = libos.map(CString::new).transpose()?;
        let mut why = [0; 256];
        let mut bell = ptr::null_mut();
        unsafe {
            let mut options: sys::demi_init_options = mem::zeroed();
            options.libos = name.as_ref().map_or(ptr::null(), |n| n.as_ptr());
            options.why = why.as_mut_ptr();
            options.why_size = why.len();
            let error = must(sys::demi_init_options(&options));
            let text = CStr::from_ptr(why.as_ptr()).to_string_lossy();
            error.map_err(|e| if text.is_empty() { e } else { io::Error::new(e.kind(), text.into_owned()) })?;
            if let Err(e) = must(sys::demi_wake_new(&mut bell)) {
                sys::demi_exit();
                return Err(e);
            }
        }
        let ready = Arc::new(Ready { tasks: Mutex::default(), owner: thread::current().id(), bell: Mutex::new(bell) });
        let life = Rc::new(Life { slots: RefCell::default(), new_tasks: RefCell::default(), ready });
        LIFE.with(|l| *l.borrow_mut() = Rc::downgrade(&life));
        Ok(Runtime { life })
    }

    /// Runs `main` to its end, and what was spawned as long as that takes; what is left then is dropped.
    pub fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> io::Result<T> {
        let out = Rc::new(Cell::new(None));
        let to = out.clone();
        let mut tasks: Vec<Option<Pin<Box<dyn Future<Output = ()>>>>> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let (mut bell, mut polls) = (self.hear()?, 0);
        self.life.ready.tasks.lock().unwrap().clear();
        spawn(async move { to.set(Some(main.await)) })?;
        loop {
            for task in self.life.new_tasks.take() {
                let index = free.pop().unwrap_or(tasks.len());
                if index == tasks.len() { tasks.push(Some(task)) } else { tasks[index] = Some(task) }
                self.life.ready.tasks.lock().unwrap().push_back(index);
            }
            let next = self.life.ready.tasks.lock().unwrap().pop_front();
            if let Some(index) = next {
                polls += 1;
                let waker = Waker::from(Arc::new(TaskWaker { task: index, ready: self.life.ready.clone() }));
                // A waker of a task that has ended may wake whoever has its place now: that is polled once for nothing.
                let ended = match tasks.get_mut(index) {
                    Some(Some(task)) => task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready(),
                    _ => false,
                };
                if ended {
                    tasks[index] = None;
                    free.push(index);
                    if let Some(value) = out.take() {
                        drop(tasks);
                        self.life.new_tasks.take();
                        unsafe { sys::demi_cancel(bell) };
                        return Ok(value);
                    }
                }
            }
            // Tasks that wake themselves do not keep the others' results out.
            let sleeps = next.is_none() && self.life.new_tasks.borrow().is_empty();
            if (sleeps || polls % BATCH == 0) && self.wait(bell, sleeps)? {
                bell = self.hear()?;
            }
        }
    }

    fn hear(&self) -> io::Result<sys::demi_qtoken_t> {
        let mut token = 0;
        must(unsafe { sys::demi_wake_wait(&mut token, *self.life.ready.bell.lock().unwrap()) })?;
        Ok(token)
    }

    /// One wait; whoever's operation has completed is woken. Whether somebody has rung.
    fn wait(&self, bell: sys::demi_qtoken_t, sleeps: bool) -> io::Result<bool> {
        let mut results: [sys::demi_qresult_t; BATCH] = unsafe { mem::zeroed() };
        let (mut count, mut rung) = (0, false);
        let poll = sys::timespec { tv_sec: 0, tv_nsec: 0 };
        let code = unsafe { sys::demi_wait_batch(results.as_mut_ptr(), BATCH as c_int, &mut count, if sleeps { ptr::null() } else { &poll }) };
        must(if !sleeps && code == 110 /* ETIMEDOUT */ { 0 } else { code })?;
        for r in &results[..count as usize] {
            let token = r.qr_qt;
            let slot = self.life.slots.borrow_mut().remove(&token);
            match slot {
                Some(slot) if !slot.dropped.get() => {
                    slot.result.set(Some(*r));
                    if let Some(waker) = slot.waker.take() {
                        waker.wake()
                    }
                }
                _ => {
                    rung |= token == bell;
                    give_back(*r)
                }
            }
        }
        Ok(rung)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.life.new_tasks.take(); // they may hold queues, which hold the library OS
    }
}

/// One more task of this thread's runtime.
pub fn spawn(task: impl Future<Output = ()> + 'static) -> io::Result<()> {
    life()?.new_tasks.borrow_mut().push(Box::pin(task));
    Ok(())
}

// --- operations ----------------------------------------------------------------------------------------------------------

/// One that was started: a future of its result.
#[must_use = "an operation that is dropped is cancelled"]
pub struct Op<T> {
    slot: io::Result<Rc<Slot>>,
    token: sys::demi_qtoken_t,
    value: fn(sys::demi_qresult_t, &Rc<Life>) -> T,
    life: Option<Rc<Life>>,
}

fn start<T>(value: fn(sys::demi_qresult_t, &Rc<Life>) -> T, call: impl FnOnce(*mut sys::demi_qtoken_t) -> c_int) -> Op<T> {
    let mut token = 0;
    let (life, started) = match life() {
        Ok(life) => (Some(life), must(call(&mut token))),
        Err(e) => (None, Err(e)),
    };
    let slot = started.map(|_| Rc::new(Slot::default()));
    if let (Some(life), Ok(slot)) = (&life, &slot) {
        life.slots.borrow_mut().insert(token, slot.clone());
    }
    Op { slot, token, value, life }
}

impl<T> Future for Op<T> {
    type Output = io::Result<T>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let slot = match &mut self.slot {
            Ok(slot) => slot.clone(),
            Err(e) => return Poll::Ready(Err(mem::replace(e, io::Error::from_raw_os_error(22 /* EINVAL: awaited twice */)))),
        };
        let r = match slot.result.take() {
            Some(r) => r,
            None => {
                *slot.waker.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
        };
        self.slot = Err(io::Error::from_raw_os_error(22));
        if r.qr_opcode == sys::demi_opcode_DEMI_OPC_FAILED {
            return Poll::Ready(Err(io::Error::from_raw_os_error(r.qr_ret as i32)));
        }
        Poll::Ready(Ok((self.value)(r, self.life.as_ref().unwrap())))
    }
}

impl<T> Drop for Op<T> {
    fn drop(&mut self) {
        if let Ok(slot) = &self.slot {
            match slot.result.take() {
                Some(r) => give_back(r),
                None => {
                    slot.dropped.set(true);
                    unsafe { sys::demi_cancel(self.token) };
                }
            }
        }
    }
}

fn nothing(_: sys::demi_qresult_t, _: &Rc<Life>) {}

/// Completes after so long.
pub fn sleep(time: Duration) -> Op<()> {
    let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    start(nothing, |token| unsafe { sys::demi_timer(token, ns) })
}

// --- arrays ---------------------------------------------------------------------------------------------------------------

/// A scatter-gather array: bytes that a device reaches as they lie.
pub struct Array {
    sga: sys::demi_sgarray_t,
    _life: Rc<Life>,
}

impl Array {
    /// 1 byte to 1 GiB, zeros.
    pub fn new(size: usize) -> io::Result<Array> {
        let life = life()?;
        let sga = unsafe { sys::demi_sgaalloc_large(size) };
        if sga.sga_buf.is_null() {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        unsafe { ptr::write_bytes({ sga.sga_segs[0].sgaseg_buf } as *mut u8, 0, size) };
        Ok(Array { sga, _life: life })
    }
    /// Who sent a datagram.
    pub fn sender(&self) -> Option<SocketAddr> {
        told(ptr::addr_of!(self.sga.sga_addr) as *const u8)
    }
}
impl Deref for Array {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let segment = self.sga.sga_segs[0];
        if segment.sgaseg_buf.is_null() {
            return &[];
        }
        unsafe { std::slice::from_raw_parts(segment.sgaseg_buf as *const u8, segment.sgaseg_len as usize) }
    }
}
impl DerefMut for Array {
    fn deref_mut(&mut self) -> &mut [u8] {
        let segment = self.sga.sga_segs[0];
        if segment.sgaseg_buf.is_null() {
            return &mut [];
        }
        unsafe { std::slice::from_raw_parts_mut(segment.sgaseg_buf as *mut u8, segment.sgaseg_len as usize) }
    }
}
impl Drop for Array {
    fn drop(&mut self) {
        unsafe { sys::demi_sgafree(&mut self.sga) };
    }
}

// --- queues ---------------------------------------------------------------------------------------------------------------

union Address {
    v4: sys::sockaddr_in,
    v6: sys::sockaddr_in6,
}

/// The C address, and its length.
fn sockaddr(a: &SocketAddr) -> (Address, sys::socklen_t) {
    let mut out: Address = unsafe { mem::zeroed() };
    match a {
        SocketAddr::V4(a) => {
            let mut v4: sys::sockaddr_in = unsafe { mem::zeroed() };
            v4.sin_family = 2;
            v4.sin_port = a.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(a.ip().octets());
            out.v4 = v4;
            (out, mem::size_of::<sys::sockaddr_in>() as sys::socklen_t)
        }
        SocketAddr::V6(a) => {
            let mut v6: sys::sockaddr_in6 = unsafe { mem::zeroed() };
            v6.sin6_family = 10;
            v6.sin6_port = a.port().to_be();
            v6.sin6_addr.__in6_u.__u6_addr8 = a.ip().octets();
            v6.sin6_scope_id = a.scope_id();
            out.v6 = v6;
            (out, mem::size_of::<sys::sockaddr_in6>() as sys::socklen_t)
        }
    }
}

/// What lies there, packed or not. None: neither family.
fn told(at: *const u8) -> Option<SocketAddr> {
    unsafe {
        let v4 = ptr::read_unaligned(at as *const sys::sockaddr_in);
        match v4.sin_family {
            2 => Some((Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()), u16::from_be(v4.sin_port)).into()),
            10 => {
                let v6 = ptr::read_unaligned(at as *const sys::sockaddr_in6);
                Some((Ipv6Addr::from(v6.sin6_addr.__in6_u.__u6_addr8), u16::from_be(v6.sin6_port)).into())
            }
            _ => None,
        }
    }
}

/// A socket, or a queue in memory. Dropped, it is closed.
pub struct Queue {
    qd: c_int,
    _life: Rc<Life>,
}

impl Queue {
    fn make(call: impl FnOnce(*mut c_int) -> c_int) -> io::Result<Queue> {
        let (life, mut qd) = (life()?, -1);
        must(call(&mut qd))?;
        Ok(Queue { qd, _life: life })
    }
    /// A stream socket of the address's family.
    pub fn stream(family_of: SocketAddr) -> io::Result<Queue> {
        let domain = if family_of.is_ipv4() { 2 } else { 10 };
        Queue::make(|qd| unsafe { sys::demi_socket(qd, domain, 1, 0) })
    }
    pub fn datagram(family_of: SocketAddr) -> io::Result<Queue> {
        let domain = if family_of.is_ipv4() { 2 } else { 10 };
        Queue::make(|qd| unsafe { sys::demi_socket(qd, domain, 2, 0) })
    }
    /// In memory, without a device.
    pub fn memory() -> io::Result<Queue> {
        Queue::make(|qd| unsafe { sys::demi_queue(qd) })
    }
    pub fn bind(&self, at: SocketAddr) -> io::Result<()> {
        let (a, size) = sockaddr(&at);
        must(unsafe { sys::demi_bind(self.qd, &a as *const Address as *const sys::sockaddr, size) })
    }
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        must(unsafe { sys::demi_listen(self.qd, backlog) })
    }
    /// Sends what was pushed, and then the end of our direction.
    pub fn shutdown(&self) -> io::Result<()> {
        must(unsafe { sys::demi_shutdown(self.qd, 1) })
    }
    /// Our end's address.
    pub fn name(&self) -> io::Result<Option<SocketAddr>> {
        let mut out = [0u64; 16];
        let mut size = mem::size_of_val(&out) as sys::socklen_t;
        must(unsafe { sys::demi_getsockname(self.qd, out.as_mut_ptr() as *mut sys::sockaddr, &mut size) })?;
        Ok(told(out.as_ptr() as *const u8))
    }
    pub fn accept(&self) -> Op<(Queue, Option<SocketAddr>)> {
        fn value(r: sys::demi_qresult_t, life: &Rc<Life>) -> (Queue, Option<SocketAddr>) {
            let ares = unsafe { r.qr_value.ares };
            (Queue { qd: ares.qd, _life: life.clone() }, told(unsafe { ptr::addr_of!(r.qr_value.ares6.addr) } as *const u8))
        }
        start(value, |token| unsafe { sys::demi_accept(token, self.qd) })
    }
    pub fn connect(&self, to: SocketAddr) -> Op<()> {
        let (a, size) = sockaddr(&to);
        start(nothing, |token| unsafe { sys::demi_connect(token, self.qd, &a as *const Address as *const sys::sockaddr, size) })
    }
    /// Empty: the end of the stream.
    pub fn pop(&self) -> Op<Array> {
        start(|r, life| Array { sga: unsafe { r.qr_value.sga }, _life: life.clone() }, |token| unsafe { sys::demi_pop(token, self.qd) })
    }
    /// The array goes out as it lies, and is nobody's from here on.
    pub fn push(&self, bytes: Array) -> Op<()> {
        start(nothing, |token| unsafe { sys::demi_push(token, self.qd, &bytes.sga) })
    }
    /// Bytes of any memory: copied before this returns.
    pub fn push_bytes(&self, bytes: &[u8]) -> Op<()> {
        let piece = sys::iovec { iov_base: bytes.as_ptr() as *mut c_void, iov_len: bytes.len() };
        start(nothing, |token| unsafe { sys::demi_pushv(token, self.qd, &piece, 1, 0) })
    }
    pub fn push_to(&self, bytes: Array, to: SocketAddr) -> Op<()> {
        let (a, size) = sockaddr(&to);
        start(nothing, |token| unsafe { sys::demi_pushto(token, self.qd, &bytes.sga, &a as *const Address as *const sys::sockaddr, size) })
    }
}
impl Drop for Queue {
    fn drop(&mut self) {
        unsafe { sys::demi_close(self.qd) };
    }
}

//! The parts of libvirt that the `virt` crate leaves out: events, states with their reasons, control states, statistics.
//!
//! All `unsafe` code of this crate is here. Every pointer handed out by libvirt is read before the call returns and freed
//! by the function its documentation names; callbacks own a boxed closure that libvirt frees through `free`.
#![allow(unsafe_code)]

use crate::compute::GuestStats;
use std::{
    ffi::{CStr, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::OnceLock,
};
use sutler_model::ServerId;
use uuid::Uuid;
use virt::{connect::Connect, domain::Domain, error::Error, sys};

type Result<T> = std::result::Result<T, Error>;

fn checked(code: c_int) -> Result<c_int> {
    if code < 0 { Err(Error::last_error()) } else { Ok(code) }
}

/// Starts the thread that delivers events, once for the process. Must come before the first connection.
pub(super) fn start_event_loop() -> Result<()> {
    static STARTED: OnceLock<Result<()>> = OnceLock::new();
    let start = || {
        // Errors are returned, not printed.
        virt::error::clear_error_callback();
        // SAFETY: takes no arguments; `OnceLock` sees to the single call that libvirt asks for.
        checked(unsafe { sys::virEventRegisterDefaultImpl() })?;
        let turn = || loop {
            // SAFETY: runs on this thread alone, as libvirt asks.
            if unsafe { sys::virEventRunDefaultImpl() } < 0 {
                tracing::error!(error = %Error::last_error(), "libvirt's event loop failed a turn");
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        };
        match std::thread::Builder::new().name("libvirt-events".into()).spawn(turn) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::last_error()),
        }
    };
    STARTED.get_or_init(start).clone()
}

type OnLifecycle = Box<dyn Fn(Uuid, u32, c_int) + Send + Sync>;
type OnClose = Box<dyn Fn(c_int) + Send + Sync>;

unsafe extern "C" fn free<T>(closure: *mut c_void) {
    // SAFETY: made by `Box::into_raw` on a `T` of the same type; libvirt calls this once.
    drop(unsafe { Box::from_raw(closure.cast::<T>()) });
}

unsafe extern "C" fn lifecycle(
    _: sys::virConnectPtr,
    dom: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    to: *mut c_void,
) {
    let mut uuid = [0; sys::VIR_UUID_BUFLEN as usize];
    // SAFETY: `dom` is valid during the callback and the buffer has the documented length.
    if unsafe { sys::virDomainGetUUID(dom, uuid.as_mut_ptr()) } == 0 {
        // SAFETY: the closure lives until `free`.
        let to = unsafe { &*to.cast::<OnLifecycle>() };
        // A panic must not unwind into C.
        let _ = catch_unwind(AssertUnwindSafe(|| to(Uuid::from_bytes(uuid), event.unsigned_abs(), detail)));
    }
}

unsafe extern "C" fn close(_: sys::virConnectPtr, reason: c_int, to: *mut c_void) {
    // SAFETY: the closure lives until `free`.
    let to = unsafe { &*to.cast::<OnClose>() };
    let _ = catch_unwind(AssertUnwindSafe(|| to(reason)));
}

/// Calls `to` with (domain, event, detail) on the event thread for each lifecycle event; answers the registration.
pub(super) fn on_lifecycle(connect: &Connect, to: OnLifecycle) -> Result<c_int> {
    type Callback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void);
    let callback: Callback = lifecycle;
    let closure = Box::into_raw(Box::new(to));
    // SAFETY: libvirt casts the generic callback back to the lifecycle signature, by the event's number; it owns the
    // closure unless it answers an error.
    let id = unsafe {
        let callback = std::mem::transmute::<
            Callback,
            unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
        >(callback);
        let event = sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as c_int;
        sys::virConnectDomainEventRegisterAny(
            connect.as_ptr(),
            ptr::null_mut(),
            event,
            Some(callback),
            closure.cast(),
            Some(free::<OnLifecycle>),
        )
    };
    checked(id).inspect_err(|_| {
        // SAFETY: the registration failed, so the closure is still ours.
        drop(unsafe { Box::from_raw(closure) });
    })
}

/// Ends what `on_lifecycle` began.
pub(super) fn off_lifecycle(connect: &Connect, registration: c_int) -> Result<()> {
    // SAFETY: the connection is alive; an unknown registration is an error, no more.
    checked(unsafe { sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), registration) }).map(drop)
}

/// Calls `to` on the event thread when the connection closes by itself.
pub(super) fn on_close(connect: &Connect, to: OnClose) -> Result<()> {
    let closure = Box::into_raw(Box::new(to));
    // SAFETY: libvirt owns the closure unless it answers an error.
    let code = unsafe {
        sys::virConnectRegisterCloseCallback(connect.as_ptr(), Some(close), closure.cast(), Some(free::<OnClose>))
    };
    checked(code).map(drop).inspect_err(|_| {
        // SAFETY: the registration failed, so the closure is still ours.
        drop(unsafe { Box::from_raw(closure) });
    })
}

/// Ends what `on_close` began.
pub(super) fn off_close(connect: &Connect) {
    // SAFETY: an absent registration is an error, no more.
    unsafe { sys::virConnectUnregisterCloseCallback(connect.as_ptr(), Some(close)) };
}

/// A domain's state and the reason for it, as libvirt believes them.
pub(super) fn state(domain: &Domain) -> Result<(u32, u32)> {
    let (mut state, mut reason) = (0, 0);
    // SAFETY: both pointers are to live integers.
    checked(unsafe { sys::virDomainGetState(domain.as_ptr(), &mut state, &mut reason, 0) })?;
    Ok((state.unsigned_abs(), reason.unsigned_abs()))
}

/// Whether a domain's monitor is at rest, and for how many milliseconds it has not been. Does not wait for it.
pub(super) fn control(domain: &Domain) -> Result<(u32, u64)> {
    let mut info = sys::virDomainControlInfo { state: 0, details: 0, stateTime: 0 };
    // SAFETY: the pointer is to a live structure.
    checked(unsafe { sys::virDomainGetControlInfo(domain.as_ptr(), &mut info, 0) })?;
    Ok((info.state, info.stateTime))
}

/// Counters of these domains, without waiting for a busy one.
pub(super) fn stats(domains: &[Domain]) -> Result<Vec<GuestStats>> {
    // SAFETY: copies of pointers that `domains` keeps alive.
    let mut list: Vec<_> = domains.iter().map(|d| unsafe { d.as_ptr() }).collect();
    list.push(ptr::null_mut());
    let kinds = sys::VIR_DOMAIN_STATS_CPU_TOTAL
        | sys::VIR_DOMAIN_STATS_BALLOON
        | sys::VIR_DOMAIN_STATS_BLOCK
        | sys::VIR_DOMAIN_STATS_INTERFACE;
    let mut records: *mut sys::virDomainStatsRecordPtr = ptr::null_mut();
    // SAFETY: the list ends with a null pointer; the records are freed below.
    let count = checked(unsafe {
        let flags = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
        sys::virDomainListGetStats(list.as_mut_ptr(), kinds, &mut records, flags)
    })?;
    // SAFETY: libvirt filled `count` records of `nparams` parameters each.
    let all = unsafe { slice(records, count) }.iter().map(|&r| unsafe { one(&*r) }).collect();
    // SAFETY: made by libvirt, freed once, not used after.
    unsafe { sys::virDomainStatsRecordListFree(records) };
    Ok(all)
}

/// # Safety
/// `first` points to `count` live values, or is null when there are none.
unsafe fn slice<'a, T>(first: *const T, count: c_int) -> &'a [T] {
    if first.is_null() || count <= 0 {
        return &[];
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(first, count.unsigned_abs() as usize) }
}

/// # Safety
/// The record is as libvirt made it.
unsafe fn one(record: &sys::virDomainStatsRecord) -> GuestStats {
    let mut uuid = [0; sys::VIR_UUID_BUFLEN as usize];
    // SAFETY: the record's domain is live and the buffer has the documented length.
    let named = unsafe { sys::virDomainGetUUID(record.dom, uuid.as_mut_ptr()) } == 0;
    let mut stats = GuestStats { id: named.then(|| ServerId(Uuid::from_bytes(uuid))), ..GuestStats::default() };
    // SAFETY: the record's parameters are live.
    for param in unsafe { slice(record.params, record.nparams) } {
        if param.type_.unsigned_abs() != sys::VIR_TYPED_PARAM_ULLONG {
            continue;
        }
        // SAFETY: the name ends with a zero within its array, and the type says which part of the union is set.
        let (name, value) = unsafe { (CStr::from_ptr(param.field.as_ptr()), param.value.ul) };
        stats.take(&name.to_string_lossy(), value);
    }
    stats
}

//! Where the program's memory comes from: jemalloc, except for the pages of Lua states.
//!
//! Luau takes memory in pages of one size class each, two dozen for even the smallest block. It writes a page's header at its
//! beginning and fills it from its end, so of most pages only the first and the last few hundred bytes are ever touched.
//! jemalloc begins each on a page of the processor's, which makes two of these resident for every page of Luau's. The C library
//! lays them end to end, so that the end of one shares a page with the beginning of the next: a block holds a quarter less.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use tikv_jemallocator::Jemalloc;

/// What Luau asks for, for objects up to 512 bytes and above (`VM/src/lmem.cpp`, `kSmallPageSize` and `kLargePageSize`).
const PAGES: [usize; 2] = [16 * 1024 - 24, 32 * 1024 - 24];

/// jemalloc gives pieces from this size on back to the system as soon as they are free, and keeps smaller ones for a while (its
/// own threshold is 8 MiB). Tables that grow leave half their size behind each time, and what a block left is not to be
/// counted on top of what it holds.
///
/// The name is that under which jemalloc looks for its settings.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: Settings = Settings(c"oversize_threshold:1048576".as_ptr());

#[repr(transparent)]
struct Settings(*const std::os::raw::c_char);

// SAFETY: it points to a text that lives as long as the program and is never written.
unsafe impl Sync for Settings {}

/// The allocator of a program that hosts Lua states.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

fn is_page(size: usize) -> bool {
    PAGES.contains(&size)
}

// SAFETY: both allocators keep the trait's contract. Which of them a piece of memory belongs to follows from its size alone,
// which every call is told; where a new size would change that, the piece moves.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        unsafe { if is_page(layout.size()) { System.alloc(layout) } else { Jemalloc.alloc(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: of this size it came from there.
        unsafe { if is_page(layout.size()) { System.dealloc(at, layout) } else { Jemalloc.dealloc(at, layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        unsafe { if is_page(layout.size()) { System.alloc_zeroed(layout) } else { Jemalloc.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `size` is the caller's word, as are `at` and `layout`; of two pieces of memory the first bytes of both are
        // copied, and the old one is given up only once there is a new one.
        unsafe {
            if !is_page(layout.size()) && !is_page(size) {
                return Jemalloc.realloc(at, layout, size);
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(at, new, layout.size().min(size));
                self.dealloc(at, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        ffi::CStr,
        mem,
        os::raw::{c_char, c_int, c_void},
        ptr,
    };

    unsafe extern "C" {
        /// jemalloc's `mallctl`.
        fn _rjem_mallctl(
            name: *const c_char,
            old: *mut c_void,
            old_size: *mut usize,
            new: *mut c_void,
            new_size: usize,
        ) -> c_int;
    }

    #[test]
    fn jemalloc_has_read_its_settings() {
        let name: &CStr = c"opt.oversize_threshold";
        let (mut threshold, mut size) = (0_usize, mem::size_of::<usize>());
        // SAFETY: this option is a `size_t`, which is written to a place of that size.
        let failed =
            unsafe { _rjem_mallctl(name.as_ptr(), (&raw mut threshold).cast(), &raw mut size, ptr::null_mut(), 0) };
        assert_eq!((failed, threshold), (0, 1 << 20));
    }

    #[test]
    fn what_grows_and_shrinks_through_the_size_of_a_page_keeps_its_content() {
        let layout = |size| Layout::from_size_align(size, 16).unwrap();
        let sizes = [100, PAGES[0], PAGES[0] + 1, PAGES[1], PAGES[0], 50];
        // SAFETY: each size is that of the piece at hand, and what is read was written before.
        unsafe {
            let mut at = Allocator.alloc(layout(sizes[0]));
            at.write_bytes(7, 50);
            for pair in sizes.windows(2) {
                at = Allocator.realloc(at, layout(pair[0]), pair[1]);
                assert!(std::slice::from_raw_parts(at, 50).iter().all(|byte| *byte == 7), "{pair:?}");
            }
            Allocator.dealloc(at, layout(50));
        }
    }
}

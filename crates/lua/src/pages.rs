//! Where the program's memory comes from: jemalloc, except for the pages and the large pieces of Lua states.
//!
//! Luau takes memory in pages of one size class each, two dozen for even the smallest block. It writes a page's header at its
//! beginning and fills it from its end, so of most pages only the first and the last few hundred bytes are ever touched.
//! jemalloc begins each on a page of the processor's, which makes two of these resident for every page of Luau's. The C library
//! lays them end to end, so that the end of one shares a page with the beginning of the next: a block holds a quarter less.
//!
//! A table that grows leaves half its size behind each time. jemalloc keeps such pieces for a while, on top of what the block holds;
//! the C library maps each by itself, gives it back as soon as it is free, and grows one without a copy.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    os::raw::c_int,
    sync::Once,
};
use tikv_jemallocator::Jemalloc;

/// What Luau asks for, for objects up to 512 bytes and above (`VM/src/lmem.cpp`, `kSmallPageSize` and `kLargePageSize`).
const PAGES: [usize; 2] = [16 * 1024 - 24, 32 * 1024 - 24];

/// From this size on pieces are given back at once.
const LARGE: usize = 1 << 20;

/// How mlua aligns what it asks for on behalf of Luau. Little else of that size is aligned so.
const ALIGN: usize = 16;

unsafe extern "C" {
    /// The C library's, `mallopt(3)`.
    fn mallopt(option: c_int, value: c_int) -> c_int;
}

/// `M_MMAP_THRESHOLD` of `malloc.h`.
const MAP_FROM: c_int = -3;

/// Has the C library map large pieces by themselves for good: left alone, it maps only larger and larger ones.
pub(crate) fn map_large_pieces() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let from = c_int::try_from(LARGE).unwrap_or(c_int::MAX);
        // SAFETY: any value is fine, and nothing is handed over.
        if unsafe { mallopt(MAP_FROM, from) } == 0 {
            tracing::warn!("the C library keeps large pieces of memory that scripts have left");
        }
    });
}

/// The allocator of a program that hosts Lua states.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

/// Whether a piece lies with the C library.
fn is_ours(layout: Layout) -> bool {
    PAGES.contains(&layout.size()) || layout.size() >= LARGE && layout.align() == ALIGN
}

// SAFETY: both allocators keep the trait's contract. Which of them a piece of memory belongs to follows from its layout alone,
// which every call is told; where a new size would change that, the piece moves.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        unsafe { if is_ours(layout) { System.alloc(layout) } else { Jemalloc.alloc(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: of this layout it came from there.
        unsafe { if is_ours(layout) { System.dealloc(at, layout) } else { Jemalloc.dealloc(at, layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        unsafe { if is_ours(layout) { System.alloc_zeroed(layout) } else { Jemalloc.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `size` is the caller's word, as are `at` and `layout`; of two pieces of memory the first bytes of both are
        // copied, and the old one is given up only once there is a new one.
        unsafe {
            let other = Layout::from_size_align_unchecked(size, layout.align());
            match (is_ours(layout), is_ours(other)) {
                (false, false) => return Jemalloc.realloc(at, layout, size),
                (true, true) => return System.realloc(at, layout, size),
                _ => {}
            }
            let new = self.alloc(other);
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

    #[test]
    fn what_grows_and_shrinks_through_sizes_of_both_keeps_its_content() {
        map_large_pieces();
        let layout = |size| Layout::from_size_align(size, ALIGN).unwrap();
        let sizes =
            [100, PAGES[0], PAGES[0] + 1, PAGES[1], PAGES[0], 2 * LARGE, 9 * LARGE, LARGE, LARGE - 1, 3 * LARGE, 50];
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

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

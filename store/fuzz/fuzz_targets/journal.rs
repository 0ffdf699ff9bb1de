//! See `journal` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vsm_store_fuzz::run("journal", bytes));

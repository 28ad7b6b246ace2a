//! Gives the library its name for the loader, whatever path it was linked by.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libringbus.so");
}

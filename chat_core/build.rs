//! Builds again when there is another migration.

#![expect(clippy::print_stdout, reason = "the way to speak to cargo")]

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}

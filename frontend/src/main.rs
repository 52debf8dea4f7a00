//! The one binary of the page; see the library.

fn main() {
    dropscope_frontend::start();
}

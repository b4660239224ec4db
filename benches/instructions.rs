//! `instructions NAME COUNT` does one kind of work COUNT times, so that `benches/gate` can count its instructions under
//! callgrind.

use std::env;
use std::hint::black_box;

#[path = "../proxy/benches/headers/mod.rs"]
mod headers;
mod memory;
use memory::{MESSAGE, connection, say, serve, shared};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, count] = &arguments[..] else {
        return println!("benches/gate runs this, under callgrind");
    };
    let count: usize = count.parse().expect("a count");
    let mut shared = shared();
    match &name[..] {
        "message" => {
            let mut open = connection(&mut shared);
            for _ in 0..count {
                black_box(say(&mut open, black_box(Some(MESSAGE)), &mut shared));
            }
        }
        "connection" => (0..count).for_each(|_| serve(black_box(&mut shared))),
        header => {
            let (_, input) = headers::all().into_iter().find(|(name, _)| *name == header).expect("a known name");
            for _ in 0..count {
                let _ = black_box(&proxy::parse(black_box(&input)));
            }
        }
    }
}

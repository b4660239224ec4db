//! Messages and connections a second without the cost of system calls: `cargo bench --bench connection`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod memory;
use memory::{MESSAGE, connection, say, serve, shared};

fn connections(criterion: &mut Criterion) {
    let mut shared = shared();
    let mut group = criterion.benchmark_group("connection");
    group.throughput(Throughput::Elements(1));
    let mut open = connection(&mut shared);
    group.bench_function("message of 64 B", |bench| {
        bench.iter(|| say(&mut open, black_box(Some(MESSAGE)), &mut shared));
    });
    group.bench_function("header, message, end", |bench| bench.iter(|| serve(black_box(&mut shared))));
    group.finish();
}

criterion_group!(benches, connections);
criterion_main!(benches);

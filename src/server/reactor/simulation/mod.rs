//! Runs the whole loop over a simulated kernel: accepting, echoing, time limits, the admin port, the service manager,
//! signals and stopping, with clients of every behaviour. Each schedule comes from its seed. The reactor itself asserts
//! its invariants between two turns.
//!
//! `SIMULATION=100000 cargo test --lib schedules` runs more schedules, and `SIMULATION_SEED=7` only one.

mod client;
mod work;
mod world;

use std::cell::RefCell;
use std::env;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;

use self::client::{Client, Manner};
use self::work::Before;
use self::world::{Fault, Sim, SimBatch, World};
use super::ending::Phase;
use super::{Parts, Reactor};
use crate::config::{Config, EchoUnit, LogFormat, LogLevel, Settings};
use crate::connection::{Budget, Clock};
use crate::net::manager::News;
use crate::net::system::Signal;
use crate::observe::events::Listening;
use crate::observe::log::Log;

/// A schedule that is not over after this many turns is stuck.
const MAX_TURNS: usize = 200_000;

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";

fn client(rng: &mut Rng, echo: EchoUnit, is_burst: bool) -> Client {
    if rng.u8(..) < 25 {
        let path = rng.choice(["/livez", "/status.json", "/connections.json"]).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes();
        // The tests of the admin port check its answers. Here an answer only has to come and end.
        return Client::new(Manner::Resetting, true, request, b"never".to_vec(), rng);
    }
    let manner = match rng.u8(..100) {
        0..60 => Manner::Honest,
        60..70 => Manner::Silent,
        70..80 => Manner::Unfinished,
        80..90 => Manner::Deaf,
        _ => Manner::Resetting,
    };
    let size = if manner == Manner::Deaf || is_burst { 30_000 } else { rng.usize(..4000) };
    let mut payload: Vec<u8> = (0..size).map(|index| b'a' + (index % 23) as u8).collect();
    payload.iter_mut().skip(rng.usize(..40)).step_by(41).for_each(|byte| *byte = b'\n');
    if echo == EchoUnit::Lines {
        payload.push(b'\n');
    }
    let all = [HEADER, &payload].concat();
    let script = match manner {
        Manner::Silent => Vec::new(),
        Manner::Unfinished if rng.bool() => HEADER[..rng.usize(1..HEADER.len())].to_vec(),
        Manner::Unfinished => [HEADER, b"a line without an end"].concat(),
        _ => all.clone(),
    };
    Client::new(manner, false, script, all, rng)
}

/// Asserts that every honest client received all its bytes. If the server was stopped early, a client that was never
/// accepted may have received nothing.
fn honest_are_served(world: &World, is_early: bool, kept: &Mutex<Vec<u8>>) -> Result<(), String> {
    for (index, client) in world.clients.iter().enumerate() {
        let is_whole = client.received == client.expected;
        if client.manner == Manner::Honest && !is_whole && !(is_early && client.received.is_empty()) {
            let log = String::from_utf8_lossy(&kept.lock().unwrap()).into_owned();
            return Err(format!(
                "client {index} has {} of {} bytes\n{log}",
                client.received.len(),
                client.expected.len()
            ));
        }
    }
    Ok(())
}

/// Asserts that the log is complete: its last line, as many accepted as closed connections, and progress if closing
/// takes more than a turn.
fn log_is_whole(log: &[u8], level: LogLevel, must_say_progress: bool) -> Result<(), String> {
    if log.is_empty() || !log.ends_with(b"server was terminated.\n") {
        return Err("the log does not end".to_owned());
    }
    let count = |text: &str| String::from_utf8_lossy(log).matches(text).count();
    if must_say_progress && count("connections still to be closed") == 0 {
        return Err("closing takes more than a turn, and the log does not say so".to_owned());
    }
    if level == LogLevel::Connections && count("is accepted") != count("is gone") {
        return Err(format!("{} accepted, {} gone", count("is accepted"), count("is gone")));
    }
    Ok(())
}

/// Runs one schedule. The error says what went wrong.
fn run(seed: u64, fault: Fault) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let echo = rng.choice([EchoUnit::Stream, EchoUnit::Lines]).unwrap();
    let log = rng.choice([LogLevel::Quiet, LogLevel::Connections, LogLevel::Lines, LogLevel::Clients]).unwrap();
    let has_admin = rng.bool();
    let max_connections = rng.usize(3..12);
    let settings = Settings {
        echo,
        log,
        max_line: 200,
        max_connections: Some(max_connections),
        header_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(rng.u64(3..6)),
        stall_timeout: Duration::from_secs(1),
        first_byte_timeout: rng.bool().then_some(Duration::from_secs(2)),
        drain_delay: Duration::from_millis(rng.u64(..300)),
        drain_timeout: Duration::from_secs(20),
        admin: has_admin.then(|| ([127, 0, 0, 1], 9000).into()),
        ..Settings::default()
    };
    let config = Config::new(settings).map_err(|error| error.to_string())?;
    let is_burst = rng.u8(..) < 16;
    let clients: Vec<Client> = (0..rng.usize(1..16)).map(|_| client(&mut rng, echo, is_burst)).collect();
    let clients: Vec<Client> = clients.into_iter().filter(|client| has_admin || !client.is_admin).collect();
    if clients.is_empty() {
        return Ok(());
    }
    let early_stop = rng.u8(..) < 60;
    let stop_us = rng.u64(..150_000);
    let world = Rc::new(RefCell::new(World::new(clients, rng.fork(), fault, is_burst)));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let parts = Parts {
        system: Sim(Rc::clone(&world)),
        listeners: vec![(0, Listening { address: ([127, 0, 0, 1], 8888).into(), mode: config.mode })],
        admin: config.admin.map(|address| (1, address)),
        log: Log::in_memory(LogFormat::Text, Arc::clone(&kept)),
        watchdog_ms: rng.bool().then_some(400),
    };
    let mut reactor = Reactor::new(&config, parts).map_err(|error| error.to_string())?;
    reactor.shared.clock = Clock::simulated(Arc::clone(&world.borrow().micros));
    reactor.shared.budget = Budget::new(rng.usize(9000..60_000), 9000);
    // A second signal closes open connections at once.
    let cut_us = (early_stop && rng.bool()).then(|| stop_us + rng.u64(1..50_000));
    let mut has_cut = false;
    let mut must_say_progress = false;
    let mut batch = SimBatch(Vec::new());
    reactor.begin();
    let mut has_stopped = false;
    for turn in 0.. {
        let before = Before::new(&reactor);
        if let Err(error) = reactor.turn(&mut batch) {
            let log = String::from_utf8_lossy(&kept.lock().unwrap()).into_owned();
            let open: Vec<_> = reactor.connections.iter().map(|(key, connection)| (key, connection.state())).collect();
            let clients: Vec<String> = world.borrow().clients.iter().map(Client::describe).collect();
            return Err(format!("{error}: {:?}, {open:?}, {clients:#?}\n{log}", reactor.ending.phase));
        }
        before.check(&world.borrow().work, &reactor)?;
        must_say_progress |= before.cuts_on(&reactor);
        if reactor.ending.phase == Phase::Stopped {
            break;
        }
        let mut world = world.borrow_mut();
        let are_served = world.clients.iter().filter(|client| client.manner == Manner::Honest).all(Client::is_done);
        if !has_stopped && (are_served || (early_stop && world.now_us() >= stop_us)) {
            has_stopped = true;
            world.signal(Signal::Stop);
        }
        if has_stopped && !has_cut && cut_us.is_some_and(|cut_us| world.now_us() >= cut_us) {
            has_cut = true;
            world.signal(Signal::Stop);
        }
        if turn > MAX_TURNS || world.now_us() > 120_000_000 {
            return Err(format!("not over after {turn} turns and {} µs", world.now_us()));
        }
    }
    let accepted_end = reactor.connections.len();
    reactor.finish();
    let world = world.borrow();
    if !has_cut {
        honest_are_served(&world, early_stop, &kept)?;
    }
    // A FIN must be answered sooner than the idle timeout closes: the timeout would hide a missed FIN.
    if let Some(late) =
        world.clients.iter().find(|client| client.manner == Manner::Honest && client.closing_us() > 2_500_000)
    {
        return Err(format!("closed {} µs after its FIN: {}", late.closing_us(), late.describe()));
    }
    if accepted_end > 0 {
        return Err(format!("{accepted_end} connections are left"));
    }
    log_is_whole(&kept.lock().unwrap(), config.log, must_say_progress)?;
    let has_told = |news| world.told.contains(&news);
    if has_told(News::Stopping) && world.told.iter().filter(|&&told| told == News::Ready).count() > 1 {
        return Err("the manager hears twice of the start".to_owned());
    }
    Ok(())
}

#[test]
fn honest_clients_are_served_in_all_schedules_of_the_whole_loop() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION").unwrap_or(10_000),
    };
    for seed in seeds {
        if let Err(error) = run(seed, Fault::None) {
            panic!("SIMULATION_SEED={seed}: {error}");
        }
    }
}

#[test]
fn a_broken_world_is_noticed() {
    for fault in [Fault::AlarmLost, Fault::WritableLost, Fault::FinLost, Fault::ListenerLost] {
        let caught = (0..300).filter(|&seed| run(seed, fault).is_err()).count();
        println!("{fault:?} is caught by {caught} of 300 schedules");
        assert!(caught > 10, "{fault:?} is caught by {caught} schedules only");
    }
}

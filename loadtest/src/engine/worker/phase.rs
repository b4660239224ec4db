//! How a worker changes its phase: by the clock, by an order, or because no connection is left.

use super::timetable::{Mark, Phase};
use super::{HOPELESS, Word, Worker};
use crate::engine::connection::Connection;
use crate::plan::Kind;
use crate::result::INTERRUPTED;

impl Worker {
    pub(super) fn is_abandoned(&self) -> bool {
        match self.plan.kind {
            Kind::Crr => {
                let totals = &self.tally.totals;
                totals.connections_opened == 0 && self.all_failed(HOPELESS.min(self.dialer.own))
            }
            // A connection that was never open cannot be lost.
            _ => {
                self.connections.is_empty()
                    && self.dialer.is_done()
                    && (!self.plan.reconnect || self.tally.totals.connections_opened == 0)
            }
        }
    }

    /// Whether every present address has failed at least this many times.
    pub(super) fn all_failed(&self, times: u64) -> bool {
        let mut places = self.tally.addresses.iter().enumerate();
        places.all(|(index, place)| place.counts.connections_failed >= times || self.addresses.is_gone(index))
    }

    pub(super) fn become_ready(&mut self) {
        self.setup_ns.1 = self.now_ns;
        self.times.phase = Phase::Waiting;
        let _ = self.words.send(Word::Ready);
        self.obey();
    }

    /// Checks for orders and obeys them.
    pub(super) fn obey(&mut self) {
        if self.control.is_stopped() {
            match self.times.phase {
                Phase::Dialing | Phase::Waiting => {
                    self.cut_short = Some(INTERRUPTED.to_owned());
                    self.times.phase = Phase::Done;
                }
                Phase::Running => {
                    self.stop_sending(INTERRUPTED);
                    self.times.hurry(self.now_ns);
                }
                Phase::Draining | Phase::Done => {}
            }
        } else if let (Phase::Waiting, Some(start_ns)) = (self.times.phase, self.control.start_ns()) {
            self.times.begin_at(start_ns);
        }
        if let Some((resolved, targets)) = self.control.addresses(self.resolved) {
            self.resolved = resolved;
            let new = self.addresses.replace(&targets);
            self.tally.extend(&new);
            self.rebalance();
        }
    }

    /// Begins the phases and intervals that are due.
    #[cold]
    pub(super) fn pass_marks(&mut self) {
        while self.now_ns >= self.times.next_mark_ns {
            match self.times.pass(self.now_ns) {
                Mark::Start => {
                    self.room_since_ns = self.times.start_ns;
                    self.begin();
                }
                Mark::Measure => {
                    self.gauge.begin();
                    if self.plan.live {
                        self.live.begin(self.times.measure_ns);
                    }
                    // Drop the messages that the warm-up has left.
                    if let Some(schedule) = &mut self.schedule {
                        schedule.give_up(self.times.measure_ns - self.times.start_ns, |_, _| {});
                    }
                }
                Mark::Interval(index) => self.tally.current = index,
                Mark::End => self.end(),
                Mark::None => return,
            }
        }
    }

    /// Begins the load. In closed loop, each connection gets its messages in flight.
    fn begin(&mut self) {
        let keys: Vec<usize> = self.connections.iter().map(|(key, _)| key).collect();
        match (self.plan.kind, &self.schedule) {
            (Kind::Crr, None) => self.dialer.want(self.dialer.own),
            (Kind::Crr | Kind::Idle, _) => {}
            (_, Some(_)) => {
                self.free.extend(keys);
                self.connections.iter_mut().for_each(|(_, connection)| connection.since_ns = self.times.start_ns);
            }
            (_, None) => {
                for key in keys {
                    for _ in 0..self.flights.depth {
                        self.queue(key, self.now_ns);
                    }
                    if let Err(error) = self.flush(key) {
                        self.lose(key, &error);
                    }
                }
            }
        }
    }

    pub(super) fn stop_sending(&mut self, why: &str) {
        self.cut_short = Some(why.to_owned());
        self.times.end_early(self.now_ns);
        self.end();
    }

    /// Ends the measured time.
    fn end(&mut self) {
        if std::mem::take(&mut self.times.is_measuring) {
            self.gauge.end();
            self.report_last_second();
        }
        self.dialer.give_up();
        self.is_closing = self.schedule.is_some();
    }

    /// Open loop: counts the messages that were due before the end and are not sent. They never will be.
    pub(super) fn count_unsent(&mut self) {
        self.is_closing = false;
        let could_send = self.can_send();
        let (start_ns, end_ns) = (self.times.start_ns, self.times.end_ns);
        let (Some(schedule), true) = (&mut self.schedule, end_ns > self.times.measure_ns) else { return };
        let tally = &mut self.tally;
        schedule.give_up(end_ns - start_ns, |due_ns, count| {
            tally.totals.requests_unsent += count;
            tally.withheld += if could_send { count } else { 0 };
            tally.unsent.record_missing(end_ns - start_ns - due_ns, count);
        });
    }

    /// Ends the connections above an address's share, each as soon as nothing is in flight on it. Others take their
    /// places.
    fn rebalance(&mut self) {
        if self.plan.kind == Kind::Crr || !matches!(self.times.phase, Phase::Waiting | Phase::Running) {
            return;
        }
        let mut excess: Vec<_> = (0..self.tally.addresses.len()).map(|index| self.addresses.excess(index)).collect();
        let leaving = |(key, connection): (usize, &mut Connection)| {
            let left = &mut excess[connection.address];
            let is_one = *left > 0 && connection.state.is_open();
            *left -= usize::from(is_one);
            connection.is_leaving = is_one;
            is_one.then_some(key)
        };
        let keys: Vec<_> = self.connections.iter_mut().filter_map(leaving).collect();
        self.free.retain(|key| !self.connections.get(*key).is_some_and(|connection| connection.is_leaving));
        for key in keys {
            if self.connections[key].in_flight == 0 {
                self.leave(key);
            }
        }
    }

    /// Continues with a leaving connection that got an answer.
    #[cold]
    pub(super) fn go_on_leaving(&mut self, key: usize) {
        if self.times.phase == Phase::Running && self.connections[key].in_flight == 0 {
            self.leave(key);
        }
    }

    /// Ends a connection to make room for one to another address.
    #[cold]
    pub(super) fn leave(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        self.tally.socket(&connection.stream);
        self.control.count_lost();
        self.tally.addresses[connection.address].counts.connections_moved += 1;
        self.addresses.closed(connection.address);
        if matches!(self.times.phase, Phase::Waiting | Phase::Running) {
            self.dialer.want(1);
        }
    }
}

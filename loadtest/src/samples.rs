//! A histogram of times that survives being written down: merged and rebuilt to the last sample.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as HdrSerializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest time that is told apart, in ns: an hour. A longer one counts as this.
pub const MAX_NS: u64 = 3_600_000_000_000;
/// Digits that are kept of a time.
const DIGITS: u8 = 3;
/// A percentile is a figure only if at least so many samples lie beyond it.
const BEYOND: f64 = 10.0;
/// The percentiles that are reported where the sample supports them.
pub const PERCENTILES: [f64; 6] = [50.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// Times in ns, to three digits, from 1 ns to [`MAX_NS`].
///
/// As JSON it is an object: `count`, `min_ns`, `mean_ns`, `max_ns`, `percentiles_ns` for people, and `hdr`, `HdrHistogram`'s
/// compressed V2 encoding in base64, which is all that is read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples(Histogram<u64>);

impl Default for Samples {
    fn default() -> Self {
        Samples::new()
    }
}

impl Samples {
    /// None yet. The memory is for all that can come, and untouched until it does.
    ///
    /// # Panics
    ///
    /// Never: the bounds are constants that the histogram takes.
    #[must_use]
    pub fn new() -> Self {
        Samples(Histogram::new_with_bounds(1, MAX_NS, DIGITS).expect("bounds that a histogram can have"))
    }

    /// Adds one.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Samples) {
        // Both have the same bounds, unless `other` was read from a file: then what is beyond is put at the bound.
        if self.0.add(&other.0).is_err() {
            for step in other.0.iter_recorded() {
                self.0.saturating_record_n(step.value_iterated_to(), step.count_at_value());
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The least, in ns; 0 if there are none.
    #[must_use]
    pub fn min_ns(&self) -> u64 {
        if self.is_empty() { 0 } else { self.0.min() }
    }

    /// The greatest, in ns; 0 if there are none.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.0.max()
    }

    /// The mean, in ns; 0 if there are none.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.0.mean()
    }

    /// The time in ns that `percentile` (0 to 100) of the samples do not exceed, or `None` where fewer than ten samples lie
    /// beyond it: such a figure says nothing about the next run.
    #[must_use]
    pub fn percentile_ns(&self, percentile: f64) -> Option<u64> {
        let beyond = self.count() as f64 * (100.0 - percentile) / 100.0;
        // The tolerance is for what 100 - 99.99 is in binary.
        (beyond + 1e-6 >= BEYOND).then(|| self.0.value_at_percentile(percentile))
    }

    /// The percentiles of [`PERCENTILES`] that the sample supports, with their times in ns.
    pub fn percentiles(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        PERCENTILES.into_iter().filter_map(|percentile| Some((percentile, self.percentile_ns(percentile)?)))
    }

    /// What a steady schedule would have seen: for every sample longer than `interval_ns`, those that would have been taken
    /// while it lasted (`HdrHistogram`'s correction for coordinated omission).
    #[must_use]
    pub fn corrected(&self, interval_ns: u64) -> Self {
        // Nothing comes back in less; and what would be filled in is bounded.
        let interval_ns = interval_ns.max(1000);
        let mut corrected = self.clone();
        for step in self.0.iter_recorded() {
            // Long waits that a short interval divides finely would take for ever: at most as many steps as digits can show.
            let missed = step.value_iterated_to() / interval_ns;
            let stride = missed / 1000 + 1;
            let mut value_ns = step.value_iterated_to().saturating_sub(interval_ns * stride);
            while value_ns >= interval_ns {
                corrected.0.saturating_record_n(value_ns, step.count_at_value() * stride);
                value_ns = value_ns.saturating_sub(interval_ns * stride);
            }
        }
        corrected
    }

    /// The histogram itself, for its own formats.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

/// A percentile as people write it: `p50`, `p99.9`.
#[must_use]
pub fn percentile_name(percentile: f64) -> String {
    format!("p{percentile}")
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(S::Error::custom)?;
        let percentiles: std::collections::BTreeMap<_, _> =
            self.percentiles().map(|(percentile, ns)| (percentile_name(percentile), ns)).collect();
        let mut object = serializer.serialize_struct("Samples", 6)?;
        object.serialize_field("count", &self.count())?;
        object.serialize_field("min_ns", &self.min_ns())?;
        object.serialize_field("mean_ns", &self.mean_ns())?;
        object.serialize_field("max_ns", &self.max_ns())?;
        object.serialize_field("percentiles_ns", &percentiles)?;
        object.serialize_field("hdr", &BASE64.encode(&bytes))?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            hdr: String,
        }
        let written = Written::deserialize(deserializer)?;
        let bytes = BASE64.decode(&written.hdr).map_err(D::Error::custom)?;
        let histogram = HdrDeserializer::new().deserialize(&mut bytes.as_slice()).map_err(D::Error::custom)?;
        // Rebuilt within our own bounds, whatever the file's are.
        let mut samples = Samples::new();
        samples.add(&Samples(histogram));
        Ok(samples)
    }
}

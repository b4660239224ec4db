//! A histogram of times that can be written to JSON, read back and merged without losing a sample.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as HdrSerializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest time in ns: an hour. A longer time counts as an hour.
pub const MAX_NS: u64 = 3_600_000_000_000;
/// Significant digits of a time.
const DIGITS: u8 = 3;
/// The longest encoding of a histogram in bytes: nine for each of its counts.
const MAX_LENGTH: u64 = 9 * 40 * 1024;
/// Samples that must lie beyond a percentile for it to be given.
const BEYOND: f64 = 10.0;
/// The percentiles that are reported if there are enough samples.
pub const PERCENTILES: [f64; 6] = [50.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// Times in ns, to three digits, from 1 ns to [`MAX_NS`]; and lower bounds of times whose end was not seen.
///
/// As JSON it is an object: `count`, `missing`, `min_ns`, `mean_ns`, `max_ns`, `percentiles_ns` and `at_least_ns` for
/// people,
/// and `hdr` and `missing_hdr`, `HdrHistogram`'s compressed V2 encoding in base64, which is all that is read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    known: Histogram<u64>,
    /// Lower bounds of times whose ends were not seen; `None` if there are none.
    missing: Option<Box<Histogram<u64>>>,
}

/// A figure of times, for some of which only a lower bound may be known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known {
    /// Missing samples cannot change it.
    Exactly(f64),
    /// With the missing samples it is this or more.
    AtLeast(f64),
}

impl Known {
    /// The figure, if missing samples cannot change it.
    #[must_use]
    pub fn exact(self) -> Option<f64> {
        match self {
            Known::Exactly(value) => Some(value),
            Known::AtLeast(_) => None,
        }
    }
}

impl Default for Samples {
    fn default() -> Self {
        Samples::new()
    }
}

impl Samples {
    /// An empty histogram. Its memory is large enough for all samples, and untouched until they come.
    #[must_use]
    pub fn new() -> Self {
        Samples { known: empty(), missing: None }
    }

    /// Adds one sample.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.known.saturating_record(ns);
    }

    /// Adds `count` samples of the same time.
    pub fn record_n(&mut self, ns: u64, count: u64) {
        self.known.saturating_record_n(ns, count);
    }

    /// Adds `count` samples whose end was not seen: they took `at_least_ns` or more.
    #[cold]
    pub fn record_missing(&mut self, at_least_ns: u64, count: u64) {
        self.missing.get_or_insert_with(|| Box::new(empty())).saturating_record_n(at_least_ns, count);
    }

    /// Adds all samples of `other`.
    pub fn add(&mut self, other: &Samples) {
        add(&mut self.known, &other.known);
        if let Some(missing) = &other.missing {
            add(self.missing.get_or_insert_with(|| Box::new(empty())), missing);
        }
    }

    /// The number of samples with a known time.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.known.len()
    }

    /// The number of samples whose end was not seen.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing.as_ref().map_or(0, |missing| missing.len())
    }

    /// Whether no time is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The longest time in ns.
    #[must_use]
    pub fn max(&self) -> Option<Known> {
        let of = |histogram: &Histogram<u64>| (!histogram.is_empty()).then(|| histogram.max());
        match &self.missing {
            None => of(&self.known).map(|ns| Known::Exactly(ns as f64)),
            Some(missing) => of(missing).max(of(&self.known)).map(|ns| Known::AtLeast(ns as f64)),
        }
    }

    /// The longest time in ns, if it is known.
    #[must_use]
    pub fn max_ns(&self) -> Option<u64> {
        self.max()?.exact().map(|ns| ns as u64)
    }

    /// The mean in ns.
    #[must_use]
    pub fn mean(&self) -> Option<Known> {
        match &self.missing {
            None => (!self.is_empty()).then(|| Known::Exactly(self.known.mean())),
            Some(_) => Some(Known::AtLeast(self.all().mean())),
        }
    }

    /// The mean in ns, if it is known.
    #[must_use]
    pub fn mean_ns(&self) -> Option<f64> {
        self.mean()?.exact()
    }

    /// The time in ns that `percentile` (0 to 100) percent of all samples, missing ones included, do not exceed. `None`
    /// if fewer than ten samples lie beyond it: another run would give another figure.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<Known> {
        let count = (self.count() + self.missing()) as f64;
        let beyond = count * (100.0 - percentile) / 100.0;
        // The tolerance is needed because 100 - 99.99 is not exact in binary.
        if beyond + 1e-6 < BEYOND {
            return None;
        }
        if self.missing.is_none() {
            return Some(Known::Exactly(self.known.value_at_percentile(percentile) as f64));
        }
        let least = self.all().value_at_percentile(percentile) as f64;
        // Assume that all missing samples took for ever.
        let rank = percentile * count / self.count().max(1) as f64;
        let is_exact = rank <= 100.0 && self.known.value_at_percentile(rank) as f64 <= least && !self.is_empty();
        Some(if is_exact { Known::Exactly(least) } else { Known::AtLeast(least) })
    }

    /// The number of samples that a percentile needs.
    #[must_use]
    pub fn needed_for(percentile: f64) -> f64 {
        BEYOND * 100.0 / (100.0 - percentile)
    }

    /// The percentile in ns, if it is known.
    #[must_use]
    pub fn percentile_ns(&self, percentile: f64) -> Option<u64> {
        self.percentile(percentile)?.exact().map(|ns| ns as u64)
    }

    /// The known times, and the bounds of the missing ones.
    fn all(&self) -> Histogram<u64> {
        let mut all = self.known.clone();
        if let Some(missing) = &self.missing {
            add(&mut all, missing);
        }
        all
    }

    /// The samples of a steady schedule: for every sample longer than `interval_ns`, adds those that the schedule would
    /// have taken meanwhile (`HdrHistogram`'s correction for coordinated omission).
    #[must_use]
    pub fn corrected(&self, interval_ns: u64) -> Self {
        // No answer comes back in less than 1 µs, and the minimum bounds the number of added samples.
        let interval_ns = interval_ns.max(1000);
        let mut corrected = self.clone();
        for step in self.known.iter_recorded() {
            // A long wait divided by a short interval would take too many steps: add at most as many as the digits can
            // show.
            let missed = step.value_iterated_to() / interval_ns;
            let stride = missed / 1000 + 1;
            let mut value_ns = step.value_iterated_to().saturating_sub(interval_ns * stride);
            while value_ns >= interval_ns {
                corrected.known.saturating_record_n(value_ns, step.count_at_value() * stride);
                value_ns = value_ns.saturating_sub(interval_ns * stride);
            }
        }
        corrected
    }

    /// The histogram of the known times, for `HdrHistogram`'s formats.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.known
    }
}

/// # Panics
///
/// Never: the bounds are valid constants.
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_NS, DIGITS).expect("bounds that a histogram can have")
}

fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    // Both have the same bounds, unless `other` was read from a file: its larger values count as the bound.
    if sum.add(other).is_err() {
        for step in other.iter_recorded() {
            sum.saturating_record_n(step.value_iterated_to(), step.count_at_value());
        }
    }
}

/// A percentile as people write it: `p50`, `p99.9`.
#[must_use]
pub fn percentile_name(percentile: f64) -> String {
    format!("p{percentile}")
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let encode = |histogram: &Histogram<u64>| {
            let mut bytes = Vec::new();
            V2DeflateSerializer::new().serialize(histogram, &mut bytes).map_err(S::Error::custom)?;
            Ok(BASE64.encode(&bytes))
        };
        let (mut exact, mut at_least) = (BTreeMap::new(), BTreeMap::new());
        let named = PERCENTILES.iter().map(|&percentile| (percentile_name(percentile), self.percentile(percentile)));
        for (name, figure) in named.chain([("mean".to_owned(), self.mean()), ("max".to_owned(), self.max())]) {
            match figure {
                Some(Known::Exactly(ns)) if name.starts_with('p') => drop(exact.insert(name, ns as u64)),
                Some(Known::AtLeast(ns)) => drop(at_least.insert(name, ns as u64)),
                _ => {}
            }
        }
        let mut object = serializer.serialize_struct("Samples", 9)?;
        object.serialize_field("count", &self.count())?;
        object.serialize_field("missing", &self.missing())?;
        object.serialize_field("min_ns", &(!self.is_empty()).then(|| self.known.min()))?;
        object.serialize_field("mean_ns", &self.mean_ns())?;
        object.serialize_field("max_ns", &self.max_ns())?;
        object.serialize_field("percentiles_ns", &exact)?;
        object.serialize_field("at_least_ns", &at_least)?;
        object.serialize_field("hdr", &encode(&self.known)?)?;
        object.serialize_field("missing_hdr", &self.missing.as_deref().map(encode).transpose()?)?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            hdr: String,
            missing_hdr: Option<String>,
        }
        let written = Written::deserialize(deserializer)?;
        let mut samples = Samples::new();
        add(&mut samples.known, &decode(&written.hdr).map_err(D::Error::custom)?);
        if let Some(missing) = &written.missing_hdr {
            let missing = decode(missing).map_err(D::Error::custom)?;
            add(samples.missing.insert(Box::new(empty())), &missing);
        }
        Ok(samples)
    }
}

/// Reads a histogram from text. A few bytes in its header could ask for gigabytes of memory, so only the bounds and
/// sizes that [`Samples`] writes are accepted.
fn decode(text: &str) -> Result<Histogram<u64>, String> {
    /// Bytes of the V2 encoding's header: cookie, length, offset, digits, then lowest and highest value.
    const HEADER: usize = 32;
    let bytes = BASE64.decode(text).map_err(|error| error.to_string())?;
    let mut header = [0; HEADER];
    // A separate cookie and length come before the compressed part.
    let mut inner = ZlibDecoder::new(bytes.get(8..).unwrap_or_default());
    inner.read_exact(&mut header).map_err(|error| format!("no histogram: {error}"))?;
    let number =
        |at: usize, length: usize| header[at..at + length].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let (length, digits, low, high) = (number(4, 4), number(12, 4), number(16, 8), number(24, 8));
    if (digits, low, high) != (DIGITS.into(), 1, MAX_NS) || length > MAX_LENGTH {
        return Err(format!(
            "a histogram of {length} bytes from {low} to {high} with {digits} digits, where at most {MAX_LENGTH} bytes from 1 to \
             {MAX_NS} with {DIGITS} digits can be"
        ));
    }
    HdrDeserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    /// Only the header of a histogram, with these numbers.
    fn header(length: u32, digits: u32, low: u64, high: u64) -> String {
        let mut inner = Vec::new();
        for number in [0x1c84_9313, length, 0, digits] {
            inner.extend_from_slice(&u32::to_be_bytes(number));
        }
        inner.extend_from_slice(&low.to_be_bytes());
        inner.extend_from_slice(&high.to_be_bytes());
        inner.extend_from_slice(&1.0_f64.to_be_bytes());
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&inner).unwrap();
        let inner = encoder.finish().unwrap();
        let mut bytes = 0x1c84_9314_u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(&u32::try_from(inner.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&inner);
        BASE64.encode(&bytes)
    }

    #[test]
    fn a_few_bytes_do_not_ask_for_gigabytes() {
        assert_eq!(decode(&header(0, 3, 1, MAX_NS)).unwrap().len(), 0);
        for (length, digits, high) in [(u32::MAX, 3, MAX_NS), (0, 5, MAX_NS), (0, 3, u64::MAX)] {
            let error = decode(&header(length, digits, 1, high)).unwrap_err();
            assert!(error.contains("can be"), "{error}");
        }
        for nonsense in ["", "AAAA", "!", "HISTFAAAAAB4nA=="] {
            assert!(decode(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn what_is_missing_bounds_what_it_could_change_and_nothing_else() {
        let mut samples = Samples::new();
        (1..=1000).for_each(|ms| samples.record(ms * 1_000_000));
        let known = samples.percentile_ns(50.0);
        // All missing samples are slower than the median, so the median hardly changes and is known.
        samples.record_missing(900_000_000, 10);
        let ms = |ns: Option<u64>| ns.map(|ns| ns / 1_000_000);
        assert!(samples.percentile_ns(50.0) >= known && ms(samples.percentile_ns(50.0)) <= Some(507));
        assert_eq!(samples.percentile_ns(99.0), None, "ten of 1,010 may be the slowest");
        assert!(matches!(samples.percentile(99.0), Some(Known::AtLeast(ns)) if ns > 9e8));
        assert_eq!((samples.max_ns(), samples.mean_ns()), (None, None));
        // The missing samples may have been due just before the end, so the figure is unknown.
        let mut early = samples.clone();
        early.record_missing(1, 2000);
        assert!(matches!(early.percentile(50.0), Some(Known::AtLeast(_))));
    }
}

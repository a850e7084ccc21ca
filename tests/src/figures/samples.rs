//! Times and their medians.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// One measured piece of work, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What a clock on the wall says.
    pub wall: f64,
    /// What the calling thread spent computing, in the kernel too.
    pub cpu: f64,
}

/// Does the work and tells how long it took.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, Sample) {
    let (started, spent) = (Instant::now(), thread_time());
    let result = work();
    let sample = Sample {
        wall: ms(started.elapsed()),
        cpu: ms(thread_time().saturating_sub(spent)),
    };
    (result, sample)
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Medians of the same work done several times.
pub fn medians(samples: &[Sample]) -> Sample {
    Sample {
        wall: median(samples.iter().map(|sample| sample.wall)),
        cpu: median(samples.iter().map(|sample| sample.cpu)),
    }
}

/// Medians of the differences of pairs, each measured right after one another.
pub fn differences(a: &[Sample], b: &[Sample]) -> Sample {
    let pairs = || a.iter().zip(b);
    Sample {
        wall: median(pairs().map(|(a, b)| a.wall - b.wall)),
        cpu: median(pairs().map(|(a, b)| a.cpu - b.cpu)),
    }
}

/// The middle value; of an even number the mean of both in the middle, of none NaN.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 1 => values[half],
        (_, half) => f64::midpoint(values[half - 1], values[half]),
    }
}

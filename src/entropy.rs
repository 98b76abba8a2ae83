//! Randomness, as a parameter: ids and jitter come from here, so that a seed replays a run.

use std::sync::{Mutex, PoisonError};

use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use uuid::Uuid;

/// Gives ids and jitter.
///
/// Contract: two calls never give the same id in production; under a seed, the same calls in the same order give the
/// same answers.
pub trait Entropy: Send + Sync {
    /// A fresh version 4 UUID.
    fn uuid(&self) -> Uuid;
    /// A number in `[0, 1)`.
    fn unit(&self) -> f64;
}

/// A seeded stream, or one seeded by the operating system.
pub struct ChaChaEntropy(Mutex<ChaCha12Rng>);

impl ChaChaEntropy {
    /// Seeded by the operating system: for production.
    #[must_use]
    pub fn from_os() -> Self {
        Self(Mutex::new(ChaCha12Rng::from_os_rng()))
    }

    /// Seeded by hand: for tests and simulations.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(ChaCha12Rng::seed_from_u64(seed)))
    }
}

impl Entropy for ChaChaEntropy {
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    fn unit(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.0..1.0)
    }
}

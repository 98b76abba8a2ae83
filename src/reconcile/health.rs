//! Whether the service is fit to act, and if not, what is missing.

/// Shared between the loop, which writes it, and `/readyz`, which reads it.
#[derive(Debug, Default)]
pub struct Health {}

impl Health {
    /// What is missing, one line for a person each; empty: ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        Vec::new()
    }
}

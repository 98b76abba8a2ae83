//! Money, as far as a replay needs it: a price an instance-hour, in whatever currency the operator thinks in.

use serde::Serialize;

/// What an instance costs an hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Price(f64);

impl Price {
    /// What so many host-hours cost.
    pub(crate) fn of(self, host_hours: f64) -> f64 {
        self.0 * host_hours
    }
}

/// Reads a price.
pub(crate) fn parse_price(text: &str) -> Result<Price, String> {
    match text.parse::<f64>() {
        Ok(price) if (0.0..=1e6).contains(&price) => Ok(Price(price)),
        _ => {
            Err("a price is a number from 0 to 1000000, such as 0.34, without a sign of its currency"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_a_number_that_somebody_could_pay() {
        assert!((parse_price("0.34").unwrap().of(100.0) - 34.0).abs() < 1e-9);
        for wrong in ["-1", "NaN", "inf", "$0.34", "", "1e9"] {
            assert!(parse_price(wrong).unwrap_err().contains("0.34"), "{wrong}");
        }
    }
}

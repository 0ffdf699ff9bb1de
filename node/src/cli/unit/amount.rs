//! `RESOURCE=AMOUNT` on the command line.

use std::str::FromStr;

use vsm_core::Name;

/// So much of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Of what.
    pub resource: Name,
    /// How much.
    pub amount: u64,
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || format!("{text:?} is not RESOURCE=AMOUNT, like gpu=2");
        let (resource, amount) = text.split_once('=').ok_or_else(shape)?;
        Ok(Self {
            resource: resource
                .parse()
                .map_err(|error| format!("{}: {error}", shape()))?,
            amount: amount
                .parse()
                .ok()
                .filter(|amount| *amount > 0)
                .ok_or_else(shape)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        let amount: Amount = "gpu=2".parse().unwrap();
        assert_eq!((&*amount.resource, amount.amount), ("gpu", 2));
        for text in ["gpu", "gpu=", "gpu=0", "gpu=-1", "=2", "g u=2"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }
}

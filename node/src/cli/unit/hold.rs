//! `--hold RESOURCE=AMOUNT`: what the unit bargains for at its start.

use std::str::FromStr;

use serde_json::{Value, json};
use vsm_core::Name;

/// A resource, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Of what.
    pub resource: Name,
    /// How much.
    pub amount: u64,
    /// The bargain, once control offered something.
    bargain: Option<String>,
    agreed: Option<u64>,
}

impl FromStr for Hold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || format!("{text:?} is not RESOURCE=AMOUNT, like gpu=2");
        let (resource, amount) = text.split_once('=').ok_or_else(shape)?;
        Ok(Self {
            resource: resource
                .parse()
                .map_err(|error| format!("{}: {error}", shape()))?,
            amount: amount.parse().map_err(|_| shape())?,
            bargain: None,
            agreed: None,
        })
    }
}

impl Hold {
    /// The frames that begin to bargain. What was agreed before a broken
    /// connection may or may not still be held: it is given back first.
    pub fn begin(&mut self) -> Vec<String> {
        let mut frames: Vec<_> = self.release().into_iter().collect();
        let request = json!({
            "type": "bargain",
            "ref": self.resource,
            "request": {"resource": self.resource, "amount": self.amount, "at_least": 1},
        });
        frames.push(request.to_string());
        frames
    }

    /// The frame that gives it back, when something is held.
    pub fn release(&mut self) -> Option<String> {
        self.agreed = None;
        let bargain = self.bargain.take()?;
        Some(json!({"type": "bargain", "release": bargain}).to_string())
    }

    /// Control answered. The frame that answers back, if any.
    pub fn answered(&mut self, frame: &Value) -> Option<String> {
        let bargain = frame["bargain"].as_str()?.to_owned();
        let amount = frame["amount"].as_u64().unwrap_or(0);
        let (wanted, of) = (self.amount, &self.resource);
        match frame["answer"].as_str()? {
            "offered" => {
                self.bargain = Some(bargain.clone());
                Some(json!({"type": "bargain", "agree": bargain}).to_string())
            }
            "agreed" => {
                self.agreed = Some(amount);
                eprintln!("holding {amount} of {wanted} {of}");
                None
            }
            "refused" => {
                let reason = frame["reason"].as_str().unwrap_or("no reason given");
                eprintln!("holding no {of}: {reason}");
                None
            }
            "expired" => {
                self.bargain = None;
                eprintln!("holding no {of}: the offer expired");
                None
            }
            _ => None,
        }
    }

    /// Whether an answer is about this.
    pub fn is_meant(&self, frame: &Value) -> bool {
        frame["ref"].as_str() == Some(&*self.resource)
            || (self.bargain.is_some() && frame["bargain"].as_str() == self.bargain.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bargain() {
        let mut hold: Hold = "gpu=4".parse().unwrap();
        assert_eq!(hold.begin().len(), 1);
        let offered = json!({"ref": "gpu", "bargain": "b", "answer": "offered", "amount": 3});
        assert!(hold.is_meant(&offered));
        let agree = hold.answered(&offered).unwrap();
        assert!(agree.contains("\"agree\":\"b\""), "{agree}");
        let agreed = json!({"ref": "gpu", "bargain": "b", "answer": "agreed", "amount": 3});
        assert_eq!(hold.answered(&agreed), None);
        assert_eq!(hold.agreed, Some(3));
        assert_eq!(hold.begin().len(), 2);
        assert_eq!(hold.release(), None);
        for bad in ["gpu", "gpu=", "gpu=x", "=4", "g u=4"] {
            assert!(bad.parse::<Hold>().is_err(), "{bad}");
        }
    }
}
